//! Infers the parallelism step size from timings of batch sizes: pure and deterministic.
//!
//! The step is the period, in samples, at which iteration time jumps as the batch grows, or after which a repeating
//! pattern of left-over costs starts again. [`infer`] takes a [`Trace`] of timed blocks and returns an [`Inference`]: a
//! step with its confidence, or a statement of why there is none and what to measure next. The coordinator calls it
//! after each round and for `batchstep analyze`; it never does I/O, reads a clock or draws unseeded random numbers.
//!
//! ```
//! use batchstep_inference::{Observation, Options, Trace, Verdict, infer};
//!
//! // Twelve microseconds for every 16 samples begun, five rounds, batch sizes 1 to 96.
//! let observations = (0..5)
//!     .flat_map(|round| {
//!         (1..=96).map(move |batch_size: u32| Observation {
//!             batch_size,
//!             round,
//!             seconds: 20e-6 + 12e-6 * f64::from(batch_size.div_ceil(16)),
//!         })
//!     })
//!     .collect();
//! let answer = infer(&Trace::new(observations)?, &Options::default());
//! assert_eq!(answer.verdict, Verdict::Step);
//! assert_eq!(answer.step, Some(16.0));
//! # Ok::<(), batchstep_inference::TraceError>(())
//! ```

mod advice;
mod alternatives;
mod answer;
mod bootstrap;
mod candidates;
mod effect;
mod fit;
mod floor;
mod guard;
mod infer;
mod options;
mod point;
mod random;
mod reading;
mod sample;
mod scan;
mod study;
mod term;
mod trace;
mod wave;

pub use advice::{LEAST_DETECTABLE, percent, period_words};
pub use answer::{
    BestThroughput, Edge, EdgeSight, FittedPoint, Inference, OtherStep, StepKind, Verdict,
};
pub use infer::infer;
pub use options::Options;
pub use point::Point;
pub use term::good_size;
pub use trace::{Observation, Trace, TraceError};
