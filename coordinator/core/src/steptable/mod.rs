//! The step table: one [`Row`] per device model, workload and software, from the series that measured it.
//!
//! Called by the coordinator, for `GetTable` and before it takes blocks away, and by tests; never decides what to measure.

mod advice;
mod agreement;
mod answer;
mod assess;
mod combine;
mod device_answer;
mod kept;
mod key;
pub mod row;
mod rows;
mod spread;
#[cfg(test)]
mod tests;
mod verdict;
mod voice;

pub use crate::sweep::{Unsettled, settled};
pub use answer::Answer;
pub use device_answer::{DeviceAnswer, Sharer, Spread};
pub use row::{
    BestThroughput, DetailedRow, Edge, EdgeSight, FittedPoint, OtherStep, PointRow, Row,
    SCHEMA_VERSION, StepKind, Table,
};
pub use rows::{SeriesResult, rows, rows_of};
pub use verdict::Verdict;
