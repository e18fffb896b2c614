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

/// Share of a block that the device must still have had to do when the host was done, for the host to have been ahead of it.
const AHEAD_SHARE: f64 = 0.05;

/// A timed block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timed {
    /// When it began.
    pub began: Instant,
    /// Wall time between the synchronisations.
    pub elapsed: Duration,
    /// The same on the device's clock, as far as work was waiting for it: see [`with_work_waiting`].
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
    let handed_over = began.elapsed();
    subject.end_device_clock()?;
    subject.synchronize()?;
    let elapsed = began.elapsed().max(Duration::from_nanos(1));
    let left = elapsed.saturating_sub(handed_over);
    let foreign_cores = load
        .zip(subject.foreign_load())
        .map(|(before, after)| before.foreign_cores(after, elapsed));
    Ok(Timed {
        began,
        elapsed,
        device_elapsed: subject
            .device_elapsed()?
            .map(|device| with_work_waiting(device, elapsed, left, iterations)),
        foreign_cores,
    })
}

/// How much of a block the device had work waiting, as far as that is known. `device` is the time between the block's two marks on the
/// device's clock, which also passes while the device waits for the host; `left` is what passed after the host had handed everything over.
///
/// A host that is faster than the device is ahead of it by as much as the driver's queue holds, so that a good part of the block is left
/// when it is done, or at least an iteration where the block is long. With less than both the device went as fast as the host, and only
/// what was left is certain.
fn with_work_waiting(
    device: Duration,
    elapsed: Duration,
    left: Duration,
    iterations: u32,
) -> Duration {
    let host_was_ahead =
        left >= elapsed.mul_f64(AHEAD_SHARE) || left >= elapsed / iterations.max(1);
    if host_was_ahead {
        device
    } else {
        left.min(device)
    }
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

/// Runs at least `iterations` iterations and at least `least` long, each one timed by itself. An iteration above `limit` ends it after one
/// more, since the first at a batch size also chooses algorithms; one above twice the limit ends it at once.
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
    let too_slow =
        |done: &WarmUp, times: u32| limit.is_some_and(|limit| done.fastest > limit * times);
    while done.iterations < iterations.max(1)
        || done.elapsed < least
        || (done.iterations == 1 && too_slow(&done, 1))
    {
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
        if too_slow(&done, 2) || (done.iterations >= 2 && too_slow(&done, 1)) {
            break;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_was_never_ahead_set_the_pace() {
        let milliseconds = Duration::from_millis;
        let waiting = |left, iterations| {
            with_work_waiting(
                milliseconds(99),
                milliseconds(100),
                milliseconds(left),
                iterations,
            )
        };
        assert_eq!(
            waiting(90, 3),
            milliseconds(99),
            "all was handed over at once"
        );
        assert_eq!(
            waiting(2, 1000),
            milliseconds(99),
            "the driver's queue was full of iterations"
        );
        assert_eq!(waiting(2, 3), milliseconds(2));
        assert_eq!(waiting(0, 1000), Duration::ZERO);
    }
}
