//! Nights and messages as metrics; names and labels are those of `batchstep_tell::metrics`, which the alerting rules are written for.

use batchstep_tell::{
    ChannelName,
    metrics::{ALARMS, LAST_NIGHT, MESSAGES, Metric, NIGHT_STATE, QUEUED, SERIES},
};

use super::exposition::{Exposition, Labels};
use crate::nightly::{Figures, NIGHT_STATES, Outcomes};

/// What a scrape tells of nights.
pub(super) struct Nights {
    pub figures: Vec<Figures>,
    pub queued: Vec<(ChannelName, usize)>,
    pub outcomes: Outcomes,
}

impl Nights {
    pub(super) fn add(&self, out: &mut Exposition) {
        for figures in &self.figures {
            let schedule = figures.schedule.as_str();
            for (kind, count) in &figures.alarms {
                let values = [schedule, kind.as_str()];
                gauge(out, ALARMS, &values, f64::from(*count));
            }
            let last = figures.last_night.as_second() as f64;
            gauge(out, LAST_NIGHT, &[schedule], last);
            if let Some(state) = figures.state {
                for known in NIGHT_STATES {
                    let is_it = f64::from(u8::from(known == state));
                    gauge(out, NIGHT_STATE, &[schedule, known], is_it);
                }
            }
            for (verdict, count) in &figures.series {
                let values = [schedule, verdict.as_str()];
                gauge(out, SERIES, &values, f64::from(*count));
            }
        }
        for (channel, count) in &self.queued {
            gauge(out, QUEUED, &[channel.as_str()], *count as f64);
        }
        out.registry()
            .register(MESSAGES.name, MESSAGES.help, self.outcomes.clone());
    }
}

fn gauge(out: &mut Exposition, metric: Metric, values: &[&str], value: f64) {
    let names = metric.labels.iter().map(ToString::to_string);
    let labels: Labels = names.zip(values.iter().map(ToString::to_string)).collect();
    out.gauge(metric.name, metric.help, &labels, value);
}
