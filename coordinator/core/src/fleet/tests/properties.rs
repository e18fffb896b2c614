//! Random interleavings of everything that can happen. After every input, [`World::feed`] checks that a store which folds the records has what the
//! live state has, that no device has two open attempts, that no block is on record twice, and that nothing begins at a restricted agent once it was told
//! or has said hello since.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::domain::{AttemptOutcome, AttemptReport};
use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    fixtures::{night, spec},
    ledger::{Histories, known},
    world::World,
};
use crate::fleet::{Answer, Config, Disposition, Effect, Input, ReplyKey, State};

#[derive(Debug, Clone)]
enum Act {
    Step(usize),
    Disconnect(usize),
    /// The same, and the coordinator does not notice.
    Cut(usize),
    Reconnect(usize),
    Restart,
    /// One of the histories that are to be read is, as it is now or as it was at the restart.
    Read(usize, bool),
    /// One of them turns out to be damaged.
    Damage(usize),
    Wait(u64),
    /// With a priority, by night only, and with devices that share.
    Submit(i32, bool, bool),
    Cancel(usize),
    Decline(usize),
    /// The agent's process dies: what ran is broken or was refused.
    Crash(usize, AttemptOutcome),
    /// The agent's disk dies.
    Forget(usize),
    Drain(usize, bool),
    /// A person takes an agent off the list, whose devices come back with another one or do not.
    Remove(usize, bool),
    /// The time of day is told, in hours since some midnight.
    TimeOfDay(u64),
    /// A stored report comes again.
    Repeat(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let agent = 0..3_usize;
    prop_oneof![
        12 => agent.clone().prop_map(Act::Step),
        2 => agent.clone().prop_map(Act::Disconnect),
        1 => agent.clone().prop_map(Act::Cut),
        2 => agent.clone().prop_map(Act::Reconnect),
        1 => Just(Act::Restart),
        3 => (0..8_usize, any::<bool>()).prop_map(|(which, as_before)| Act::Read(which, as_before)),
        1 => (0..40_usize).prop_map(Act::Damage),
        2 => (1..100_u64).prop_map(Act::Wait),
        1 => (-1..=1_i32, any::<bool>(), any::<bool>()).prop_map(|(priority, windowed, shared)| Act::Submit(priority, windowed, shared)),
        1 => (0..200_u64).prop_map(Act::TimeOfDay),
        1 => (agent.clone(), any::<bool>()).prop_map(|(agent, replaced)| Act::Remove(agent, replaced)),
        1 => (0..4_usize).prop_map(Act::Cancel),
        1 => agent.clone().prop_map(Act::Decline),
        1 => (agent.clone(), prop_oneof![
            Just(AttemptOutcome::Broken),
            Just(AttemptOutcome::Refused),
            Just(AttemptOutcome::TimedOut),
            Just(AttemptOutcome::Stopped),
        ]).prop_map(|(agent, outcome)| Act::Crash(agent, outcome)),
        1 => agent.clone().prop_map(Act::Forget),
        1 => (agent, any::<bool>()).prop_map(|(agent, drain)| Act::Drain(agent, drain)),
        1 => (0..50_usize).prop_map(Act::Repeat),
    ]
}

fn perform(world: &mut World, act: Act) {
    match act {
        Act::Step(agent) => {
            world.step(agent);
        }
        Act::Disconnect(agent) => world.disconnect(agent),
        Act::Cut(agent) => world.cut(agent),
        Act::Reconnect(agent) => {
            world.connect(agent);
        }
        Act::Restart => world.restart_unread(),
        Act::Read(which, as_before) => {
            if let Some(unread) = world.state.unread().get(which) {
                world.read(unread.series, as_before);
            }
        }
        Act::Damage(which) => {
            if let Some(unread) = world.state.unread().get(which) {
                world.fail_to_read(unread.series);
            }
        }
        Act::Wait(seconds) => world.wait(Duration::from_secs(seconds)),
        Act::Submit(priority, by_night, shared) => {
            if world.ledger.sweeps.len() < 4 {
                let mut spec = spec();
                spec.scheduling.priority = priority;
                spec.scheduling.only_between = by_night.then(night);
                spec.scheduling.share_across_model = shared;
                world.submit(spec);
            }
        }
        Act::TimeOfDay(hours) => tell_time(world, hours),
        Act::Remove(agent, replaced) => {
            let (reply, enrolled) = (ReplyKey(world.key()), world.enrolled(agent));
            let agent = world.agents[agent].id;
            world.feed(Input::Remove {
                reply,
                agent,
                replaced,
                enrolled: Some(enrolled),
            });
        }
        Act::Cancel(sweep) => {
            if let Some(sweep) = world.ledger.sweeps.get(sweep).map(|sweep| sweep.id) {
                world.cancel(sweep);
            }
        }
        Act::Decline(agent) => world.decline(agent),
        Act::Crash(agent, outcome) => {
            let held: Vec<_> = world.agents[agent].held.keys().copied().collect();
            for attempt in held {
                world.finish(agent, attempt, outcome, 0);
            }
        }
        Act::Forget(agent) => {
            world.disconnect(agent);
            world.agents[agent].held.clear();
        }
        Act::Drain(agent, drain) => {
            let (reply, enrolled) = (ReplyKey(world.key()), world.enrolled(agent));
            let agent = world.agents[agent].id;
            let reason = String::new();
            world.feed(Input::Drain {
                reply,
                agent,
                drain,
                reason,
                enrolled: Some(enrolled),
            });
        }
        Act::Repeat(report) => repeat(world, report),
    }
}

/// Gives a state all that it has not read.
fn read_back(state: &mut State, histories: &Histories) -> Vec<Effect> {
    let unread = state.unread().into_iter();
    unread
        .flat_map(|unread| {
            let series = unread.series;
            let rounds = Ok(histories.of(series));
            state.handle(state.now, Input::HistoryRead { series, rounds })
        })
        .collect()
}

fn tell_time(world: &mut World, hours: u64) {
    let midnight = Timestamp::from_second(1_767_225_600).unwrap();
    let now = midnight + Duration::from_secs(3600 * hours);
    world.feed(Input::TimeOfDay(now));
}

fn repeat(world: &mut World, report: usize) {
    let Some((_, report)) = world.ledger.reports.get(report).cloned() else {
        return;
    };
    let Some(agent) = world
        .ledger
        .attempts()
        .find(|(_, attempt)| attempt.id == report.attempt)
        .map(|(_, attempt)| attempt.agent)
    else {
        return;
    };
    // What is older than the state's memory is found in the store before the state is asked.
    let digest = AttemptReport::digest(&report.clone().into());
    let is_remembered = world
        .state
        .attempts
        .get(&report.attempt)
        .is_some_and(|attempt| attempt.digests.contains(&digest));
    if is_remembered {
        let answer = world.send_report(agent, report);
        assert_eq!(answer, Answer::Reported(Disposition::Duplicate));
    }
}

/// Everyone is well again: all sweeps must come to an end.
fn recover(world: &mut World) {
    world.read_all();
    for agent in 0..world.agents.len() {
        if world.agents[agent].session.is_none() {
            world.connect(agent);
        }
        perform(world, Act::Drain(agent, false));
    }
    // Midnight: the windows are open for six hours.
    tell_time(world, 24);
    for _ in 0..200 {
        world.run();
        if world.state.idle() {
            return;
        }
        world.wait(Duration::from_secs(30));
    }
    panic!("a sweep never ends: {:?}", known(&world.state));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_or_counted_twice(acts in prop::collection::vec(act(), 1..240), settles: bool, shared: bool) {
        let mut world = World::new(3, &[&["GPU-a", "GPU-b"], &["CPU-c"], &["GPU-b", "GPU-d"]]);
        world.script.settles = settles;
        world.state.planner = Box::new(world.script);
        let mut first = spec();
        first.scheduling.share_across_model = shared;
        world.submit(first);
        for act in acts {
            perform(&mut world, act);
            let (mut restored, effects) =
                State::restore(Config::default(), world.script, world.ledger.kept(), world.now);
            prop_assert_eq!(effects, []);
            world.ledger.check_known(&restored);
            let effects = read_back(&mut restored, &world.ledger.histories());
            // Who has read everything had drawn the same conclusions before.
            if !world.state.is_reading() && world.ledger.damaged.is_empty() {
                prop_assert_eq!(effects, []);
                prop_assert_eq!(known(&restored), known(&world.state));
            }
        }
        recover(&mut world);
        let counted: BTreeSet<Duration> = world.ledger.sweeps.iter()
            .flat_map(|sweep| &sweep.series)
            .flat_map(|series| &series.rounds)
            .flat_map(|round| &round.record.blocks)
            .map(|block| block.elapsed)
            .collect();
        let accepted: BTreeSet<Duration> = world.ledger.reports.iter()
            .filter(|(disposition, _)| *disposition == Disposition::Accepted)
            .flat_map(|(_, report)| &report.blocks)
            .map(|block| block.elapsed)
            .collect();
        prop_assert_eq!(counted, accepted);
        prop_assert_eq!(world.ledger.ended.len(), world.ledger.sweeps.len());
    }
}
