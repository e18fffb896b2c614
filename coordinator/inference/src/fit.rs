//! Fits laws, sums of terms, to a sample: least squares, free change points, and the criterion that compares laws.
//!
//! The scans, the guard and the bootstrap use it; nothing here knows what a step is.

mod basis;
mod change;
mod law;

pub(crate) use basis::{Basis, dot};
pub(crate) use law::{Criterion, Law};
