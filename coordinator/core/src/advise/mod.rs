//! Which batch size to choose on a device for a workload, and what another one costs: read from one detailed row of the step table.
//!
//! Called by `batchstep advise` with rows as the coordinator sends them. [`choose`] singles out the row, [`advise`] answers; nothing here measures, and a
//! row without an answer gets no advice but what to measure.

mod answer;
mod choose;
mod curve;
mod facts;
mod measure;
mod memory;
mod neighbours;
mod rounds;
#[cfg(test)]
mod tests;

pub use answer::{Advice, Basis, MemoryLimit, NoMemory, Question, advise};
pub use choose::{Candidate, Selection, Undecided, choose};
pub use curve::REACH;
pub use facts::{SizeFacts, Source};
pub use measure::{flags_for_row, flags_for_selection};
pub use neighbours::{Near, Neighbour};
