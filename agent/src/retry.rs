//! How often and how patiently the agent tries again: every such constant, each with its reason, and the one backoff that uses them.
//!
//! Pure but for [`random`]: the session and the reporter hand in elapsed times and random numbers, and sleep themselves.

use std::time::Duration;

/// First window of a reconnect; doubled at each failure. A lost connection is usually a restart of a second or two.
pub const FIRST_WINDOW: Duration = Duration::from_secs(1);
/// Doublings of the window: 64 s, so that a fleet of thousands does not dial a dead coordinator more than a few dozen times a second.
pub const WINDOW_DOUBLINGS: u32 = 6;
/// While a freshly started agent has never been welcomed: coordinator and agent are often started together.
pub const START_STEP: Duration = Duration::from_millis(50);
/// How long the quick steps last.
pub const START_PHASE: Duration = Duration::from_secs(1);
/// TCP and HTTP/2 handshake. Longer only happens where packets are dropped silently.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the hello to the welcome; the coordinator only reads memory for it.
pub const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2 ping on an idle connection, and how long its answer may take: a dead peer is noticed within 20 s.
pub const KEEPALIVE: Duration = Duration::from_secs(10);
/// Heartbeats without an answer before the connection is given up: a stalled handler does not fail HTTP/2 pings.
pub const UNANSWERED_HEARTBEATS: u32 = 3;
/// One report, from sending to the receipt; the coordinator commits to disk in between.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// Least wait after a report was refused in a way that may pass, such as a full disk.
pub const REPORT_STEP: Duration = Duration::from_secs(1);
/// Longest such wait: a full disk is emptied by people, within minutes.
pub const REPORT_STEP_MAX: Duration = Duration::from_secs(30);
/// Between tries to write what did not fit on the agent's own disk.
pub const SPOOL_STEP: Duration = Duration::from_secs(5);

/// Between two pieces of a model. The coordinator reads them from its disk.
pub const FETCH_SILENCE: Duration = Duration::from_secs(30);
/// Transfers of a model that break off in a row without bringing anything, before the attempt is refused; with the waits of reports between them
/// two minutes.
pub const FETCH_BREAKS: u32 = 8;

/// Longest sleep towards the renewal of a certificate, which is due by a clock that may be set meanwhile.
pub const RENEWAL_LOOK: Duration = Duration::from_secs(3600);
/// One renewal; the coordinator signs and commits to disk in between.
pub const RENEWAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long an enrolment goes on asking while too many agents join at once: a coordinator signs hundreds in that time.
pub const ENROLMENT_PATIENCE: Duration = Duration::from_secs(120);
/// Part of what is left of a certificate's life that is waited after a failed renewal: there are dozens of tries before it ends.
pub const RENEWAL_STEP: f64 = 0.05;
/// Least such wait.
pub const RENEWAL_STEP_MIN: Duration = Duration::from_secs(1);

/// Waits between tries to reach the coordinator: uniformly spread over a window that doubles, but never longer than half of the outage so
/// far, so that an outage of 10 s is over for everyone 5 s later.
#[derive(Debug, Default, Clone, Copy)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The next wait. `outage` is the time since the connection was lost (or the process began), `welcomed` whether there ever was one, and
    /// `random` a number in 0..1 that spreads the fleet.
    pub fn next(&mut self, outage: Duration, welcomed: bool, random: f64) -> Duration {
        if !welcomed && outage < START_PHASE {
            return START_STEP;
        }
        let window = FIRST_WINDOW * (1 << self.failures.min(WINDOW_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        window
            .min((outage / 2).max(FIRST_WINDOW))
            .mul_f64(random.clamp(0.0, 1.0))
    }

    /// After the first message that the coordinator acknowledged.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A number in 0..1 from the system's randomness; a generator of its own would be too much for one number in ten seconds.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the agent draws a number"
)]
pub fn random() -> f64 {
    const BITS: u32 = f64::MANTISSA_DIGITS;
    let (_, low) = uuid::Uuid::new_v4().as_u64_pair();
    (low & ((1 << BITS) - 1)) as f64 / (1_u64 << BITS) as f64
}

/// The wait before the `failures`-th retry of a refused report.
#[must_use]
pub fn report_step(failures: u32) -> Duration {
    REPORT_STEP
        .saturating_mul(1 << failures.min(8))
        .min(REPORT_STEP_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_doubles_up_to_its_limit_and_starts_again_after_a_reset() {
        let mut backoff = Backoff::default();
        let day = Duration::from_secs(86_400);
        let windows: Vec<u64> = (0..9)
            .map(|_| backoff.next(day, true, 1.0).as_secs())
            .collect();
        assert_eq!(windows, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        backoff.reset();
        assert_eq!(backoff.next(day, true, 0.25), Duration::from_millis(250));
    }

    #[test]
    fn an_outage_of_ten_seconds_is_over_within_fifteen() {
        for random in [0.01, 0.3, 0.5, 0.99, 1.0] {
            let mut backoff = Backoff::default();
            let mut now = Duration::ZERO;
            while now < Duration::from_secs(10) {
                now += backoff.next(now, true, random);
            }
            assert!(now <= Duration::from_secs(15), "{now:?} with {random}");
        }
    }

    #[test]
    fn a_fresh_agent_dials_in_quick_steps_first() {
        let mut backoff = Backoff::default();
        assert_eq!(
            backoff.next(Duration::from_millis(900), false, 0.0),
            START_STEP
        );
        assert_eq!(
            backoff.next(Duration::from_millis(1100), false, 1.0),
            FIRST_WINDOW
        );
    }

    #[test]
    fn random_numbers_are_spread_over_the_unit_interval() {
        let numbers: Vec<f64> = (0..200).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        // 200 uniform numbers leave out a tenth at either end once in a billion times.
        assert!(
            numbers.iter().any(|&number| number < 0.1)
                && numbers.iter().any(|&number| number > 0.9)
        );
    }

    #[test]
    fn refused_reports_wait_longer_each_time_within_a_bound() {
        assert_eq!(report_step(0), REPORT_STEP);
        assert_eq!(report_step(3), REPORT_STEP * 8);
        assert_eq!(report_step(u32::MAX), REPORT_STEP_MAX);
    }
}
