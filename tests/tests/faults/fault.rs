//! The faults that a random schedule draws from, and how each strikes and is mended.

use std::{thread, time::Duration};

use batchstep_laws::Random;
use nix::sys::signal::Signal;

use crate::{
    disk,
    fleet::{AGENTS, Fleet, Who, within},
    network::{Direction, Flow},
};

/// A daemon that is asked to stop does so within this: an agent finishes its round first, a coordinator cuts calls off after 5 s.
pub const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// A process is killed, and another one started in its place.
    Killed(Who),
    /// The same where the one that is started finds no network at first.
    KilledWhileCutOff(usize),
    /// Agent and coordinator are killed at once.
    BothKilled(usize),
    /// A process stands still.
    Paused(Who),
    /// A process is asked to stop, and another one started in its place.
    Stopped(Who),
    /// All connections break.
    Cut,
    /// A connection breaks in the middle of a message, after so many bytes.
    Truncated(Direction, usize),
    /// Nothing comes through in one direction.
    Held(Direction),
    /// Nothing comes through in either, and then all connections break.
    BlackHole,
    /// Everything is late.
    Late(Duration),
    /// Everything comes in crumbs.
    Crumbs,
    /// A part of what is sent is overwritten.
    Garbled(Direction),
    /// A process can write so many bytes into a file, and no more.
    DiskFull(Who, u64),
}

impl Fault {
    /// One of them.
    pub fn draw(random: &mut Random) -> Self {
        let agent = random.whole(0, AGENTS as u32 - 1) as usize;
        let who = if random.chance(0.4) {
            Who::Coordinator
        } else {
            Who::Agent(agent)
        };
        let direction = random.pick(&Direction::BOTH);
        match random.whole(0, 12) {
            0 => Self::Killed(who),
            1 => Self::KilledWhileCutOff(agent),
            2 => Self::BothKilled(agent),
            3 => Self::Paused(who),
            4 => Self::Stopped(who),
            5 => Self::Cut,
            6 => Self::Truncated(direction, random.whole(0, 3000) as usize),
            7 => Self::Held(direction),
            8 => Self::BlackHole,
            9 => Self::Late(Duration::from_millis(random.whole(1, 300).into())),
            10 => Self::Crumbs,
            11 => Self::Garbled(direction),
            _ => Self::DiskFull(who, random.whole(0, 200_000).into()),
        }
    }

    /// Strikes, lasts as long as it is told, and is mended.
    pub fn strike(self, fleet: &mut Fleet, lasting: Duration) {
        match self {
            Self::Killed(who) => {
                fleet.kill(who);
                thread::sleep(lasting);
                fleet.start(who);
            }
            Self::KilledWhileCutOff(agent) => {
                fleet.network.set_both(Flow::Held);
                fleet.kill(Who::Agent(agent));
                fleet.start_unconnected(agent);
                thread::sleep(lasting);
                fleet.network.set_both(Flow::Free);
            }
            Self::BothKilled(agent) => {
                fleet.kill(Who::Agent(agent));
                fleet.kill(Who::Coordinator);
                thread::sleep(lasting);
                fleet.start_unconnected(agent);
                fleet.start(Who::Coordinator);
            }
            Self::Paused(who) => {
                fleet.signal(who, Signal::SIGSTOP);
                thread::sleep(lasting);
                fleet.signal(who, Signal::SIGCONT);
            }
            Self::Stopped(who) => {
                within(STOPPED_WITHIN, "the stop", || fleet.stop(who));
                thread::sleep(lasting);
                fleet.start(who);
            }
            Self::Cut => fleet.network.cut(),
            Self::Truncated(direction, bytes) => fleet.network.cut_after(direction, bytes),
            Self::Held(direction) => {
                fleet.network.set(direction, Flow::Held);
                thread::sleep(lasting);
                fleet.network.set(direction, Flow::Free);
            }
            Self::BlackHole => {
                fleet.network.set_both(Flow::Held);
                thread::sleep(lasting);
                fleet.network.cut();
                fleet.network.set_both(Flow::Free);
            }
            Self::Late(by) => {
                fleet.network.set_both(Flow::Late(by));
                thread::sleep(lasting);
                fleet.network.set_both(Flow::Free);
            }
            Self::Crumbs => {
                fleet.network.set_both(Flow::Crumbs);
                thread::sleep(lasting);
                fleet.network.set_both(Flow::Free);
            }
            Self::Garbled(direction) => fleet.network.garble(direction),
            Self::DiskFull(who, bytes) => {
                let full = disk::Limit::of(fleet.process(who), bytes);
                thread::sleep(lasting);
                full.lift();
            }
        }
    }
}
