//! Nights over random histories: a coordinator that crashes between any two things that it does, a fleet that refuses and is slow, a judge that is out of order, and
//! a clock that jumps.

use std::collections::{BTreeMap, BTreeSet};

use batchstep_proto::ids::{RequestId, SweepId};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{schedule, sweep, timetable};
use crate::nightly::{Due, Input, Night, Schedule, Step, Target, due};

#[derive(Debug, Clone)]
enum Act {
    /// Time passes, and the coordinator looks at it.
    Wait(i64),
    /// The same, but the clock is put back.
    PutBack(i64),
    /// The next thing to do is done, and what came of it is stored.
    Do {
        /// The process dies before it is stored.
        crash: bool,
        /// The fleet or the judge says no.
        refuse: bool,
        /// What the judge wants again.
        again: usize,
    },
    /// A sweep ends.
    End(usize),
    /// The coordinator hears of a sweep's end a second time.
    Echo(usize),
    /// A person wants the night to end.
    Abandon,
}

fn acts() -> impl Strategy<Value = Act> {
    let step = (any::<bool>(), any::<bool>(), 0..4_usize);
    prop_oneof![
        4 => (0..90_i64).prop_map(Act::Wait),
        1 => (0..900_i64).prop_map(Act::Wait),
        1 => (0..3000_i64).prop_map(Act::PutBack),
        8 => step.prop_map(|(crash, refuse, again)| Act::Do { crash, refuse, again }),
        4 => (0..8_usize).prop_map(Act::End),
        1 => (0..8_usize).prop_map(Act::Echo),
        1 => Just(Act::Abandon),
    ]
}

/// What outlives a crash: the store's nights and the fleet's sweeps.
struct World {
    schedule: Schedule,
    now: Timestamp,
    /// The schedule's nights, as JSON; the last one may be open.
    nights: Vec<String>,
    last_planned: Option<Timestamp>,
    sweeps: BTreeMap<RequestId, SweepId>,
    running: BTreeSet<SweepId>,
}

impl World {
    fn new() -> Self {
        let mut schedule = schedule();
        schedule.timetable = timetable("0 */8 * * *", "Europe/Berlin");
        Self {
            now: schedule.created_at,
            schedule,
            nights: Vec::new(),
            last_planned: None,
            sweeps: BTreeMap::new(),
            running: BTreeSet::new(),
        }
    }

    fn last(&self) -> Option<Night> {
        let json = self.nights.last()?;
        Some(serde_json::from_str(json).unwrap())
    }

    /// Stores a night under its number, as the store would: in one piece.
    fn store(&mut self, night: &Night) {
        let index = usize::try_from(night.number()).unwrap();
        let json = serde_json::to_string(night).unwrap();
        if index == self.nights.len() {
            self.nights.push(json);
        } else {
            self.nights[index] = json;
        }
    }

    fn give(&mut self, input: Input) {
        if let Some(mut night) = self.last()
            && night.handle(self.now, input)
        {
            self.store(&night);
        }
    }

    fn begin_what_is_due(&mut self) {
        if self.last().is_some_and(|night| !night.is_over()) {
            return;
        }
        let (schedule, since) = (&self.schedule, self.schedule.created_at);
        match due(schedule, self.last_planned, since, self.now) {
            Due::Run { planned, .. } => {
                assert!(self.running.is_empty(), "two nights overlap");
                let number = self.nights.len() as u64;
                let night = Night::begin(schedule, number, planned);
                self.last_planned = Some(planned);
                self.store(&night);
            }
            Due::Missed { missed, .. } => self.last_planned = Some(missed.last),
            Due::Nothing { .. } | Due::ClockBehind { .. } => {}
        }
    }

    /// Does one step; what it answers, unless the process dies before.
    fn carry_out(&mut self, step: Step, refuse: bool, again: usize) -> Option<Input> {
        Some(match step {
            Step::Submit { part, .. } if refuse => Input::Refused {
                part,
                reason: "no".to_owned(),
            },
            Step::Submit { part, request } => {
                let fresh = sweep(self.sweeps.len());
                let sweep = *self.sweeps.entry(request).or_insert_with(|| {
                    self.running.insert(fresh);
                    fresh
                });
                Input::Submitted { part, sweep }
            }
            Step::Cancel {
                part,
                request,
                sweep,
            } => {
                let found = self.sweeps.get(&request).copied();
                assert!(sweep.is_none() || sweep == found, "cancels another's sweep");
                if let Some(unknown) = found.filter(|_| sweep.is_none()) {
                    Input::Submitted {
                        part,
                        sweep: unknown,
                    }
                } else {
                    if let Some(sweep) = found {
                        self.running.remove(&sweep);
                    }
                    Input::Ended { part }
                }
            }
            Step::Judge { .. } if refuse => return None,
            Step::Judge { last } => {
                let target = |number| Target {
                    device: format!("GPU-{number}"),
                    workload: "cnn".to_owned(),
                };
                let again = (0..again).map(target).collect();
                Input::Judged { last, again }
            }
        })
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Wait(minutes) => {
                self.now += SignedDuration::from_mins(minutes);
                self.give(Input::Tick);
                self.begin_what_is_due();
            }
            Act::PutBack(minutes) => self.now -= SignedDuration::from_mins(minutes),
            Act::Do {
                crash,
                refuse,
                again,
            } => {
                let step = self
                    .last()
                    .and_then(|night| night.todo().into_iter().next());
                let Some(step) = step else { return };
                let answer = self.carry_out(step, refuse, again);
                if let Some(input) = answer.filter(|_| !crash) {
                    self.give(input);
                }
            }
            Act::End(index) | Act::Echo(index) => {
                let Some(night) = self.last() else { return };
                let parts = night.parts();
                let part = index % parts.len();
                let Some(sweep) = parts[part].sweep() else {
                    return;
                };
                if self.running.remove(&sweep)
                    || matches!(act, Act::Echo(_)) && !self.running.contains(&sweep)
                {
                    let part = u32::try_from(part).unwrap();
                    self.give(Input::Ended { part });
                }
            }
            Act::Abandon => self.give(Input::Abandon {
                reason: "enough".to_owned(),
            }),
        }
        self.check();
    }

    fn check(&self) {
        let Some(night) = self.last() else {
            assert!(self.sweeps.is_empty());
            return;
        };
        // Each part has at most the one sweep of its request, and no other sweep was ever submitted.
        let parts = u32::try_from(night.parts().len()).unwrap();
        for number in 0..parts {
            let known = night.parts()[number as usize].sweep();
            let submitted = self.sweeps.get(&night.request(number));
            assert!(known.is_none() || known.as_ref() == submitted);
        }
        let asked: BTreeSet<&str> = self.nights.iter().map(String::as_str).collect();
        assert_eq!(asked.len(), self.nights.len());
        // A series is measured again at most once.
        assert!(parts <= 2, "one workload is measured again in one part");
        if night.is_over() {
            assert_eq!(night.todo(), []);
        }
    }
}

proptest! {
    #[test]
    fn nights_end_never_overlap_and_never_submit_twice(acts in proptest::collection::vec(acts(), 1..120)) {
        let mut world = World::new();
        for act in acts {
            world.act(act);
        }
        // Whatever happened, and although the judge does not answer any more: it ends.
        let Some(night) = world.last() else { return Ok(()) };
        let number = night.number();
        for _ in 0..10 {
            world.now += SignedDuration::from_mins(7 * 60);
            world.give(Input::Tick);
            let night = world.last().unwrap();
            for step in night.todo() {
                if let Step::Cancel { .. } = step && let Some(input) = world.carry_out(step, false, 0) {
                    world.give(input);
                }
            }
        }
        let night = world.last().unwrap();
        prop_assert_eq!(night.number(), number);
        prop_assert!(night.is_over(), "{:?}", night);
    }
}
