//! One night: its sweep, what the judge wants to see again, and its end. A sans-IO state machine whose whole state is this value: the caller keeps it in the store
//! after each input, and after a crash goes on from what is stored. Every step may be done twice: a submission carries a request id that is a function of the night,
//! and cancelling and judging leave nothing behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use batchstep_proto::ids::{RequestId, SweepId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    End, Part, PartState, Refused, Schedule, ScheduleName, Target, What, schedule::signed,
};

/// One night of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Night {
    schedule: ScheduleName,
    number: u64,
    planned: Timestamp,
    ends: Timestamp,
    /// Most that it may take.
    deadline: Duration,
    /// Measuring time of one series.
    budget: Duration,
    phase: Phase,
    parts: Vec<Part>,
    /// When all parts were over and the judge was asked.
    judging_since: Option<Timestamp>,
    /// Series that the judge wanted again and for which there was no time.
    left_out: BTreeSet<Target>,
}

/// How far a night is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Its sweep is out, or is being judged.
    Measuring,
    /// What the judge wants again is out, or is being judged.
    Again,
    /// Judged for the last time.
    Done,
    /// It came to nothing: an alarm.
    Abandoned {
        /// Why, for people.
        reason: String,
    },
}

/// What happens to a night.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Time has passed; also after a restart.
    Tick,
    /// The sweep of a part is on record.
    Submitted {
        /// Number of the part.
        part: u32,
        /// Its sweep.
        sweep: SweepId,
    },
    /// The sweep of a part cannot be submitted as things are.
    Refused {
        /// Number of the part.
        part: u32,
        /// Why.
        reason: String,
    },
    /// The sweep of a part is over, however; or a part that is to be cancelled has none.
    Ended {
        /// Number of the part.
        part: u32,
    },
    /// The judge has judged; its verdicts are stored with the night.
    Judged {
        /// As asked in [`Step::Judge`].
        last: bool,
        /// What it wants to see again.
        again: BTreeSet<Target>,
    },
    /// A person wants it to end, or its schedule is removed.
    Abandon {
        /// Why, for people.
        reason: String,
    },
}

/// What a night needs done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Submit [`Part::spec`] with this request id: [`Input::Submitted`] or [`Input::Refused`].
    Submit {
        /// Number of the part.
        part: u32,
        /// The same whenever it is asked for.
        request: RequestId,
    },
    /// Cancel the sweep that was submitted with this request id. [`Input::Ended`] once it is over, or when there is none.
    Cancel {
        /// Number of the part.
        part: u32,
        /// What it was submitted with.
        request: RequestId,
        /// The sweep, if it is known: else look for the request.
        sweep: Option<SweepId>,
    },
    /// Judge what all parts have measured: [`Input::Judged`].
    Judge {
        /// What was to be measured again has been: nothing will be a second time.
        last: bool,
    },
}

/// A refused submission is tried again for this long: after a restart of the coordinator its hosts come back one by one.
const PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// The judge takes seconds; one that has not answered by then never will, and the next night needs the place.
const JUDGING: SignedDuration = SignedDuration::from_hours(1);

impl Night {
    /// The `number`-th night of a schedule, for its run at `planned`; for one that a person asks for, now. The caller numbers nights without gaps or repetition.
    #[must_use]
    pub fn begin(schedule: &Schedule, number: u64, planned: Timestamp) -> Self {
        Self {
            schedule: schedule.name.clone(),
            number,
            planned,
            ends: schedule.ends(planned),
            deadline: schedule.deadline,
            budget: schedule.sweep.budget,
            phase: Phase::Measuring,
            parts: vec![Part::wanted(What::Everything)],
            judging_since: None,
            left_out: BTreeSet::new(),
        }
    }

    /// Takes in what happened. True: it has changed and is to be stored before its next steps are done. What cannot happen as things are changes nothing: it is an
    /// echo from before a crash.
    pub fn handle(&mut self, now: Timestamp, input: Input) -> bool {
        let before = self.clone();
        match input {
            Input::Tick => {}
            Input::Submitted { part, sweep } => self.submitted(part, sweep),
            Input::Refused { part, reason } => self.refused(now, part, reason),
            Input::Ended { part } => self.ended(part),
            Input::Judged { last, again } => self.judged(now, last, again),
            Input::Abandon { reason } => self.abandon(reason),
        }
        self.pass_time(now);
        *self != before
    }

    /// What is to be done now, all of it; asked again after each input. Empty: wait.
    #[must_use]
    pub fn todo(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = (0..)
            .zip(&self.parts)
            .filter_map(|(part, state)| {
                let request = self.request(part);
                match state.state {
                    PartState::Wanted { .. } => Some(Step::Submit { part, request }),
                    PartState::Stopping { sweep, .. } => Some(Step::Cancel {
                        part,
                        request,
                        sweep,
                    }),
                    PartState::Out { .. } | PartState::Over { .. } => None,
                }
            })
            .collect();
        if self.wants_judge() {
            let last = self.phase == Phase::Again;
            steps.push(Step::Judge { last });
        }
        steps
    }

    /// True once it is done or abandoned and none of its sweeps is out: the next night may begin.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_settled() && self.parts.iter().all(Part::is_over)
    }

    /// The request id of a part.
    #[must_use]
    pub fn request(&self, part: u32) -> RequestId {
        let planned = self.planned.as_nanosecond();
        RequestId::of_night(self.schedule.as_str(), self.number, planned, part)
    }

    /// The number of the part whose sweep this is.
    #[must_use]
    pub fn part_of(&self, sweep: SweepId) -> Option<u32> {
        let mut parts = (0..).zip(&self.parts);
        parts.find_map(|(number, part)| (part.sweep() == Some(sweep)).then_some(number))
    }

    /// Whose it is.
    #[must_use]
    pub const fn schedule(&self) -> &ScheduleName {
        &self.schedule
    }

    /// Which of the schedule's nights.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The run it stands for.
    #[must_use]
    pub const fn planned(&self) -> Timestamp {
        self.planned
    }

    /// Its deadline.
    #[must_use]
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// How far it is.
    #[must_use]
    pub const fn phase(&self) -> &Phase {
        &self.phase
    }

    /// Its sweeps: the schedule's first, then what was measured again, by number.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Series that should have been measured again and for which there was no time.
    #[must_use]
    pub const fn left_out(&self) -> &BTreeSet<Target> {
        &self.left_out
    }

    fn submitted(&mut self, part: u32, sweep: SweepId) {
        let Some(part) = self.part(part) else {
            return;
        };
        match &mut part.state {
            PartState::Wanted { .. } => part.state = PartState::Out { sweep },
            PartState::Stopping { sweep: known, .. } => {
                known.get_or_insert(sweep);
            }
            // The answer comes after everybody stopped waiting for it: what is out is called back all the same.
            PartState::Over { sweep: None, .. } => {
                part.state = PartState::Stopping {
                    sweep: Some(sweep),
                    refused: None,
                };
            }
            PartState::Out { .. } | PartState::Over { .. } => {}
        }
    }

    fn refused(&mut self, now: Timestamp, part: u32, reason: String) {
        if let Some(part) = self.part(part)
            && let PartState::Wanted { refused } = &mut part.state
        {
            let since = refused.as_ref().map_or(now, |refused| refused.since);
            *refused = Some(Refused { since, reason });
        }
    }

    fn ended(&mut self, part: u32) {
        let Some(part) = self.part(part) else {
            return;
        };
        let (sweep, end) = match &part.state {
            PartState::Out { sweep } => (Some(*sweep), End::Finished),
            PartState::Stopping { sweep, refused } => (*sweep, cut(*sweep, refused.clone())),
            PartState::Wanted { .. } | PartState::Over { .. } => return,
        };
        part.state = PartState::Over { sweep, end };
    }

    fn judged(&mut self, now: Timestamp, last: bool, again: BTreeSet<Target>) {
        if !self.wants_judge() || last != (self.phase == Phase::Again) {
            return;
        }
        self.judging_since = None;
        let parts = if last {
            Vec::new()
        } else {
            self.again(now, again)
        };
        self.phase = if parts.is_empty() {
            Phase::Done
        } else {
            Phase::Again
        };
        self.parts.extend(parts);
    }

    /// A part for each workload that has series to be measured again, as far as the time reaches: a device measures one after the other.
    fn again(&mut self, now: Timestamp, wanted: BTreeSet<Target>) -> Vec<Part> {
        let left = self.ends.duration_since(now).max(SignedDuration::ZERO);
        let fit = left.unsigned_abs().as_nanos() / self.budget.as_nanos().max(1);
        let mut taken: BTreeMap<String, u128> = BTreeMap::new();
        let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for target in wanted {
            let taken = taken.entry(target.device.clone()).or_default();
            if *taken == fit {
                self.left_out.insert(target);
                continue;
            }
            *taken += 1;
            let devices = parts.entry(target.workload).or_default();
            devices.insert(target.device);
        }
        parts
            .into_iter()
            .map(|(workload, devices)| Part::wanted(What::Again { workload, devices }))
            .collect()
    }

    fn abandon(&mut self, reason: String) {
        if self.is_settled() {
            return;
        }
        self.settle(Phase::Abandoned { reason });
        self.stop(|_| true);
    }

    /// Acts on the time: deadlines of the night, of a refused submission and of the judge.
    fn pass_time(&mut self, now: Timestamp) {
        self.follow_clock(now);
        let is_late = now >= self.ends;
        self.stop(|part| is_late || is_refused_for_good(part, now));
        let is_judged_next = matches!(self.phase, Phase::Measuring | Phase::Again)
            && self.parts.iter().all(Part::is_over);
        if !is_judged_next {
            return;
        }
        if self.never_began() {
            let reason = "its sweep was not submitted before its deadline".to_owned();
            return self.settle(Phase::Abandoned { reason });
        }
        let since = *self.judging_since.get_or_insert(now);
        if now.duration_since(since) >= JUDGING && now >= self.ends {
            let reason =
                "what it measured could not be judged; see the coordinator's log".to_owned();
            self.settle(Phase::Abandoned { reason });
        }
    }

    /// What lies ahead of `now` and did not is brought near: the clock was put back, and nobody waits until it is there again.
    fn follow_clock(&mut self, now: Timestamp) {
        let latest = now.saturating_add(signed(self.deadline));
        self.ends = self.ends.min(latest.unwrap_or(Timestamp::MAX));
        self.judging_since = self.judging_since.map(|since| since.min(now));
        for part in &mut self.parts {
            if let PartState::Wanted {
                refused: Some(Refused { since, .. }),
            } = &mut part.state
            {
                *since = (*since).min(now);
            }
        }
    }

    /// Calls back what is out, and what may be: a crash may have come between a submission and its record.
    fn stop(&mut self, is_meant: impl Fn(&Part) -> bool) {
        for part in self.parts.iter_mut().filter(|part| is_meant(part)) {
            let (sweep, refused) = match &part.state {
                PartState::Wanted { refused } => {
                    (None, refused.as_ref().map(|refused| refused.reason.clone()))
                }
                PartState::Out { sweep } => (Some(*sweep), None),
                PartState::Stopping { .. } | PartState::Over { .. } => continue,
            };
            part.state = PartState::Stopping { sweep, refused };
        }
    }

    fn settle(&mut self, phase: Phase) {
        self.phase = phase;
        self.judging_since = None;
    }

    fn is_settled(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::Abandoned { .. })
    }

    fn never_began(&self) -> bool {
        let first = self.parts.first().map(|part| &part.state);
        let never = End::NeverOut;
        matches!(first, Some(PartState::Over { end, .. }) if *end == never)
    }

    const fn wants_judge(&self) -> bool {
        self.judging_since.is_some()
    }

    fn part(&mut self, number: u32) -> Option<&mut Part> {
        self.parts.get_mut(usize::try_from(number).ok()?)
    }
}

fn is_refused_for_good(part: &Part, now: Timestamp) -> bool {
    let PartState::Wanted {
        refused: Some(refused),
    } = &part.state
    else {
        return false;
    };
    now.duration_since(refused.since) >= PATIENCE
}

/// How a part ends that was called back.
fn cut(sweep: Option<SweepId>, refused: Option<String>) -> End {
    match (sweep, refused) {
        (Some(_), _) => End::Cut,
        (None, Some(reason)) => End::Refused { reason },
        (None, None) => End::NeverOut,
    }
}
