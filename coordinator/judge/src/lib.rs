//! The judge: from what each series measured, night after night, to verdicts that are worth waking somebody up for.
//!
//! A *series* is one device with one workload, its parameters, mode and dtype. A night gives each series an [`Observation`]; [`judge`] compares them with the
//! series' own past, its [`Book`], and with each other, and answers with [`Verdict`]s and with the series that should be measured again the same night. Publishing a
//! night and judging it are two things: nothing here reads a clock, a database or a configuration, and the same books and night give the same verdicts.
//!
//! Stages, each in a module of its own: `boundary` and `crossing` (S0: what did a change of environment do?), `step` (S1), `time` (S2, with `cycles` beside it), `drift`
//! (S3), `model` (S4: all devices of a model at once), `missing` (S5), and `outlier` (a device among its siblings). `docs/guide/nightly-judge.md` has them in words.
//!
//! [`replay`] judges a history again as if something had happened in it; [`compare`] holds two sets of blocks against each other.

mod alone;
mod baseline;
mod book;
mod boundary;
pub mod compare;
mod crossing;
mod cycles;
mod drift;
mod environment;
mod missing;
mod model;
mod night;
mod observation;
mod outlier;
mod pairs;
mod policy;
pub mod replay;
mod stats;
mod step;
mod time;
mod verdict;

pub use baseline::Baseline;
pub use book::{Alarm, Book, Direction, Entry, Hit, Standing};
pub use boundary::{Before, Boundary};
pub use environment::{Change, Environment, Property};
pub use model::{ModelBook, ModelNight};
pub use night::{Books, Group, Judgement, Night, Tonight, judge};
pub use observation::{Invalidity, Measurement, Observation, Step};
pub use policy::{Policy, PolicyError};
pub use verdict::{Cause, Kind, Numbers, Reason, Verdict};
