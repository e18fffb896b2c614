//! One series' night against its own past: S0 to S3, and whether it reported at all. Called by `night`, which then looks at series together.

use crate::{
    Baseline, Book, Measurement, Observation, Policy, Step,
    book::{Direction, Entry},
    boundary::{self, Before, Boundary},
    cycles, drift,
    environment::{Change, Environment, one_after_the_other},
    observation::Invalidity,
    step, time,
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// A series that was judged alone.
#[derive(Debug, Clone)]
pub(crate) struct Alone {
    /// Never empty, unless `crossing` is there.
    pub verdicts: Vec<Verdict>,
    /// A second measurement may change them.
    pub wants_again: bool,
    /// What the night is held against, where that is known well.
    pub baseline: Option<Baseline>,
    /// The environment is another since tonight.
    pub is_renewed: bool,
    /// What was measured.
    pub measured: Option<Measured>,
    /// What is seen across a change of environment: no verdict yet, since that takes the siblings.
    pub crossing: Option<boundary::Look>,
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
    fn of(book: Book, verdicts: Vec<Verdict>) -> Self {
        Self {
            verdicts,
            wants_again: false,
            baseline: None,
            is_renewed: false,
            measured: None,
            crossing: None,
            book,
        }
    }

    /// Silences the verdicts that are so.
    pub(crate) fn silence(&mut self, is_so: impl Fn(&Verdict) -> bool) {
        for verdict in &mut self.verdicts {
            verdict.is_silenced |= is_so(verdict);
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

/// Judges one series' night, numbered and dated, and enters it into its book. Whom of it to tell is decided when the other series are known.
pub(crate) fn alone(
    policy: &Policy,
    mut book: Book,
    (night, day): (u32, i32),
    observed: &Observation,
) -> Alone {
    if book.newest.is_some_and(|newest| night <= newest) {
        let verdict = Verdict::new(Kind::Invalid, Reason::OutOfOrder);
        return Alone::of(book, vec![verdict]);
    }
    book.newest = Some(night);
    book.unmute(day);
    let is_missing = matches!(observed, Observation::Missing);
    let was_missing = std::mem::replace(&mut book.standing.missing, is_missing);
    let mut alone = match observed {
        Observation::Missing => {
            let verdict = Verdict::new(Kind::Missing, Reason::Deadline).alarm();
            Alone::of(book, vec![verdict])
        }
        Observation::Invalid { why } => {
            Alone::of(book, vec![Verdict::new(Kind::Invalid, invalid(*why))])
        }
        Observation::Measured {
            environment,
            first,
            again,
        } => measured(policy, book, night, environment, first, again.as_ref()),
    };
    if was_missing && !is_missing {
        let back = alone.book.resolve(Kind::Missing, Reason::Returned);
        alone.verdicts.push(back);
    }
    alone.book.prune(policy);
    alone
}

const fn invalid(why: Invalidity) -> Reason {
    match why {
        Invalidity::Throttled => Reason::Throttled,
        Invalidity::Contended => Reason::Contended,
        Invalidity::Incomplete => Reason::Incomplete,
    }
}

fn measured(
    policy: &Policy,
    mut book: Book,
    night: u32,
    environment: &Environment,
    first: &Measurement,
    again: Option<&Measurement>,
) -> Alone {
    let Some(level) = first.level() else {
        return Alone::of(book, vec![Verdict::new(Kind::Invalid, Reason::Incomplete)]);
    };
    // A second measurement that cannot be judged is none.
    let again = again.filter(|again| again.level().is_some());
    let known = book.environment.get_or_insert_default();
    let changes = known.changes_to(environment);
    known.absorb(environment);
    let tonight = Tonight {
        night,
        first,
        level,
        again,
    };
    let mut alone = if changes.is_empty() {
        same_environment(policy, book, &tonight)
    } else {
        new_environment(policy, book, &tonight, changes)
    };
    alone.measured = Some(Measured {
        level,
        step: first.step.plausible(),
        again: again.and_then(|again| Some((again.level()?, again.step.plausible()))),
    });
    alone
}

/// A night that can be judged.
struct Tonight<'a> {
    night: u32,
    first: &'a Measurement,
    level: f64,
    again: Option<&'a Measurement>,
}

impl Tonight<'_> {
    /// As it will be remembered; a step of which two measurements disagree is none.
    fn entry(&self, policy: &Policy, segment: u32) -> Entry {
        let mut entry = Entry::of(self.night, segment, self.first, self.level);
        if let Some(again) = self.again.map(|again| again.step.plausible()) {
            entry.step = match (entry.step, again) {
                (Step::Unknown, step) | (step, Step::Unknown) => step,
                (first, again) if step::same(policy, first, again) => first,
                _ => Step::Unknown,
            };
        }
        entry
    }

    fn level_again(&self) -> Option<f64> {
        self.again.and_then(Measurement::level)
    }

    fn numbers(&self, baseline: &Baseline) -> Numbers {
        Numbers {
            shift_again: self.level_again().map(|level| level - baseline.level),
            ..baseline.numbers(self.level, self.first.cycles())
        }
    }
}

fn same_environment(policy: &Policy, mut book: Book, tonight: &Tonight<'_>) -> Alone {
    let crossing = look_across(policy, &mut book, tonight);
    let mut entry = tonight.entry(policy, book.segment);
    let Some(baseline) = Baseline::of(policy, &book) else {
        let mut learning = Verdict::new(Kind::Learning, Reason::FewNights);
        learning.numbers.level = Some(tonight.level);
        learning.numbers.nights = book.settled().len();
        book.entries.push(entry);
        let alone = Alone::of(book, vec![learning]);
        return with_crossing(alone, crossing);
    };
    let look = time::Look::at(&baseline, tonight.level, tonight.level_again());
    let is_slowdown_open = book.slowdown().is_some();
    let mut verdict = time::judge(
        policy,
        &mut book,
        tonight.night,
        &baseline,
        tonight.level,
        look,
    );
    verdict.numbers = tonight.numbers(&baseline);
    verdict.numbers.since = book.alarm.map(|alarm| alarm.since);
    verdict.cause = verdict.numbers.cause();
    let numbers = verdict.numbers.clone();
    let mut verdicts = vec![verdict];
    let mut wants_again = !is_slowdown_open && matches!(look, time::Look::Suspect(_));

    let step_again = tonight.again.map(|again| again.step);
    let (step, is_step_suspect) = step::judge(
        policy,
        &mut book,
        tonight.night,
        tonight.first.step,
        step_again,
    );
    verdicts.extend(step);
    wants_again |= is_step_suspect;

    entry.hit = look.hit();
    let cycles_again = tonight.again.and_then(Measurement::cycles);
    entry.is_hit_in_cycles = cycles::is_hit(&baseline, tonight.first.cycles(), cycles_again);
    book.entries.push(entry);
    verdicts.extend(cycles::judge(policy, &mut book, &numbers));
    verdicts.extend(drift::judge(policy, &mut book));

    let mut alone = Alone::of(book, verdicts);
    alone.wants_again = wants_again;
    // A slowdown that goes on from another environment is held against a level of that one: nothing to judge a model by.
    alone.baseline = Some(baseline).filter(|baseline| baseline.nights >= policy.learning_nights);
    with_crossing(alone, crossing)
}

/// The first nights of an environment are still held against the old one.
fn look_across(policy: &Policy, book: &mut Book, tonight: &Tonight<'_>) -> Option<boundary::Look> {
    if book
        .boundary
        .as_ref()
        .is_some_and(|boundary| boundary.is_over(policy))
    {
        book.boundary = None;
    }
    let boundary = book.boundary.as_mut()?;
    let look = boundary.before.look(policy, tonight.first, tonight.again);
    boundary.nights.push(look.beyond);
    Some(look)
}

fn with_crossing(mut alone: Alone, crossing: Option<boundary::Look>) -> Alone {
    alone.wants_again |= crossing.as_ref().is_some_and(|look| look.wants_again);
    alone.crossing = crossing;
    alone
}

/// The first night of an environment: a new segment, held against the old one at once as far as both run the same thing.
fn new_environment(
    policy: &Policy,
    mut book: Book,
    tonight: &Tonight<'_>,
    changes: Vec<Change>,
) -> Alone {
    let is_redefined = changes.iter().any(Change::is_of_the_definition);
    let boundary = (!is_redefined)
        .then(|| across(policy, &book, &changes))
        .flatten();
    let mut verdicts = Vec::new();
    // A slowdown is not over because a driver changed: it goes on until nights are as they were before it.
    let open = if is_redefined { None } else { book.slowdown() };
    if let Some(alarm) = open
        && let Some(baseline) = Baseline::of(policy, &book)
    {
        let mut verdict = time::go_on(policy, &mut book, &baseline, tonight.level, alarm);
        verdict.numbers = tonight.numbers(&baseline);
        verdict.numbers.since = Some(alarm.since);
        verdict.changes.clone_from(&changes);
        verdicts.push(verdict);
    } else if book.slowdown().is_some() {
        let mut verdict = book.resolve(Kind::Confirmed, Reason::DefinitionChanged);
        verdict.changes.clone_from(&changes);
        verdicts.push(verdict);
    }
    begin_segment(&mut book, is_redefined);
    book.boundary = boundary;
    let crossing = look_across(policy, &mut book, tonight);
    if crossing.is_none() {
        let reason = if is_redefined {
            Reason::DefinitionChanged
        } else {
            Reason::EnvironmentChanged
        };
        let mut verdict = Verdict::new(Kind::Incomparable, reason);
        verdict.numbers.level = Some(tonight.level);
        verdict.changes = changes;
        verdicts.push(verdict);
    }
    book.entries.push(tonight.entry(policy, book.segment));
    let mut alone = Alone::of(book, verdicts);
    alone.is_renewed = true;
    with_crossing(alone, crossing)
}

/// What was before tonight's change; where the last change was only days ago, what was before that one, and both changes as one.
fn across(policy: &Policy, book: &Book, changes: &[Change]) -> Option<Boundary> {
    if let Some(before) = Before::of(policy, book) {
        return Some(Boundary::new(changes.to_vec(), before));
    }
    let last = book.boundary.as_ref()?;
    let both = one_after_the_other(&last.changes, changes);
    let changes = if both.is_empty() {
        changes.to_vec()
    } else {
        both
    };
    Some(Boundary::new(changes, last.before.clone()))
}

fn begin_segment(book: &mut Book, is_redefined: bool) {
    book.segment = book.segment.saturating_add(1);
    book.frozen_since = None;
    book.boundary = None;
    book.standing.step = None;
    book.standing.drift = false;
    book.standing.cycles = false;
    book.told.remove(&Kind::StepChanged);
    book.alarm = book
        .alarm
        .filter(|alarm| alarm.direction == Direction::Slower && !is_redefined);
    if is_redefined {
        book.best = None;
    }
}
