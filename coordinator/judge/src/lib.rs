//! The judge: from what each series measured, night after night, to verdicts that are worth waking somebody up for.
//!
//! A *series* is one device with one workload, its parameters, mode and dtype. A night gives each series an [`Observation`]; [`judge`] compares them with the
//! series' own past, its [`Book`], and with each other, and answers with [`Verdict`]s and with the series that should be measured again the same night. Publishing a
//! night and judging it are two things: nothing here reads a clock, a database or a configuration, and the same books and night give the same verdicts.
//!
//! Stages, each in a module of its own: `environment` (S0: can the night be compared?), `step` (S1), `time` (S2), `drift` (S3), `model` (S4: all devices of a model at
//! once), missing (S5), and `outlier` (a device among its siblings).

mod alone;
mod baseline;
mod book;
mod drift;
mod environment;
mod model;
mod night;
mod observation;
mod outlier;
mod policy;
mod stats;
mod step;
mod time;
mod verdict;

pub use baseline::Baseline;
pub use book::{Alarm, Book, Direction, Entry, Standing};
pub use environment::{Change, Environment, Property};
pub use model::ModelBook;
pub use night::{Books, Group, Judgement, Night, Tonight, judge};
pub use observation::{Invalidity, Measurement, Observation, Step};
pub use policy::{Policy, PolicyError};
pub use verdict::{Kind, Numbers, Reason, Verdict};
