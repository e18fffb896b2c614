//! The tables of the page, and the bars.

use std::collections::BTreeMap;

use batchstep_judge::Kind;
use statrs::distribution::{Beta, ContinuousCDF as _, Gamma};

use crate::{
    found::{BY_NIGHT, Found},
    quiet::Quiet,
};

/// Confirmed false alarms per 300 series-nights at 1 % spread, at most.
const FALSE_ALARMS: f64 = 0.05;
/// Share of changes of one device's environment, without a shift, that raise an alarm, at most. None cannot be had together with telling a shift the same night: with heavy tails
/// one night in a thousand is 5 % slower.
const FALSE_CHANGES: f64 = 0.005;
/// Share of what should be found in time, at least.
const DETECTION: f64 = 0.95;

/// Prints both tables and the bars; false where one is missed.
pub fn print(quiet: &[Quiet], found: &[Found]) -> bool {
    print_quiet(quiet);
    print_digest(quiet);
    print_found(found);
    print_others(found);
    print_bars(quiet, found)
}

fn print_quiet(quiet: &[Quiet]) {
    println!(
        "| spread | noise | series-nights | false alarms | per 300 series-nights | confirmed | outlier | model-wide | step | bar |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|---|");
    for it in quiet {
        let (low, high) = poisson(it.alarms());
        let count = |kind| Quiet::of(&it.told, kind);
        let bar = if it.spread == 0.01 {
            met(per_300(it.alarms(), it.nights) <= FALSE_ALARMS)
        } else {
            ""
        };
        println!(
            "| {:.1} % | {} | {} | {} | {:.4} [{:.4}, {:.4}] | {} | {} | {} | {} | {bar} |",
            it.spread * 100.0,
            it.noise.name(),
            it.nights,
            it.alarms(),
            per_300(it.alarms(), it.nights),
            300.0 * low / it.nights as f64,
            300.0 * high / it.nights as f64,
            count(Kind::Confirmed),
            count(Kind::Outlier),
            count(Kind::ModelWide),
            count(Kind::StepChanged),
        );
    }
    println!();
}

fn print_digest(quiet: &[Quiet]) {
    println!(
        "| spread | noise | measured again | provisional | unstable | drift | improved | slower in cycles | alarms while learning |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for it in quiet {
        let rate = |kind| per_300(Quiet::of(&it.noticed, kind), it.nights);
        println!(
            "| {:.1} % | {} | {:.2} | {:.2} | {:.3} | {:.3} | {:.3} | {:.3} | {:.3} |",
            it.spread * 100.0,
            it.noise.name(),
            per_300(it.again, it.nights),
            rate(Kind::Provisional),
            rate(Kind::Unstable),
            rate(Kind::Drift),
            rate(Kind::Improved),
            rate(Kind::SlowerInCycles),
            per_300(it.learning.0, it.learning.1),
        );
    }
    println!();
}

fn print_found(found: &[Found]) {
    let nights: Vec<String> = BY_NIGHT
        .iter()
        .map(|night| format!("night {night}"))
        .collect();
    println!(
        "| what happens | noise | cases | {} | told twice |",
        nights.join(" | ")
    );
    println!("|---|---|---:|{}---:|", "---:|".repeat(BY_NIGHT.len()));
    for it in by_case(found) {
        let shares = it.by_night.iter().map(|count| share(*count, it.cases));
        let shares: Vec<String> = shares.collect();
        println!(
            "| {} | {} | {} | {} | {} |",
            it.case.name,
            it.noise.name(),
            it.cases,
            shares.join(" | "),
            it.twice
        );
    }
    println!();
}

fn print_others(found: &[Found]) {
    println!("| what happens | noise | other alarms in 28 nights |");
    println!("|---|---|---|");
    for it in by_case(found).filter(|it| !it.others.is_empty()) {
        println!(
            "| {} | {} | {} |",
            it.case.name,
            it.noise.name(),
            in_words(&it.others)
        );
    }
    println!();
}

/// Cases in their order, each with its kinds of noise.
fn by_case(found: &[Found]) -> impl Iterator<Item = &Found> {
    let names: Vec<&str> = crate::cases::CASES.iter().map(|case| case.name).collect();
    names
        .into_iter()
        .flat_map(|name| found.iter().filter(move |it| it.case.name == name))
}

/// One bar, in words, and whether it is met by each of what it is about.
struct Bar {
    name: &'static str,
    all: Vec<(String, bool)>,
}

fn print_bars(quiet: &[Quiet], found: &[Found]) -> bool {
    let at_least = |name: &'static str, case: &str, night: u32| Bar {
        name,
        all: of(found, case)
            .map(|it| {
                let share = it.by(night) as f64 / it.cases as f64;
                (
                    format!("{} {:.2} %", it.noise.name(), share * 100.0),
                    share >= DETECTION,
                )
            })
            .collect(),
    };
    let none = |name: &'static str, case: &str, count: fn(&Found) -> u64| Bar {
        name,
        all: of(found, case)
            .map(|it| (format!("{} {}", it.noise.name(), count(it)), count(it) == 0))
            .collect(),
    };
    let false_alarms = quiet.iter().filter(|it| it.spread == 0.01).map(|it| {
        let rate = per_300(it.alarms(), it.nights);
        (
            format!("{} {rate:.4}", it.noise.name()),
            rate <= FALSE_ALARMS,
        )
    });
    let lost = |name, case| Bar {
        name,
        all: of(found, case)
            .map(|it| {
                let is_met = it.by(1) == it.cases && it.returned == it.cases && it.twice == 0;
                (
                    format!(
                        "{} {} of {}, {} back",
                        it.noise.name(),
                        it.by(1),
                        it.cases,
                        it.returned
                    ),
                    is_met,
                )
            })
            .collect(),
    };
    let bars = [
        Bar {
            name: "at 1 % spread at most 0.05 false alarms per 300 series-nights",
            all: false_alarms.collect(),
        },
        at_least(
            "8 % confirmed by the third night in 95 %",
            "device 8 % slower",
            3,
        ),
        at_least(
            "its own smallest detectable shift by the third night in 95 %",
            "device slower by its own smallest detectable shift",
            3,
        ),
        at_least(
            "3 % model-wide on 8 devices by the second night in 95 %",
            "model 3 % slower",
            2,
        ),
        none(
            "a change of driver without a shift: alarms about it (a model's)",
            "driver of a model, no shift",
            |it| it.by(28),
        ),
        Bar {
            name: "the same of one device whose siblings do not share the change: of at most 0.5 %",
            all: of(found, "driver of one device, no shift")
                .map(|it| {
                    let share = it.by(28) as f64 / it.cases as f64;
                    let measured = format!("{} {} of {}", it.noise.name(), it.by(28), it.cases);
                    (measured, share <= FALSE_CHANGES)
                })
                .collect(),
        },
        at_least(
            "a change with 8 % told as such the same night in 95 % (a model's)",
            "driver of a model, 8 % slower",
            1,
        ),
        at_least(
            "the same of one device",
            "driver of one device, 8 % slower",
            1,
        ),
        none(
            "and never, within a week, as an unexplained regression (a model's)",
            "driver of a model, 8 % slower",
            |it| it.unexplained,
        ),
        none(
            "the same of one device",
            "driver of one device, 8 % slower",
            |it| it.unexplained,
        ),
        lost(
            "every lost host told on its first night, once, and its return",
            "host lost for five nights",
        ),
        lost("every lost device likewise", "device lost for five nights"),
        at_least(
            "a step that moved told by the second night in 95 %",
            "step from 16 to 24",
            2,
        ),
    ];
    println!("| bar | measured | |");
    println!("|---|---|---|");
    let mut is_all_met = true;
    for Bar { name, all } in bars {
        let is_met = !all.is_empty() && all.iter().all(|(_, is_met)| *is_met);
        is_all_met &= is_met;
        let measured: Vec<String> = all.into_iter().map(|(measured, _)| measured).collect();
        println!("| {name} | {} | {} |", measured.join(", "), met(is_met));
    }
    is_all_met
}

fn of<'a>(found: &'a [Found], case: &'a str) -> impl Iterator<Item = &'a Found> {
    found.iter().filter(move |it| it.case.name == case)
}

const fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

fn in_words(counts: &BTreeMap<Kind, u64>) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{kind:?} {count}"))
        .collect();
    words.join(", ")
}

fn per_300(count: u64, nights: u64) -> f64 {
    300.0 * count as f64 / nights.max(1) as f64
}

/// A share in per cent with its 95 % interval (Clopper and Pearson, 1934).
fn share(count: u64, all: u64) -> String {
    let (k, n) = (count as f64, all as f64);
    let bound =
        |a: f64, b: f64, p: f64| Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(p));
    let low = if count == 0 {
        0.0
    } else {
        bound(k, n - k + 1.0, 0.025)
    };
    let high = if count == all {
        1.0
    } else {
        bound(k + 1.0, n - k, 0.975)
    };
    format!(
        "{:.1} [{:.1}, {:.1}]",
        100.0 * k / n,
        100.0 * low,
        100.0 * high
    )
}

/// 95 % interval of a Poisson mean (Garwood, 1936).
fn poisson(count: u64) -> (f64, f64) {
    let bound =
        |shape: f64, p: f64| Gamma::new(shape, 1.0).map_or(f64::NAN, |gamma| gamma.inverse_cdf(p));
    let k = count as f64;
    let low = if count == 0 { 0.0 } else { bound(k, 0.025) };
    (low, bound(k + 1.0, 0.975))
}
