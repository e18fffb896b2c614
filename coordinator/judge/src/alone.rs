//! One series' night against its own past: S0 to S3 and S5.

use crate::{
    Baseline, Book, Measurement, Observation, Policy, Step,
    baseline::last,
    book::Entry,
    drift,
    environment::{Change, Environment, Property},
    observation::Invalidity,
    stats::median,
    step, time,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// A series that was judged alone.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    /// Never empty.
    pub verdicts: Vec<Verdict>,
    /// A second measurement may change them.
    pub wants_again: bool,
    /// Above the baseline, and the same in standard deviations; of nights that are compared with a baseline that is known.
    pub shift: Option<(f64, f64)>,
    /// What was measured.
    pub measured: Option<Measured>,
    /// As it is after the night.
    pub book: Book,
}

/// What siblings are compared by.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub level: f64,
    pub step: Step,
    /// The same of the second measurement.
    pub again: Option<(f64, Step)>,
}

impl Alone {
    fn unmeasured(book: Book, verdict: Verdict) -> Self {
        Self {
            verdicts: vec![verdict],
            wants_again: false,
            shift: None,
            measured: None,
            book,
        }
    }

    /// Silences the alarms of these kinds.
    pub(crate) fn silence(&mut self, kinds: impl Fn(Kind) -> bool) {
        for verdict in &mut self.verdicts {
            verdict.is_silenced |= kinds(verdict.kind);
        }
    }

    /// True when it is said already that the series is not what it was.
    pub(crate) fn has_changed(&self) -> bool {
        let says_so = |verdict: &Verdict| {
            matches!(
                verdict.kind,
                Kind::Confirmed
                    | Kind::Provisional
                    | Kind::StepChanged
                    | Kind::ChangedWithEnvironment
            )
        };
        self.verdicts.iter().any(says_so)
    }
}

pub(crate) fn alone(policy: &Policy, mut book: Book, night: u32, observed: &Observation) -> Alone {
    let was_missing = std::mem::replace(
        &mut book.standing.missing,
        matches!(observed, Observation::Missing),
    );
    let (environment, first, again) = match observed {
        Observation::Missing => {
            let verdict = Verdict::new(Kind::Missing, Reason::Deadline).alarm(!was_missing);
            return Alone::unmeasured(book, verdict);
        }
        Observation::Invalid { why } => {
            let verdict = Verdict::new(Kind::Invalid, invalid(*why));
            return Alone::unmeasured(book, verdict);
        }
        Observation::Measured {
            environment,
            first,
            again,
        } => (environment, first, again.as_ref()),
    };
    let Some(level) = first.level() else {
        let verdict = Verdict::new(Kind::Invalid, Reason::Incomplete);
        return Alone::unmeasured(book, verdict);
    };
    let tonight = Tonight {
        night,
        environment,
        first,
        level,
        again,
    };
    let changes = book
        .entries
        .last()
        .map_or_else(Vec::new, |last| last.environment.changes_to(environment));
    let mut alone = if changes.is_empty() {
        same_environment(policy, book, &tonight)
    } else {
        new_environment(policy, book, &tonight, changes)
    };
    if was_missing {
        let mut back = Verdict::new(Kind::Resolved, Reason::Returned);
        back.is_new = true;
        alone.verdicts.push(back);
    }
    alone.measured = Some(Measured {
        level,
        step: first.step,
        again: again.and_then(|again| Some((again.level()?, again.step))),
    });
    alone
}

const fn invalid(why: Invalidity) -> Reason {
    match why {
        Invalidity::Throttled => Reason::Throttled,
        Invalidity::Contended => Reason::Contended,
        Invalidity::Incomplete => Reason::Incomplete,
    }
}

/// A night that can be judged.
struct Tonight<'a> {
    night: u32,
    environment: &'a Environment,
    first: &'a Measurement,
    level: f64,
    again: Option<&'a Measurement>,
}

impl Tonight<'_> {
    fn entry(&self, segment: u32) -> Entry {
        Entry::of(
            self.night,
            segment,
            self.environment,
            self.first,
            self.level,
        )
    }
}

fn same_environment(policy: &Policy, mut book: Book, tonight: &Tonight<'_>) -> Alone {
    let mut entry = tonight.entry(book.segment);
    let Some(baseline) = Baseline::of(policy, &book) else {
        book.entries.push(entry);
        let first = Verdict::new(Kind::Learning, Reason::FewNights);
        return Alone::unmeasured(book, first);
    };
    let look = time::Look::at(&baseline, tonight.level, tonight.again);
    let steps = step::Look::at(policy, book.settled(), tonight.first.step, tonight.again);
    let numbers = Numbers {
        shift_again: tonight
            .again
            .and_then(Measurement::level)
            .map(|level| level - baseline.level),
        ..baseline.numbers(tonight.level, tonight.first.cycles())
    };
    let (mut verdict, alarm) = time::judge(policy, &book, &baseline, tonight.level, look);
    verdict.numbers = Numbers {
        since: alarm.or(book.alarm).map(|alarm| alarm.since),
        ..numbers
    };
    let mut verdicts = vec![verdict];
    let mut wants_again = book.alarm.is_none() && look == time::Look::Suspect;
    entry.hit = look.hit();
    book.alarm = alarm;
    book.entries.push(entry);

    let changed = steps_verdict(steps, tonight.first.step, book.standing.step.is_none());
    wants_again |= matches!(steps, step::Look::Suspect { .. }) && tonight.again.is_none();
    book.standing.step = match steps {
        step::Look::Changed { .. } => Some(tonight.first.step),
        step::Look::Suspect { .. } | step::Look::Unstable { .. } => book.standing.step,
        step::Look::Usual => None,
    };
    verdicts.extend(changed);

    let drifts = if book.alarm.is_none() && book.frozen_since.is_none() {
        drift::judge(policy, book.current())
    } else {
        None
    };
    let was_drifting = std::mem::replace(&mut book.standing.drift, drifts.is_some());
    verdicts.extend(drifts.map(|mut verdict| {
        verdict.is_new = !was_drifting;
        verdict
    }));
    let shift = tonight.level - baseline.level;
    Alone {
        verdicts,
        wants_again,
        shift: (!baseline.is_learning).then_some((shift, shift / baseline.sigma)),
        measured: None,
        book,
    }
}

fn steps_verdict(look: step::Look, tonight: Step, is_new: bool) -> Option<Verdict> {
    let numbers = |usual| Numbers {
        steps: Some([usual, tonight]),
        ..Numbers::default()
    };
    match look {
        step::Look::Usual | step::Look::Suspect { .. } => None,
        step::Look::Changed { usual } => Some(
            Verdict::new(Kind::StepChanged, Reason::AnotherStep)
                .with(numbers(usual))
                .alarm(is_new),
        ),
        step::Look::Unstable { usual } => {
            Some(Verdict::new(Kind::Unstable, Reason::TwoSteps).with(numbers(usual)))
        }
    }
}

/// The first night of an environment: compared with the old one at once, as far as both run the same thing.
fn new_environment(
    policy: &Policy,
    mut book: Book,
    tonight: &Tonight<'_>,
    changes: Vec<Change>,
) -> Alone {
    let baseline = Baseline::of(policy, &book);
    let redefined =
        |change: &Change| matches!(change.property, Property::Workload | Property::Timing);
    let is_redefined = changes.iter().any(redefined);
    let mut wants_again = false;
    let mut verdict = match baseline.filter(|_| !is_redefined) {
        None => {
            let reason = if is_redefined {
                Reason::DefinitionChanged
            } else {
                Reason::EnvironmentChanged
            };
            Verdict::new(Kind::Incomparable, reason)
        }
        Some(baseline) => {
            let usual = last(book.settled(), policy.baseline_nights);
            let above = |measured: &Measurement| paired(usual, measured);
            let gate = environment_gate(policy, &baseline);
            let shift = above(tonight.first);
            let again = tonight.again.and_then(above);
            let steps = step::Look::at(policy, book.settled(), tonight.first.step, tonight.again);
            let beyond = |shift: Option<f64>| shift.filter(|shift| shift.abs() >= gate);
            let is_shifted = match (beyond(shift), tonight.again) {
                (Some(first), Some(_)) => beyond(again).is_some_and(|again| again * first > 0.0),
                _ => false,
            };
            let has_new_step = matches!(steps, step::Look::Changed { .. });
            let suspect = beyond(shift).is_some() || matches!(steps, step::Look::Suspect { .. });
            wants_again = suspect && tonight.again.is_none();
            let numbers = Numbers {
                shift,
                shift_again: again,
                detectable: Some(gate),
                steps: step::usual(policy, book.settled()).map(|usual| [usual, tonight.first.step]),
                ..baseline.numbers(tonight.level, tonight.first.cycles())
            };
            let is_slower = is_shifted && shift.is_some_and(|shift| shift > 0.0);
            let verdict = if is_shifted || has_new_step {
                Verdict::new(Kind::ChangedWithEnvironment, Reason::EnvironmentChanged)
            } else {
                Verdict::new(Kind::Incomparable, Reason::EnvironmentChanged)
            }
            .with(numbers);
            if is_slower || has_new_step {
                verdict.alarm(true)
            } else {
                verdict
            }
        }
    };
    verdict.changes = changes;
    book.segment += 1;
    book.alarm = None;
    book.frozen_since = None;
    book.standing.step = None;
    book.standing.drift = false;
    book.entries.push(tonight.entry(book.segment));
    Alone {
        verdicts: vec![verdict],
        wants_again,
        shift: None,
        measured: None,
        book,
    }
}

/// A change is at least this large: the policy's, or what the spread of nights allows to be seen.
fn environment_gate(policy: &Policy, baseline: &Baseline) -> f64 {
    let least = if baseline.is_learning {
        policy.learning_shift
    } else {
        policy.environment_shift
    };
    least.ln_1p().max(policy.hit_sigmas * baseline.sigma)
}

/// Median over the batch sizes of how far each is above its own median of the usual nights; by the levels where the batch sizes of those are no longer known.
fn paired(usual: &[Entry], measured: &Measurement) -> Option<f64> {
    let above = measured.log_seconds.iter().filter_map(|(size, seconds)| {
        let before = usual.iter().filter_map(|entry| entry.log_seconds.get(size));
        Some(seconds - median(before.copied())?)
    });
    median(above).or_else(|| {
        let before = median(usual.iter().map(|entry| entry.level))?;
        Some(measured.level()? - before)
    })
}
