//! The step table: one [`Row`] per device model, workload and software, from the series that measured it.
//!
//! Called by the coordinator's `GetTable` and by tests; never decides what to measure.

mod advice;
mod assess;
mod key;
pub mod row;
mod rows;
#[cfg(test)]
mod tests;

pub use crate::sweep::{Unsettled, settled};
pub use row::{
    BestThroughput, DetailedRow, Edge, EdgeSight, FittedPoint, OtherStep, PointRow, Row,
    SCHEMA_VERSION, StepKind, Table, Verdict,
};
pub use rows::{SeriesResult, rows};
