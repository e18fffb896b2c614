//! The timed block: K iterations between two synchronisations. The only place where iterations are timed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use super::Subject;
use crate::failure::Failure;

/// Why iterations ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// It was asked for.
    #[error("stopped")]
    Stopped,
    /// Something went wrong.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A timed block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// When it began.
    pub began: Instant,
    /// Wall time between the synchronisations.
    pub elapsed: Duration,
    /// The same on the device's clock.
    pub device_elapsed: Option<Duration>,
    /// Cores that other processes kept busy meanwhile.
    pub foreign_cores: Option<f64>,
}

/// Runs and times `iterations` iterations; `stop` ends them at the next one.
///
/// # Errors
/// When stopped, and when an iteration fails.
pub fn time(subject: &mut dyn Subject, iterations: u32, stop: &AtomicBool) -> Result<Timed, Halt> {
    subject.synchronize()?;
    let load = subject.foreign_load();
    let began = Instant::now();
    subject.begin_device_clock()?;
    for _ in 0..iterations {
        if stop.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        subject.iterate()?;
    }
    subject.end_device_clock()?;
    subject.synchronize()?;
    let elapsed = began.elapsed();
    let foreign_cores = load
        .zip(subject.foreign_load())
        .map(|(before, after)| before.foreign_cores(after, elapsed));
    Ok(Timed {
        began,
        elapsed: elapsed.max(Duration::from_nanos(1)),
        device_elapsed: subject.device_elapsed()?,
        foreign_cores,
    })
}

/// Iterations that nobody counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WarmUp {
    /// How many.
    pub iterations: u32,
    /// Their time.
    pub elapsed: Duration,
    /// The fastest of them.
    pub fastest: Duration,
}

/// Runs at least `iterations` iterations and at least `least` long, each one timed by itself. An iteration above `limit` ends it after the
/// next one: the first at a batch size also chooses algorithms.
///
/// # Errors
/// When stopped, and when an iteration fails.
pub fn warm_up(
    subject: &mut dyn Subject,
    iterations: u32,
    least: Duration,
    limit: Option<Duration>,
    stop: &AtomicBool,
) -> Result<WarmUp, Halt> {
    let mut done = WarmUp {
        fastest: Duration::MAX,
        ..WarmUp::default()
    };
    while done.iterations < iterations.max(1) || done.elapsed < least {
        if stop.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        let began = Instant::now();
        subject.iterate()?;
        subject.synchronize()?;
        let elapsed = began.elapsed();
        done.iterations += 1;
        done.elapsed += elapsed;
        done.fastest = done.fastest.min(elapsed);
        let too_slow = |times: u32| limit.is_some_and(|limit| done.fastest > limit * times);
        if too_slow(2) || (done.iterations >= 2 && too_slow(1)) {
            break;
        }
    }
    Ok(done)
}
