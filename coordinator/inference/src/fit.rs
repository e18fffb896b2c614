//! Fits laws to a sample: terms, least squares, free change points, and the criterion that compares laws.
//!
//! The scans, the guard and the bootstrap use it; nothing here knows what a step is.

mod basis;
mod change;
mod law;
mod term;

pub(crate) use basis::{Basis, dot};
pub(crate) use law::{Criterion, Law};
pub(crate) use term::{Term, good_size, rounds_begun};
