//! The timings of one simulated device: a law or a recording for every workload, at the device's own speed.

use std::time::Duration;

use batchstep_laws::Law;
use batchstep_proto::domain::Round;

use crate::{Iteration, Recording, Timings};

/// Where the times of a workload come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A formula.
    Law(Box<Law>),
    /// Timings of a real device, and the file they are from.
    Recording(Recording, String),
}

/// A device's timings by workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Laws {
    /// For workloads that are not listed.
    pub(crate) usual: Option<Source>,
    /// By the workload's name, or its whole spec.
    pub(crate) by_workload: Vec<(String, Source)>,
    /// Time over that of the law: what tells siblings apart.
    pub(crate) pace: f64,
    /// Whether the device has a clock of its own, on which a launch-bound iteration is shorter.
    pub(crate) device_clock: bool,
}

impl Laws {
    /// The source of a workload: that of its whole spec before that of its name, before the usual one.
    fn source(&self, round: &Round) -> Option<&Source> {
        let spec = round.workload.to_string();
        let listed = |wanted: &str| {
            self.by_workload
                .iter()
                .find(|(name, _)| name == wanted)
                .map(|(_, source)| source)
        };
        listed(&spec)
            .or_else(|| listed(round.workload.name()))
            .or(self.usual.as_ref())
    }
}

impl Timings for Laws {
    fn iteration(&self, round: &Round, batch_size: u32, _: Duration) -> Result<Iteration, String> {
        let source = self.source(round).ok_or_else(|| {
            let known: Vec<&str> = self.by_workload.iter().map(|(name, _)| &**name).collect();
            format!(
                "simulated: this device has no law for {}; it has: {}",
                round.workload,
                known.join(", ")
            )
        })?;
        let (seconds, launched) = match source {
            Source::Law(law) => (law.seconds(batch_size), Some(law)),
            Source::Recording(recording, file) => {
                let seconds = recording.seconds(batch_size).ok_or_else(|| {
                    let (first, last) = recording.range();
                    format!(
                        "simulated: {file} says nothing of batch size {batch_size}; recorded are {first} to {last}"
                    )
                })?;
                (seconds, None)
            }
        };
        if !(seconds > 0.0 && seconds.is_finite()) {
            return Err(format!(
                "simulated: the law gives {seconds} s at batch size {batch_size}; an iteration takes a time above 0"
            ));
        }
        let device_seconds = launched.filter(|_| self.device_clock).map(|law| {
            let unlaunched = Law {
                floor: 0.0,
                ..(**law).clone()
            };
            unlaunched.seconds(batch_size).clamp(0.0, seconds) * self.pace
        });
        Ok(Iteration {
            seconds: seconds * self.pace,
            device_seconds,
        })
    }
}
