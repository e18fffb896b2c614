//! The results as Markdown, with the bars they are held against. Prints; decides nothing but whether a bar is met.

use batchstep_laws::Class;
use statrs::distribution::{Beta, ContinuousCDF};

use crate::campaign::{Counts, Group, NOISE, QUIET, Results};

/// Least share of right answers in each class with a step.
const LEAST_RIGHT: f64 = 0.99;
/// Largest share of wrong periods over all classes with a step.
const MOST_WRONG: f64 = 0.002;
/// Largest share of false steps over all traces without a visible one.
const MOST_FALSE: f64 = 0.002;
/// And in each class.
const MOST_FALSE_IN_CLASS: f64 = 0.005;

/// One of the two tables of barred traces: the classes with a step, or those without a visible one.
struct Part {
    with_step: bool,
    /// Title of the first column.
    title: &'static str,
    /// What a step that should not be there is called.
    error: &'static str,
    errors: fn(&Counts) -> u64,
    /// Whether a class meets its bar.
    met: fn(&Counts) -> bool,
    /// Name of the last line, and its bar: the largest share of errors over all classes, in words and as a number.
    whole: &'static str,
    whole_bar: &'static str,
    most_errors: f64,
}

const PARTS: [Part; 2] = [
    Part {
        with_step: true,
        title: "class",
        error: "wrong period",
        errors: |counts| counts.wrong_steps,
        met: |counts| counts.right as f64 >= LEAST_RIGHT * counts.traces as f64,
        whole: "all with a step",
        whole_bar: "wrong ≤ 0.2 %",
        most_errors: MOST_WRONG,
    },
    Part {
        with_step: false,
        title: "class without a visible step",
        error: "false step",
        errors: |counts| counts.false_steps,
        met: |counts| counts.false_steps as f64 <= MOST_FALSE_IN_CLASS * counts.traces as f64,
        whole: "all without",
        whole_bar: "false ≤ 0.2 %",
        most_errors: MOST_FALSE,
    },
];

impl Part {
    /// Prints the table and returns how many bars are missed.
    fn print(&self, results: &Results) -> u32 {
        let line = |name: &str, counts: &Counts, bar: &str| {
            println!(
                "| {name} | {} | {} | {} | {bar} |",
                counts.traces,
                share(counts.right, counts.traces),
                share((self.errors)(counts), counts.traces),
            );
        };
        println!(
            "| {} | traces | right | {} | bar |\n|---|---:|---:|---:|---|",
            self.title, self.error
        );
        let mut missed = 0;
        let mut whole = Counts::default();
        for class in Class::all().filter(|class| class.has_step() == self.with_step) {
            let counts = total(results, |group| group.barred() && group.class == class);
            whole.add(counts);
            let met = (self.met)(&counts);
            missed += u32::from(!met);
            line(class.name(), &counts, verdict(met));
        }
        let met = (self.errors)(&whole) as f64 <= self.most_errors * whole.traces as f64;
        missed += u32::from(!met);
        let bar = format!("{}: {}", self.whole_bar, verdict(met));
        line(&format!("**{}**", self.whole), &whole, &bar);
        missed
    }
}

/// Prints the page and returns how many bars are missed.
pub fn print(results: &Results) -> u32 {
    println!("From 5 rounds, noise at most 1 %. Intervals: 95 %, Clopper and Pearson.\n");
    let [stepped, smooth] = &PARTS;
    let mut missed = stepped.print(results);
    println!();
    missed += smooth.print(results);
    by_noise(results);
    println!(
        "\n{}",
        if missed == 0 {
            "Every bar is met.".to_owned()
        } else {
            format!("{missed} bars are missed.")
        }
    );
    missed
}

/// The same for every noise level, and for few rounds.
fn by_noise(results: &Results) {
    println!(
        "\nBy noise, from 5 rounds, and with 3 or 4 rounds at noise up to 1 %: right answers, and after a stroke steps that are wrong or false.\n"
    );
    let mut head = "| class |".to_owned();
    let mut rule = "|---|".to_owned();
    for noise in NOISE {
        head.push_str(&format!(" {} % |", 100.0 * noise));
        rule.push_str("---:|");
    }
    println!("{head} few rounds |\n{rule}---:|");
    for class in Class::all() {
        let mut line = format!("| {class} |");
        for noise in 0..NOISE.len() {
            let of =
                |group: &Group| !group.few_rounds && group.noise == noise && group.class == class;
            line.push_str(&cell(total(results, of)));
        }
        let few = |group: &Group| group.few_rounds && group.noise < QUIET && group.class == class;
        line.push_str(&cell(total(results, few)));
        println!("{line}");
    }
}

fn cell(counts: Counts) -> String {
    let [low, high] = interval(counts.right, counts.traces);
    let wrong = counts.wrong_steps + counts.false_steps;
    let wrong = if wrong == 0 {
        String::new()
    } else {
        format!(" / {}", share(wrong, counts.traces))
    };
    format!(
        " {:.1} [{:.1}, {:.1}]{wrong} |",
        100.0 * counts.right as f64 / counts.traces.max(1) as f64,
        100.0 * low,
        100.0 * high,
    )
}

fn total(results: &Results, of: impl Fn(&Group) -> bool) -> Counts {
    let mut sum = Counts::default();
    for (_, counts) in results.iter().filter(|(group, _)| of(group)) {
        sum.add(*counts);
    }
    sum
}

const fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}

/// A share with its interval, in percent.
fn share(count: u64, of: u64) -> String {
    let [low, high] = interval(count, of);
    format!(
        "{:.2} % [{:.2}, {:.2}]",
        100.0 * count as f64 / of.max(1) as f64,
        100.0 * low,
        100.0 * high
    )
}

/// The exact 95 % interval of a share (Clopper and Pearson 1934): quantiles of beta distributions.
fn interval(count: u64, of: u64) -> [f64; 2] {
    let (k, n) = (count as f64, of as f64);
    let quantile =
        |a: f64, b: f64, p: f64| Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(p));
    [
        if count == 0 {
            0.0
        } else {
            quantile(k, n - k + 1.0, 0.025)
        },
        if count == of {
            1.0
        } else {
            quantile(k + 1.0, n - k, 0.975)
        },
    ]
}
