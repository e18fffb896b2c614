//! The raw material: timed blocks by batch size and round, checked once on entry.
//!
//! Everything downstream relies on what [`Trace::new`] guarantees: at least one observation, finite positive seconds,
//! positive batch sizes, points in ascending order of batch size.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::point::Point;

/// One timed block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Samples per iteration, at least 1.
    pub batch_size: u32,
    /// The round the block belongs to; blocks of one round were measured close in time.
    pub round: u32,
    /// Seconds per iteration, corrected for drift.
    pub seconds: f64,
}

/// Why timings cannot be a trace.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum TraceError {
    /// There is nothing to infer from.
    #[error(
        "the trace holds no timings: give at least one batch size with its seconds per iteration"
    )]
    Empty,
    /// A batch size of 0.
    #[error(
        "observation {index} (counted from 0) has batch size 0 ({seconds} s): batch sizes start at 1"
    )]
    ZeroBatchSize {
        /// Position in the list given to [`Trace::new`], from 0.
        index: usize,
        /// Its seconds per iteration.
        seconds: f64,
    },
    /// Seconds that are NaN or infinite.
    #[error(
        "observation {index} (counted from 0, batch size {batch_size}) took {seconds} s: leave out blocks without a time"
    )]
    NotFinite {
        /// Position in the list given to [`Trace::new`], from 0.
        index: usize,
        /// Its batch size.
        batch_size: u32,
        /// The value found.
        seconds: f64,
    },
    /// Seconds that are zero or negative.
    #[error(
        "observation {index} (counted from 0, batch size {batch_size}) took {seconds} s: time an iteration takes is above 0; was the wrong column or unit read?"
    )]
    NotPositive {
        /// Position in the list given to [`Trace::new`], from 0.
        index: usize,
        /// Its batch size.
        batch_size: u32,
        /// The value found.
        seconds: f64,
    },
}

/// Checked timings, grouped by batch size.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    points: Vec<Point>,
    /// Blocks of each point in ascending order of round, beside `points`.
    blocks: Vec<Vec<Block>>,
    /// The rounds that occur, ascending.
    rounds: Vec<u32>,
}

/// A block of one point: the position of its round in [`Trace::rounds`], and its seconds per iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) round: usize,
    pub(crate) seconds: f64,
}

impl Trace {
    /// Checks and groups `observations`, in any order.
    ///
    /// # Errors
    /// Names the first observation that is not a timing.
    pub fn new(observations: Vec<Observation>) -> Result<Self, TraceError> {
        if observations.is_empty() {
            return Err(TraceError::Empty);
        }
        for (
            index,
            &Observation {
                batch_size,
                seconds,
                ..
            },
        ) in observations.iter().enumerate()
        {
            if batch_size == 0 {
                return Err(TraceError::ZeroBatchSize { index, seconds });
            }
            if !seconds.is_finite() {
                return Err(TraceError::NotFinite {
                    index,
                    batch_size,
                    seconds,
                });
            }
            if seconds <= 0.0 {
                return Err(TraceError::NotPositive {
                    index,
                    batch_size,
                    seconds,
                });
            }
        }
        let mut rounds: Vec<u32> = observations
            .iter()
            .map(|observation| observation.round)
            .collect();
        rounds.sort_unstable();
        rounds.dedup();
        let mut grouped: BTreeMap<u32, Vec<Block>> = BTreeMap::new();
        for Observation {
            batch_size,
            round,
            seconds,
        } in observations
        {
            let round = rounds.partition_point(|&other| other < round);
            grouped
                .entry(batch_size)
                .or_default()
                .push(Block { round, seconds });
        }
        let mut points = Vec::with_capacity(grouped.len());
        let mut blocks = Vec::with_capacity(grouped.len());
        for (batch_size, mut of_point) in grouped {
            of_point.sort_by(|a, b| a.round.cmp(&b.round).then(a.seconds.total_cmp(&b.seconds)));
            points.push(Point::from_blocks(
                batch_size,
                of_point.iter().map(|block| block.seconds).collect(),
            ));
            blocks.push(of_point);
        }
        Ok(Self {
            points,
            blocks,
            rounds,
        })
    }

    /// The estimate for each batch size, ascending.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The blocks of each point, beside [`points`](Self::points).
    pub(crate) fn blocks(&self) -> &[Vec<Block>] {
        &self.blocks
    }

    /// How many different rounds there are.
    pub(crate) fn round_count(&self) -> usize {
        self.rounds.len()
    }
}
