//! The comparisons as Markdown. Prints; decides nothing.

use batchstep_laws::Class;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::campaign::{Comparison, NOISE};

/// Prints the page: by class at the usual precision, then by noise, there and where five blocks are always enough.
pub fn print(usual: &[Comparison], least: &[Comparison]) {
    println!("## By class\n");
    println!(
        "`--precision 0.3%`, the default. \"Same\": verdict and period (within 1 %) of the adaptive sweep are the dense one's, with its 95 % interval \
         (Clopper and Pearson); \"dense again\": those of a second dense sweep are. \"Right\": against the law. Shares of the dense sweep's time: median, and \
         the 90th percentile.\n"
    );
    println!(
        "| class | laws | same | dense again | dense right | adaptive right | measuring time | 90 % | device time |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|"
    );
    for class in Class::all() {
        let of: Vec<&Comparison> = usual.iter().filter(|one| one.class == class).collect();
        if !of.is_empty() {
            println!("{}", row(class.name(), &of));
        }
    }
    println!("{}", row("**all**", &usual.iter().collect::<Vec<_>>()));
    for (title, all) in [
        ("By noise, `--precision 0.3%`", usual),
        (
            "By noise, against five blocks of every batch size (`--precision` so large that five blocks have it)",
            least,
        ),
    ] {
        println!("\n## {title}\n");
        println!(
            "| noise of a block | laws | same | dense again | dense right | adaptive right | measuring time | 90 % | device time |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|"
        );
        for (noise, sigma) in NOISE.iter().enumerate() {
            let of: Vec<&Comparison> = all.iter().filter(|one| one.noise == noise).collect();
            if !of.is_empty() {
                println!("{}", row(&format!("{:.1} %", sigma * 100.0), &of));
            }
        }
        println!("{}", row("**all**", &all.iter().collect::<Vec<_>>()));
        println!("{}", row("ranges of 64 and more", &long(all)));
    }
}

/// Those whose range is long enough to leave something out.
fn long(all: &[Comparison]) -> Vec<&Comparison> {
    all.iter().filter(|one| one.sizes >= 64).collect()
}

fn row(name: &str, of: &[&Comparison]) -> String {
    let count = |what: &dyn Fn(&Comparison) -> bool| of.iter().filter(|one| what(one)).count();
    let percent = |count: usize| format!("{:.1} %", 100.0 * count as f64 / of.len().max(1) as f64);
    let same = count(&Comparison::same);
    let [low, high] = interval(same, of.len());
    let measuring = sorted(of, Comparison::measuring_share);
    let device = sorted(of, Comparison::device_share);
    format!(
        "| {name} | {} | {} [{:.1}, {:.1}] | {} | {} | {} | {:.0} % | {:.0} % | {:.0} % |",
        of.len(),
        percent(same),
        100.0 * low,
        100.0 * high,
        percent(count(&|one| one.repeatable)),
        percent(count(&|one| one.dense.is_right(one.truth))),
        percent(count(&|one| one.adaptive.is_right(one.truth))),
        100.0 * quantile(&measuring, 0.5),
        100.0 * quantile(&measuring, 0.9),
        100.0 * quantile(&device, 0.5),
    )
}

fn sorted(of: &[&Comparison], figure: impl Fn(&Comparison) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = of.iter().map(|one| figure(one)).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// Of ascending values, the nearest.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted
        .get(position.round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

/// Prints a law that was answered differently.
pub fn list(one: &Comparison) {
    if one.same() {
        return;
    }
    println!(
        "{} {} noise {} of 1-{}: {:?}{}",
        one.class,
        one.seed,
        NOISE[one.noise],
        one.sizes,
        one.truth,
        if one.repeatable {
            ""
        } else {
            "; dense sweeps differ, too"
        },
    );
    for (name, outcome) in [("dense", &one.dense), ("adaptive", &one.adaptive)] {
        println!(
            "  {name}: {:?} {:?}, {} batch sizes, {:.0} s; {}\n    {}",
            outcome.verdict,
            outcome.step,
            outcome.blocks.len(),
            outcome.measuring.as_secs_f64(),
            outcome.reason,
            outcome.message,
        );
    }
}

/// The exact 95 % interval of a share (Clopper and Pearson 1934): quantiles of beta distributions.
fn interval(count: usize, of: usize) -> [f64; 2] {
    let (k, n) = (count as f64, of as f64);
    let quantile =
        |a: f64, b: f64, p: f64| Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(p));
    let low = if count == 0 {
        0.0
    } else {
        quantile(k, n - k + 1.0, 0.025)
    };
    let high = if count == of {
        1.0
    } else {
        quantile(k + 1.0, n - k, 0.975)
    };
    [low, high]
}
