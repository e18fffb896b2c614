//! How advice reads: what a batch size costs beside the better ones, the batch sizes worth knowing, and which to use. Called by `advise`; computes nothing
//! that is not in the answer.

use batchstep_core::{
    advise::{Advice, Basis, MemoryLimit, Near, Neighbour, SizeFacts, Source},
    steptable::{Row, Verdict},
};
use batchstep_proto::domain::DeviceKind;
use batchstep_report::{cells, siblings};
use comfy_table::{CellAlignment, ContentArrangement, presets};

use super::grid;

/// Ratios of samples up to this are told as a percentage.
const PERCENT_UP_TO: f64 = 2.0;

/// Batch sizes good on every disputing device that are shown.
const COMMON_SHOWN: usize = 8;

/// The advice as a page of text.
pub(super) fn for_people(row: &Row, advice: &Advice, command: Option<&str>) -> String {
    let mut paragraphs = vec![heading(row, advice)];
    paragraphs.extend(advice.near.as_ref().map(|near| asked(near, advice)));
    let unknown = advice
        .near
        .as_ref()
        .is_some_and(|near| near.unknown_because.is_some());
    if !advice.batch_sizes.is_empty() && !unknown {
        paragraphs.push(sizes(row, advice));
    }
    paragraphs.extend(advice.memory_limit.map(|limit| memory(limit, row)));
    paragraphs.extend(conclusion(advice));
    if let Some(command) = command {
        let purpose = match advice.basis {
            Basis::Irregular => "To look closer",
            _ => "To measure it",
        };
        paragraphs.push(format!("{purpose}:\n  {command}"));
    }
    paragraphs.join("\n\n")
}

fn heading(row: &Row, advice: &Advice) -> String {
    let mut lines = vec![format!(
        "{} on {}: {}",
        cells::workload_spec(row),
        cells::device(row),
        cells::setting(row)
    )];
    let mut headline = cells::headline(row);
    if let Some(confidence) = row.confidence.filter(|_| row.verdict == Verdict::Step) {
        headline.push_str(&format!(", confidence {}", cells::confidence(confidence)));
    }
    let counted = row.agreeing_devices > 0 && row.verdict != Verdict::Disputed;
    if let Some(share) = siblings::share(row).filter(|_| counted) {
        headline.push_str(&format!(", {share}"));
    }
    if let Some([first, last]) = advice.measured_range {
        headline.push_str(&format!("; measured from {first} to {last}"));
    }
    lines.push(format!("{headline}."));
    match advice.basis {
        Basis::Step => {}
        Basis::NoStep => {
            let mut text = match advice.uneven_at {
                None => "Any batch size is as good as its neighbours".to_owned(),
                Some(size) => format!(
                    "On average any batch size is as good as its neighbours, but one sample more than {size} costs more than the others"
                ),
            };
            if let Some(seconds) = advice.seconds_per_further_sample.filter(|cost| *cost > 0.0) {
                text.push_str(&format!(
                    ": each further sample costs {}",
                    cells::duration(seconds)
                ));
            }
            text.push('.');
            if let Some(knee) = row.knee_batch_size {
                text.push_str(&format!(
                    " Throughput is within 5 % of the best from {knee} on."
                ));
            }
            lines.push(text);
        }
        Basis::Irregular => lines.push(
            "The time jumps without a period: what follows was measured, and no law says what lies between."
                .to_owned(),
        ),
        Basis::Nothing => {
            lines.push(format!("There is no advice: {}.", row.reason));
            if !advice.common_good_batch_sizes.is_empty() {
                lines.push(format!(
                    "Good on each of the devices that have an answer: {}.",
                    cells::batch_sizes(&advice.common_good_batch_sizes, COMMON_SHOWN)
                ));
            }
            lines.extend(row.next_action.as_ref().map(|action| format!("Next: {action}.")));
        }
    }
    lines.extend(
        siblings::lines(row)
            .into_iter()
            .map(|line| format!("  {line}")),
    );
    let software = cells::software(row);
    if !software.is_empty() {
        lines.push(software);
    }
    lines.join("\n")
}

fn asked(near: &Near, advice: &Advice) -> String {
    let size = near.facts.batch_size;
    if let Some(because) = &near.unknown_because {
        let mut text = format!("What {size} costs is not known: {because}.");
        let beside: Vec<String> = [&near.below, &near.above]
            .into_iter()
            .flatten()
            .map(|neighbour| neighbour.facts.batch_size.to_string())
            .collect();
        if advice.basis == Basis::Step && !beside.is_empty() {
            text.push_str(&format!(
                " If the step goes on, the good batch {} {}.",
                if beside.len() == 1 {
                    "size next to it is"
                } else {
                    "sizes next to it are"
                },
                beside.join(" and ")
            ));
        }
        return text;
    }
    let mut sentences = Vec::new();
    if near.is_good == Some(true) {
        let next = near
            .facts
            .next_sample_cost
            .map_or_else(String::new, |cost| {
                format!("; one sample more costs {} more time", cells::percent(cost))
            });
        sentences.push(format!(
            "{size} is a good batch size: it fills its last round{next}."
        ));
    }
    match (&near.below, &near.above) {
        (Some(below), _) => sentences.extend(over(size, below)),
        (None, Some(above)) => sentences.extend(under(size, above)),
        (None, None) => {}
    }
    let beside: Vec<String> = [&near.below, &near.above]
        .into_iter()
        .flatten()
        .filter(|neighbour| neighbour.facts.fits != Some(false))
        .filter_map(per_sample)
        .collect();
    if !beside.is_empty() {
        sentences.push(format!(
            "Against {size}, a sample costs {}.",
            beside.join(" and ")
        ));
    }
    if let Some(cost) = near.facts.cost_per_sample_over_best {
        sentences.push(format!(
            "At {size} a sample costs {} times the cheapest one measured.",
            ratio(cost)
        ));
    }
    let below = near.below.as_ref().map(|neighbour| &neighbour.facts);
    let above = near.above.as_ref().map(|neighbour| &neighbour.facts);
    let too_large: Vec<String> = [below, Some(&near.facts), above]
        .into_iter()
        .flatten()
        .filter(|facts| facts.fits == Some(false))
        .map(|facts| facts.batch_size.to_string())
        .collect();
    if !too_large.is_empty() {
        let verb = if too_large.len() == 1 { "does" } else { "do" };
        sentences.push(format!(
            "{} {verb} not fit into the memory.",
            too_large.join(", ")
        ));
    }
    if near.facts.seconds_source == Some(Source::Extrapolated) {
        sentences.push(format!(
            "{size} was not measured: its time is extrapolated."
        ));
    }
    sentences.join("\n")
}

/// "Batch size 34 takes 1.31 times as long as 32, for 6 % more samples."
fn over(size: u32, below: &Neighbour) -> Option<String> {
    Some(format!(
        "Batch size {size} takes {} times as long as {}, for {}.",
        ratio(below.time_ratio?),
        below.facts.batch_size,
        more_samples(below.samples_ratio)
    ))
}

fn under(size: u32, above: &Neighbour) -> Option<String> {
    Some(format!(
        "Batch size {} takes {} times as long as {size}, for {}.",
        above.facts.batch_size,
        ratio(1.0 / above.time_ratio?),
        more_samples(1.0 / above.samples_ratio)
    ))
}

fn more_samples(times: f64) -> String {
    if times <= PERCENT_UP_TO {
        format!("{} more samples", cells::percent(times - 1.0))
    } else {
        format!("{} times the samples", cells::significant(times, 3))
    }
}

/// "19 % less at 32".
fn per_sample(neighbour: &Neighbour) -> Option<String> {
    let change = 1.0 / neighbour.cost_per_sample_ratio? - 1.0;
    let word = if change <= 0.0 { "less" } else { "more" };
    Some(format!(
        "{} {word} at {}",
        cells::percent(change.abs()),
        neighbour.facts.batch_size
    ))
}

/// A ratio with two decimals.
fn ratio(value: f64) -> String {
    format!("{value:.2}")
}

/// The batch sizes worth knowing: all of them, or those from half to twice the one asked about.
fn sizes(row: &Row, advice: &Advice) -> String {
    let mut listed: Vec<&SizeFacts> = match &advice.near {
        None => advice.batch_sizes.iter().collect(),
        Some(near) => {
            let size = near.facts.batch_size;
            let beside = [&near.below, &near.above].into_iter().flatten();
            advice
                .batch_sizes
                .iter()
                .filter(|facts| {
                    let asked_or_advised = advice.advised_batch_sizes.contains(&facts.batch_size);
                    asked_or_advised
                        || (size / 2..=size.saturating_mul(2)).contains(&facts.batch_size)
                })
                .chain(beside.map(|neighbour| &neighbour.facts))
                .chain([&near.facts])
                .filter(|facts| facts.seconds.is_some())
                .collect()
        }
    };
    listed.sort_by_key(|facts| facts.batch_size);
    listed.dedup_by_key(|facts| facts.batch_size);
    let with_memory = listed.iter().any(|facts| facts.peak_memory_bytes.is_some());
    let mut header = vec![
        "batch size",
        "iteration",
        "throughput",
        "cost per sample",
        "one sample more",
    ];
    if with_memory {
        header.push("memory");
    }
    let numbers = header.len();
    header.push("");
    let mut table = comfy_table::Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header);
    for column in table.column_iter_mut().take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for facts in listed {
        let absent = || cells::ABSENT.to_owned();
        let mut row_cells = vec![
            facts.batch_size.to_string(),
            facts.seconds.map_or_else(absent, cells::duration),
            facts
                .samples_per_second
                .map_or_else(absent, cells::throughput),
            facts
                .cost_per_sample_over_best
                .map_or_else(absent, |cost| format!("× {}", ratio(cost))),
            facts.next_sample_cost.map_or_else(absent, more_time),
        ];
        if with_memory {
            row_cells.push(facts.peak_memory_bytes.map_or_else(absent, cells::bytes));
        }
        row_cells.push(notes(facts, row, advice));
        table.add_row(row_cells);
    }
    grid::trim_lines(&table.to_string())
}

fn more_time(cost: f64) -> String {
    let sign = if cost < 0.0 { "-" } else { "+" };
    format!("{sign}{}", cells::percent(cost.abs()))
}

fn notes(facts: &SizeFacts, row: &Row, advice: &Advice) -> String {
    let asked = advice
        .near
        .as_ref()
        .is_some_and(|near| near.facts.batch_size == facts.batch_size);
    let extrapolated = facts.seconds_source == Some(Source::Extrapolated);
    [
        (asked, "asked about"),
        (
            advice.advised_batch_sizes.contains(&facts.batch_size),
            "advised",
        ),
        (row.knee_batch_size == Some(facts.batch_size), "knee"),
        (extrapolated, "extrapolated"),
        (facts.fits == Some(false), "does not fit"),
    ]
    .into_iter()
    .filter_map(|(holds, note)| holds.then_some(note))
    .collect::<Vec<_>>()
    .join(", ")
}

fn memory(limit: MemoryLimit, row: &Row) -> String {
    let amount = cells::bytes(limit.at_most_bytes);
    let mut text = match limit.largest_batch_size {
        Some(size) => {
            let how = match limit.source {
                Some(Source::Extrapolated) => ", extrapolated from the peaks of smaller ones",
                Some(Source::Interpolated) => ", by the peaks of its neighbours",
                _ => "",
            };
            format!("Within {amount}: batch sizes up to {size}{how}.")
        }
        None => format!("No batch fits into {amount}."),
    };
    if row.device_kind == DeviceKind::Cuda {
        text.push_str(
            " Memory is what libtorch's allocator had in use; the driver takes more for itself.",
        );
    }
    text
}

fn conclusion(advice: &Advice) -> Option<String> {
    let sizes: Vec<String> = advice
        .advised_batch_sizes
        .iter()
        .map(ToString::to_string)
        .collect();
    match (sizes.as_slice(), advice.basis) {
        ([], Basis::Nothing) => None,
        ([], _) => None,
        (sizes, _) => Some(format!("Use {}.{}", sizes.join(" or "), preference(advice))),
    }
}

/// Of two advised batch sizes, the one at which a sample costs less.
fn preference(advice: &Advice) -> String {
    let known = |size: &u32| {
        let near = advice.near.iter().flat_map(|near| {
            [&near.below, &near.above]
                .into_iter()
                .flatten()
                .map(|neighbour| &neighbour.facts)
        });
        let facts = near
            .chain(&advice.batch_sizes)
            .find(|facts| facts.batch_size == *size)?;
        Some((facts.cost_per_sample_over_best?, *size))
    };
    let mut costs: Vec<(f64, u32)> = advice
        .advised_batch_sizes
        .iter()
        .filter_map(known)
        .collect();
    costs.sort_by(|one, other| one.0.total_cmp(&other.0));
    match costs.as_slice() {
        [(best, size), (other, _), ..] => format!(
            " A sample costs {} less at {size}.",
            cells::percent(1.0 - best / other)
        ),
        _ => String::new(),
    }
}
