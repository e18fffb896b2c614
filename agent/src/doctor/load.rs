//! How busy the host is with other things, from two readings of `/proc/stat`.

use std::{fs, time::Duration};

use tokio::time;

use super::Check;

/// Time between the two readings.
const WATCHED: Duration = Duration::from_millis(500);
/// Busy share of all cores above which CPU trials are disturbed.
const DISTURBING: f64 = 0.05;

/// Watches the host for half a second.
pub(super) async fn foreign() -> Check {
    let before = reading();
    time::sleep(WATCHED).await;
    judge(before.zip(reading()))
}

/// Clock ticks since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    busy: u64,
    all: u64,
}

fn reading() -> Option<Ticks> {
    parse(&fs::read_to_string("/proc/stat").ok()?)
}

/// The first line: user nice system idle iowait irq softirq steal.
fn parse(stat: &str) -> Option<Ticks> {
    let counts: Vec<u64> = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))?
        .split_whitespace()
        .take(8)
        .map_while(|count| count.parse().ok())
        .collect();
    let (idle, wait) = (counts.get(3)?, counts.get(4)?);
    let all: u64 = counts.iter().sum();
    Some(Ticks {
        busy: all - idle - wait,
        all,
    })
}

fn judge(readings: Option<(Ticks, Ticks)>) -> Check {
    let share = readings.and_then(|(before, after)| {
        let all = after.all.checked_sub(before.all).filter(|&all| all > 0)?;
        Some(after.busy.saturating_sub(before.busy) as f64 / all as f64)
    });
    match share {
        None => Check::warn("load", "/proc/stat does not tell", "mount /proc"),
        Some(share) if share > DISTURBING => Check::warn(
            "load",
            format!(
                "other processes use {:.0} % of this host's cores",
                share * 100.0
            ),
            "end them for CPU trials; measurements that they disturb are marked as contended",
        ),
        Some(share) => Check::ok(
            "load",
            format!(
                "other processes use {:.0} % of this host's cores",
                share * 100.0
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn the_busy_share_is_judged() {
        let before = parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3 4 5\n").unwrap();
        assert_eq!(
            before,
            Ticks {
                busy: 150,
                all: 1000
            }
        );
        let quiet = Ticks {
            busy: 152,
            all: 1100,
        };
        let busy = Ticks {
            busy: 200,
            all: 1100,
        };
        assert_eq!(judge(Some((before, quiet))).status, Status::Ok);
        let check = judge(Some((before, busy)));
        assert_eq!(check.status, Status::Warn);
        assert!(check.found.contains("50 %"), "{}", check.found);
        assert_eq!(parse("intr 5"), None);
        assert_eq!(judge(Some((before, before))).status, Status::Warn);
    }
}
