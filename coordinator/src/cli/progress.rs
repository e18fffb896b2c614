//! What a running sweep looks like: bars on a terminal, sparse plain lines elsewhere, always on stderr. Told by `follow`; asks nobody anything.

use std::{collections::BTreeMap, io::IsTerminal as _, time::Duration};

use batchstep_proto::wire;
use batchstep_report::cells;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{article, text};

/// How often bars are redrawn without news.
const TICK: Duration = Duration::from_millis(250);
/// Steps of a bar; it shows how much of the budget is used, or of the round where there is no budget.
const BAR_STEPS: u64 = 1000;

/// What is known of one series.
struct Line {
    label: String,
    device_id: String,
    /// Several devices measure it.
    shared: bool,
    state: wire::SeriesState,
    rounds_done: u32,
    blocks: u32,
    remaining: Duration,
    bar: Option<ProgressBar>,
}

/// The view of one sweep.
pub(super) struct Progress {
    bars: Option<MultiProgress>,
    /// `None` where the iterations end the sweep: then nothing is known of the time left.
    budget: Option<Duration>,
    series: BTreeMap<String, Line>,
}

impl Progress {
    /// Bars where stderr is a terminal, lines elsewhere; `sweep` as it is now.
    pub(super) fn new(sweep: &wire::Sweep) -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5)));
        let budget = sweep
            .spec
            .as_ref()
            .filter(|spec| !article::has_no_budget(spec))
            .map(|spec| Duration::from_nanos(spec.budget_ns));
        let mut progress = Self {
            bars,
            budget,
            series: BTreeMap::new(),
        };
        progress.refresh(sweep);
        progress
    }

    /// Takes over what a fresh answer says.
    pub(super) fn refresh(&mut self, sweep: &wire::Sweep) {
        for series in &sweep.series {
            self.update(series);
        }
    }

    /// Shows one event.
    pub(super) fn show(&mut self, event: &wire::Event) {
        use wire::event::Kind;
        match &event.kind {
            Some(Kind::SeriesStarted(started)) => {
                if let Some(series) = &started.series {
                    self.update(series);
                    if self.bars.is_none() {
                        self.say(&format!(
                            "{}: measuring begins",
                            self.name(&series.series_id)
                        ));
                    }
                }
            }
            Some(Kind::RoundEnded(ended)) => self.round_ended(ended),
            Some(Kind::SeriesEnded(ended)) => {
                if let Some(series) = &ended.series {
                    self.update(series);
                    self.series_ended(series, &ended.message);
                }
            }
            Some(Kind::Progress(progress)) => self.visit(progress),
            Some(Kind::AgentDisconnected(gone)) => self.say(&format!(
                "an agent is away ({}); its rounds wait or go on without us",
                gone.reason
            )),
            Some(Kind::AgentRestricted(restricted)) => {
                if let Some(reason) = &restricted.cordon_reason {
                    let host = &restricted.hostname;
                    self.say(&format!("the agent on {host} is cordoned: {reason}"));
                }
            }
            Some(Kind::DeviceDeparted(departed)) => self.say(&format!(
                "{}: {} on {} takes no further part: {}",
                self.name(&departed.series_id),
                departed.device_id,
                departed.hostname,
                departed.reason
            )),
            Some(Kind::SweepEnded(ended))
                if ended.state() != wire::SweepState::Done && !ended.message.is_empty() =>
            {
                self.say(&ended.message);
            }
            _ => {}
        }
    }

    /// A line of its own, above the bars.
    pub(super) fn say(&self, line: &str) {
        match &self.bars {
            // A terminal that cannot be written is no reason to stop measuring.
            Some(bars) => drop(bars.println(line)),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bars away.
    pub(super) fn end(&mut self) {
        for line in self.series.values_mut() {
            if let Some(bar) = line.bar.take() {
                bar.finish_and_clear();
            }
        }
        if let Some(bars) = &self.bars {
            drop(bars.clear());
        }
    }

    fn update(&mut self, series: &wire::Series) {
        let line = self
            .series
            .entry(series.series_id.clone())
            .or_insert_with(|| Line {
                label: label_of(series),
                device_id: series.device_id.clone(),
                shared: series.shared_by > 1,
                state: wire::SeriesState::Waiting,
                rounds_done: 0,
                blocks: 0,
                remaining: Duration::ZERO,
                bar: None,
            });
        line.state = series.state();
        line.rounds_done = line.rounds_done.max(series.rounds_done);
        line.blocks = line.blocks.max(series.blocks);
        line.remaining = Duration::from_nanos(series.remaining_ns);
        if is_over(line.state)
            && let Some(bar) = line.bar.take()
        {
            bar.finish_and_clear();
        }
    }

    fn round_ended(&mut self, ended: &wire::RoundEnded) {
        if let Some(series) = &ended.series {
            self.update(series);
        }
        let mut label = self.name(&ended.series_id);
        let line = self.series.get(&ended.series_id);
        if line.is_some_and(|line| line.shared) {
            label.push_str(&format!(", {}", ended.device_id));
        }
        let number = ended.round + 1;
        let outcome = match ended.outcome() {
            wire::AttemptOutcome::Finished => "",
            wire::AttemptOutcome::Broken => "broken, what it measured is kept",
            wire::AttemptOutcome::Stopped => "stopped, what it measured is kept",
            wire::AttemptOutcome::TimedOut => "over its time limit, what it measured is kept",
            wire::AttemptOutcome::Refused | wire::AttemptOutcome::Unspecified => "did not run",
        };
        if !outcome.is_empty() {
            let because = if ended.message.is_empty() {
                String::new()
            } else {
                format!(": {}", ended.message)
            };
            self.say(&format!("{label}: round {number} {outcome}{because}"));
        } else if self.bars.is_none() {
            let done = self
                .series
                .get(&ended.series_id)
                .map_or_else(String::new, |line| {
                    format!(
                        ", {} so far{}",
                        text::count(line.blocks, "block"),
                        self.time_left(&ended.series_id, line.remaining)
                    )
                });
            self.say(&format!("{label}: round {number} done{done}"));
        }
    }

    fn series_ended(&self, series: &wire::Series, message: &str) {
        let what = match series.state() {
            wire::SeriesState::Failed => "failed",
            wire::SeriesState::Cancelled => "cancelled",
            _ => "done",
        };
        let mut line = format!(
            "{}: {what}, {} in {} and {} of measuring",
            self.name(&series.series_id),
            text::count(series.blocks, "block"),
            text::count(series.rounds_done, "round"),
            cells::long_duration(Duration::from_nanos(series.measuring_ns).as_secs_f64())
        );
        if !message.is_empty() {
            line.push_str(": ");
            line.push_str(message);
        }
        self.say(&line);
    }

    fn visit(&mut self, progress: &wire::RoundProgress) {
        let remaining = Duration::from_nanos(progress.remaining_ns);
        let time_left = self.time_left(&progress.series_id, remaining);
        let budget = self.budget;
        let name = self.name(&progress.series_id);
        let (Some(bars), Some(line)) = (&self.bars, self.series.get_mut(&progress.series_id))
        else {
            return;
        };
        line.remaining = remaining;
        let bar = line.bar.get_or_insert_with(|| new_bar(bars, name));
        let share = match budget {
            Some(budget) => {
                budget.saturating_sub(remaining).as_secs_f64() / budget.as_secs_f64().max(1e-9)
            }
            None => f64::from(progress.visits_done) / f64::from(progress.visits_total.max(1)),
        };
        bar.set_position((share.clamp(0.0, 1.0) * BAR_STEPS as f64) as u64);
        let warming_up = if progress.warming_up {
            " (warming up)"
        } else {
            ""
        };
        bar.set_message(format!(
            "batch size {}{warming_up}, round {} ({}/{}){time_left}",
            progress.batch_size,
            progress.round + 1,
            progress.visits_done,
            progress.visits_total,
        ));
    }

    /// What a series is called: workload and device model, with the device's id where another device of the sweep is called the same.
    fn name(&self, series_id: &str) -> String {
        let Some(line) = self.series.get(series_id) else {
            return "a series".to_owned();
        };
        let twin = |other: &Line| other.label == line.label && other.device_id != line.device_id;
        if self.series.values().any(twin) {
            format!("{} ({})", line.label, line.device_id)
        } else {
            line.label.clone()
        }
    }

    /// What is left for a series, and for all that its device still has to do, after a comma; nothing without a budget.
    fn time_left(&self, series_id: &str, remaining: Duration) -> String {
        if self.budget.is_none() {
            return String::new();
        }
        let say = |duration: Duration| cells::long_duration(duration.as_secs_f64().round());
        let device = self
            .series
            .get(series_id)
            .map(|line| line.device_id.as_str());
        let others: Duration = self
            .series
            .iter()
            .filter(|(id, line)| {
                id.as_str() != series_id
                    && Some(line.device_id.as_str()) == device
                    && !is_over(line.state)
            })
            .map(|(_, line)| line.remaining)
            .sum();
        if others.is_zero() {
            format!(", at most {} left", say(remaining))
        } else {
            format!(
                ", at most {} left, {} in all",
                say(remaining),
                say(remaining + others)
            )
        }
    }
}

fn new_bar(bars: &MultiProgress, name: String) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(BAR_STEPS));
    let style = ProgressStyle::with_template("{spinner} {prefix}\n  [{bar:10}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    bar.set_style(style);
    bar.set_prefix(name);
    bar.enable_steady_tick(TICK);
    bar
}

fn label_of(series: &wire::Series) -> String {
    format!(
        "{} on {}",
        text::short_digests(&series.workload),
        text::device(series)
    )
}

const fn is_over(state: wire::SeriesState) -> bool {
    matches!(
        state,
        wire::SeriesState::Done | wire::SeriesState::Failed | wire::SeriesState::Cancelled
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_model_are_told_apart() {
        let series = |id: &str, workload: &str, device: &str| wire::Series {
            series_id: id.to_owned(),
            workload: workload.to_owned(),
            device_id: device.to_owned(),
            device_model: "H200".to_owned(),
            ..Default::default()
        };
        let progress = Progress::new(&wire::Sweep {
            series: vec![
                series("1", "cnn", "GPU-a"),
                series("2", "cnn", "GPU-b"),
                series("3", "linear", "GPU-a"),
            ],
            ..Default::default()
        });
        let names = ["1", "2", "3", "4"].map(|id| progress.name(id));
        assert_eq!(
            names,
            [
                "cnn on H200 (GPU-a)",
                "cnn on H200 (GPU-b)",
                "linear on H200",
                "a series"
            ]
        );
    }

    #[test]
    fn time_left_is_told_only_where_a_budget_was_given() {
        let time_left = |budget: Duration, preset: Option<&str>| {
            let spec = wire::SweepSpec {
                budget_ns: u64::try_from(budget.as_nanos()).unwrap(),
                iterations: Some(200),
                preset: preset.map(str::to_owned),
                ..Default::default()
            };
            let sweep = wire::Sweep {
                spec: Some(spec),
                ..Default::default()
            };
            Progress::new(&sweep).time_left("series", budget)
        };
        let month = Duration::from_secs(30 * 86_400);
        assert_eq!(time_left(month, Some("article")), "");
        assert!(time_left(Duration::from_secs(600), Some("article")).contains("at most 10 min"));
        assert!(time_left(month, None).contains("left"));
    }
}
