//! `nights.html`: what the nights were, in the order in which people ask: which series have an alarm, then each model's devices beside each other,
//! then the plots of the series, those with an alarm or a change first. Self-contained like the report's page.

use maud::{DOCTYPE, Markup, PreEscaped, html as markup};

use super::PAGE_CSS;
use crate::cells;
use crate::draw::page_css;
use crate::history::{HISTORY_SCHEMA_VERSION, NightPoint, SeriesHistory, Unjudged};
use crate::plots::nights::{self, Group};

/// Most plots of series that the page holds, those with an alarm or a change first; the others are files beside it.
const PLOTS: usize = 100;

/// The page of these nights. `files` names the folder of the plots beside the page, for series whose plots it does not hold.
#[must_use]
pub fn nights_html(series: &[SeriesHistory], files: Option<&str>) -> String {
    let groups = nights::groups(series);
    let shown = shown(&groups);
    markup! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="batchstep";
                title { "Nights" }
                style { (PreEscaped(page_css())) (PreEscaped(PAGE_CSS)) }
            }
            body {
                (header(series))
                main {
                    @if series.is_empty() {
                        p.empty { "No series is on record: no night was measured." }
                    } @else {
                        (overview(&groups, &shown))
                        @for (index, group) in groups.iter().enumerate() { (model(index, group, &shown, files)) }
                    }
                    (explanation())
                }
                footer.page {
                    @if files.is_some() {
                        p {
                            "Beside this page: " code { "history.json" } " (schema " (HISTORY_SCHEMA_VERSION) ") and the plots as SVG files in "
                            code { "plots/" } "."
                        }
                    }
                    p.muted { "batchstep" }
                }
            }
        }
    }
    .into_string()
}

/// File stems of the series whose plots are in the page.
fn shown<'a>(groups: &'a [Group<'_>]) -> Vec<&'a str> {
    let mut all: Vec<_> = groups.iter().flat_map(|group| &group.members).collect();
    all.sort_by_key(|member| rank(&member.series));
    all.truncate(PLOTS);
    all.iter().map(|member| member.stem.as_str()).collect()
}

/// An alarm now, an alarm once, a change, nothing.
fn rank(series: &SeriesHistory) -> u8 {
    let is_alarming = series.nights.last().is_some_and(|night| night.is_alarm);
    match (is_alarming, series.has_alarm(), series.has_change()) {
        (true, ..) => 0,
        (_, true, _) => 1,
        (.., true) => 2,
        _ => 3,
    }
}

fn header(series: &[SeriesHistory]) -> Markup {
    let nights = || series.iter().flat_map(|series| &series.nights);
    let first = nights().map(|night| &night.date).min();
    let last = nights().map(|night| &night.date).max();
    let alarming = series.iter().filter(|series| rank(series) == 0).count();
    markup! {
        header.page {
            h1 { "Nights" }
            p.meta {
                span { (count(series.len(), "series", "series")) }
                @if let (Some(first), Some(last)) = (first, last) { span { (first) " to " (last) } }
                span { b { (count(alarming, "series with an alarm", "series with an alarm")) } " on their last night" }
            }
        }
    }
}

fn count(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Every series in one table, those with an alarm first.
fn overview(groups: &[Group<'_>], shown: &[&str]) -> Markup {
    let mut rows: Vec<_> = groups.iter().flat_map(|group| &group.members).collect();
    rows.sort_by_key(|member| rank(&member.series));
    markup! {
        section aria-labelledby="overview" {
            h2 #overview { "The last night of each series" }
            div.scroll tabindex="0" role="region" aria-labelledby="overview" {
                table {
                    thead { tr {
                        th scope="col" { "Device" }
                        th scope="col" { "Host" }
                        th scope="col" { "Model" }
                        th scope="col" { "Workload" }
                        th scope="col" { "Last night" }
                        th scope="col" { "Verdict" }
                        th.number scope="col" { "Time" }
                        th.number scope="col" { "Baseline" }
                        th.number scope="col" { "Shift" }
                        th.number scope="col" { "Nights" }
                    } }
                    tbody { @for member in rows {
                        @let series = &member.series;
                        @let last = series.nights.last();
                        tr {
                            th scope="row" {
                                @if shown.contains(&member.stem.as_str()) { a href=(format!("#{}", member.stem)) { (series.device) } }
                                @else { (series.device) }
                            }
                            td { (series.host) }
                            td { (series.model) }
                            td.workload { (series.workload) @if !series.setting.is_empty() { span.muted { " · " (series.setting) } } }
                            td { (last.map_or(cells::ABSENT, |night| night.date.as_str())) }
                            td { (badge(last)) }
                            td.number { (duration(last.and_then(NightPoint::judged_seconds))) }
                            td.number { (duration(last.and_then(NightPoint::usable_baseline))) }
                            td.number { (last.and_then(NightPoint::shift).map_or_else(|| cells::ABSENT.to_owned(), nights::signed_percent)) }
                            td.number { (series.nights.len()) }
                        }
                    } }
                }
            }
        }
    }
}

fn duration(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| cells::ABSENT.to_owned(), cells::duration)
}

/// The verdict of a night, with a shape beside an alarm so that colour is not needed.
fn badge(night: Option<&NightPoint>) -> Markup {
    let Some(night) = night else {
        return markup! { (cells::ABSENT) };
    };
    let words = match &night.unjudged {
        Some(Unjudged::Missing { .. }) => "missing",
        Some(Unjudged::Invalid { .. }) => "invalid",
        None => night.verdict.as_str(),
    };
    if night.is_alarm {
        markup! { span.badge.unsure { span aria-hidden="true" { "▲" } " " (words) ", alarm" } }
    } else {
        markup! { span.badge { (words) } }
    }
}

/// The devices of one model with one workload: beside each other, then each on its own.
fn model(index: usize, group: &Group<'_>, shown: &[&str], files: Option<&str>) -> Markup {
    let id = format!("model-{}", index + 1);
    let mut members: Vec<_> = group.members.iter().collect();
    members.sort_by_key(|member| rank(&member.series));
    let (held, others): (Vec<_>, Vec<_>) = members
        .into_iter()
        .partition(|member| shown.contains(&member.stem.as_str()));
    let quiet_from = held
        .iter()
        .position(|member| rank(&member.series) == 3)
        .unwrap_or(held.len());
    let (notable, quiet) = held.split_at(quiet_from);
    markup! {
        section.row aria-labelledby=(id) {
            h2 #(id) { (group.name()) }
            p.meta {
                @if !group.setting().is_empty() { span { (group.setting()) } }
                @if !group.schedule().is_empty() { span { "schedule " b { (group.schedule()) } } }
                span { (count(group.members.len(), "device", "devices")) }
            }
            @if let Some(picture) = group.devices() {
                div.plots.wide { figure { (PreEscaped(picture.inline(&group.stem))) } }
            }
            @for (words, members) in [("With an alarm or a change", notable), ("Without alarm or change", quiet)] {
                @if !members.is_empty() {
                    h3 { (words) }
                    div.plots.wide { @for member in members {
                        figure #(member.stem) { (PreEscaped(member.picture().inline(&format!("{}-plot", member.stem)))) }
                    } }
                }
            }
            @if !others.is_empty() {
                details {
                    summary { (count(others.len(), "further series", "further series")) ", without alarm or change or beyond the first " (PLOTS) }
                    ul { @for member in others { li {
                        @match files {
                            Some(folder) => { a href=(format!("{folder}/{}", member.file_name(crate::Theme::Light))) { (member.series.device) } }
                            None => { (member.series.device) }
                        }
                        @if let Some(last) = member.series.nights.last() { ": " (nights::result(last)) }
                    } } }
                }
            }
        }
    }
}

fn explanation() -> Markup {
    markup! {
        section.explanation aria-labelledby="reading" {
            h2 #reading { "How to read this" }
            p {
                "Each night gives a device one time: the geometric mean, over the schedule's batch sizes, of the median time of an iteration. It is \
                 judged against the device's own past. Pointing at a mark tells its numbers."
            }
            dl.terms {
                dt { "Baseline, gates" } dd { "The line is what the device usually needs; a night within the shaded band is no hit. Both begin anew with each segment, and stand still while an alarm is open." }
                dt { "Hit" } dd { "A night beyond the gates, a triangle that points to its side: up is slower. One alone is provisional." }
                dt { "Alarm" } dd { "A ring. Somebody was told, once, and it is still the case." }
                dt { "Something changed" } dd { "A line through all panels: driver, libraries, power limit and the like. What was before cannot be compared with what came after." }
                dt { "Acknowledged" } dd { "A flag with the name of whoever did; their reason is in the list below the plot." }
                dt { "Missing, invalid" } dd { "Bars below the times: nothing came by the night's deadline, or what came was throttled, contended or incomplete." }
                dt { "Devices beside each other" } dd { "Each strip has the same scale. 0 % is the median of the devices over all these nights, so a shift of all of them shows, too. What lies further out than 60 % is drawn at the edge." }
            }
        }
    }
}
