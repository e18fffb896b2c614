//! What goes wrong: the vocabulary, and the schedule that a seed draws. Pure; the world carries it out.

use std::time::Duration;

use batchstep_agent::Shutdown;
use rand::{RngExt as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;

use crate::store::Disk;

/// Faults begin after this, but for clocks that are off, and all of them are over at the end of it.
const FIRST: Duration = Duration::from_secs(2);
const LAST: Duration = Duration::from_secs(180);
/// Longest that one lasts.
const LONGEST: f64 = 60.0;
/// Shortest, seconds.
const SHORTEST: f64 = 0.05;

/// Most that a wall clock jumps by, either way: 4.6 days.
const WALL_CLOCK_SECONDS: i64 = 400_000;

/// A host that may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Coordinator,
    /// By number.
    Agent(usize),
}

/// Which messages between an agent and the coordinator are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Both,
    ToCoordinator,
    ToAgent,
}

/// One thing that happens to the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The process is killed. Silently: with its machine, so that nobody is told that its connections are gone.
    Kill(Target, Silently),
    /// The supervisor starts it again.
    Start(Target),
    /// It gets a signal to end in order.
    Stop(Target, Shutdown),
    /// Messages are lost.
    Partition(usize, Way),
    /// No more.
    Repair(usize, Way),
    /// Messages wait on the way.
    Hold(usize),
    /// They arrive, all at once.
    Release(usize),
    /// Messages take up to so long.
    Slow(usize, Duration),
    /// The coordinator's disk.
    Disk(Disk),
    /// The wall clock of a host jumps by so many seconds.
    WallClock(Target, i64),
    /// An operator drains an agent, or takes that back.
    Drain(usize, bool),
}

/// Whether the network tells that a process is gone.
pub type Silently = bool;

impl Fault {
    /// Its name in counts; `None` for the end of another one.
    pub fn name(&self) -> Option<&'static str> {
        Some(match self {
            Self::Kill(Target::Coordinator, _) => "coordinator killed",
            Self::Kill(Target::Agent(_), _) => "agent killed",
            Self::Stop(Target::Coordinator, _) => "coordinator stopped",
            Self::Stop(Target::Agent(_), _) => "agent stopped",
            Self::Partition(_, Way::Both) => "partition",
            Self::Partition(..) => "partition one way",
            Self::Hold(_) => "messages held",
            Self::Slow(_, latency) if *latency > QUICK => "slow link",
            Self::Disk(Disk::Full) => "disk full",
            Self::Disk(Disk::Refuses) => "disk refuses",
            Self::Disk(Disk::FailsAfterwards) => "disk fails afterwards",
            Self::WallClock(..) => "wall clock jumps",
            Self::Drain(_, true) => "agent drained",
            Self::Start(_)
            | Self::Repair(..)
            | Self::Release(_)
            | Self::Slow(..)
            | Self::Disk(Disk::Well)
            | Self::Drain(_, false) => return None,
        })
    }
}

/// Latency of a link that is well.
pub const QUICK: Duration = Duration::from_millis(40);

/// Draws what goes wrong in a world with so many agents: every fault with its end, ascending by time.
pub fn schedule(random: &mut ChaCha8Rng, agents: usize) -> Vec<(Duration, Fault)> {
    let mut schedule: Vec<(Duration, Fault)> = Vec::new();
    // Which is busy until when: two faults of one link, process or disk at a time would undo each other.
    let mut links = vec![Duration::ZERO; agents];
    let mut processes = vec![Duration::ZERO; agents];
    let mut coordinator = Duration::ZERO;
    let mut broken = Duration::ZERO;
    let mut drains = vec![Duration::ZERO; agents];
    // Agents' clocks never agree with the coordinator's.
    for agent in 0..agents {
        let off = Fault::WallClock(Target::Agent(agent), seconds(random));
        schedule.push((Duration::ZERO, off));
    }
    let mut at = FIRST;
    // Quiet worlds and stormy ones.
    let pause = random.random_range(1.0..20.0);
    loop {
        at += Duration::from_secs_f64(pause * random.random_range(0.0..2.0));
        // Of every length: those that nobody notices, those that a timeout notices, and those that outlast a lease.
        let exponent = random.random_range(0.0_f64..1.0).sqrt();
        let lasts = Duration::from_secs_f64(SHORTEST * (LONGEST / SHORTEST).powf(exponent));
        let end = at + lasts;
        if end > LAST {
            break;
        }
        let agent = random.random_range(0..agents);
        let mut add = |free: &mut Duration, begin: Fault, over: Option<Fault>| {
            if *free <= at {
                *free = end;
                schedule.push((at, begin));
                schedule.extend(over.map(|over| (end, over)));
            }
        };
        let silently = random.random_bool(0.5);
        let way = [Way::Both, Way::ToCoordinator, Way::ToAgent]
            .choose(random)
            .copied()
            .unwrap_or(Way::Both);
        match random.random_range(0..20) {
            0..=2 => add(
                &mut coordinator,
                Fault::Kill(Target::Coordinator, silently),
                Some(Fault::Start(Target::Coordinator)),
            ),
            3 => add(
                &mut coordinator,
                Fault::Stop(Target::Coordinator, Shutdown::Now),
                Some(Fault::Start(Target::Coordinator)),
            ),
            4..=6 => add(
                &mut processes[agent],
                Fault::Kill(Target::Agent(agent), silently),
                Some(Fault::Start(Target::Agent(agent))),
            ),
            7 => {
                let how = if silently {
                    Shutdown::Drain
                } else {
                    Shutdown::Now
                };
                add(
                    &mut processes[agent],
                    Fault::Stop(Target::Agent(agent), how),
                    Some(Fault::Start(Target::Agent(agent))),
                );
            }
            8..=11 => add(
                &mut links[agent],
                Fault::Partition(agent, way),
                Some(Fault::Repair(agent, way)),
            ),
            12 => add(
                &mut links[agent],
                Fault::Hold(agent),
                Some(Fault::Release(agent)),
            ),
            13 | 14 => {
                let latency = Duration::from_millis(random.random_range(100..=8000));
                add(
                    &mut links[agent],
                    Fault::Slow(agent, latency),
                    Some(Fault::Slow(agent, QUICK)),
                );
            }
            15 => {
                let disk = if silently { Disk::Full } else { Disk::Refuses };
                add(
                    &mut broken,
                    Fault::Disk(disk),
                    Some(Fault::Disk(Disk::Well)),
                );
            }
            16 => add(
                &mut broken,
                Fault::Disk(Disk::FailsAfterwards),
                Some(Fault::Disk(Disk::Well)),
            ),
            17 | 18 => {
                let whose = if silently {
                    Target::Coordinator
                } else {
                    Target::Agent(agent)
                };
                let jump = Fault::WallClock(whose, seconds(random));
                add(&mut Duration::ZERO.clone(), jump, None);
            }
            _ => {
                let is_free = links[agent] <= at && drains[agent] <= at;
                add(
                    &mut drains[agent],
                    Fault::Drain(agent, true),
                    Some(Fault::Drain(agent, false)),
                );
                // Half of them while the agent is away, and for a while after it is back.
                if silently && is_free {
                    let back = at + lasts / 2;
                    links[agent] = back;
                    schedule.push((at, Fault::Partition(agent, way)));
                    schedule.push((back, Fault::Repair(agent, way)));
                }
            }
        }
    }
    schedule.sort_by_key(|(at, _)| *at);
    schedule
}

/// By how much a wall clock jumps.
fn seconds(random: &mut ChaCha8Rng) -> i64 {
    random.random_range(-WALL_CLOCK_SECONDS..=WALL_CLOCK_SECONDS)
}
