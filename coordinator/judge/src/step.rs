//! S1: is the step the usual one?

use crate::{
    Book, Policy, Step,
    book::{Entry, last},
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// What a night's steps are against the usual one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Look {
    /// Nothing that could be compared.
    Unknown,
    /// The usual one.
    Usual,
    /// Another, and not measured again yet.
    Suspect {
        /// What it usually is.
        usual: Step,
    },
    /// Two measurements agree on another.
    Changed {
        /// What it usually was.
        usual: Step,
    },
    /// Two measurements do not agree.
    Unstable {
        /// What it usually is.
        usual: Step,
    },
}

impl Look {
    pub(crate) fn with(
        policy: &Policy,
        usual: Option<Step>,
        tonight: Step,
        again: Option<Step>,
    ) -> Self {
        let tonight = tonight.plausible();
        let Some(usual) = usual.filter(|_| tonight != Step::Unknown) else {
            return Self::Unknown;
        };
        if same(policy, tonight, usual) {
            return Self::Usual;
        }
        match again.map(Step::plausible) {
            // A measurement that does not tell is none.
            None | Some(Step::Unknown) => Self::Suspect { usual },
            Some(again) if same(policy, again, tonight) => Self::Changed { usual },
            Some(_) => Self::Unstable { usual },
        }
    }
}

/// What is said of a night's step, and whether it should be measured again; enters into the book what goes on. Tonight's entry is not in it yet.
pub(crate) fn judge(
    policy: &Policy,
    book: &mut Book,
    night: u32,
    tonight: Step,
    again: Option<Step>,
) -> (Vec<Verdict>, bool) {
    let (verdict, wants_again) = look(policy, book, night, tonight.plausible(), again);
    let mut verdicts: Vec<Verdict> = verdict.into_iter().collect();
    let is_said = verdicts
        .iter()
        .any(|verdict| verdict.kind == Kind::StepChanged);
    // It goes on also on a night that does not show it.
    if let Some((other, since)) = book.standing.step.filter(|_| !is_said) {
        let usual = usual(policy, book.settled());
        let numbers = Numbers {
            steps: usual.map(|usual| [usual, other]),
            since: Some(since),
            ..Numbers::default()
        };
        let verdict = Verdict::new(Kind::StepChanged, Reason::AnotherStep).with(numbers);
        verdicts.push(verdict.alarm());
    }
    (verdicts, wants_again)
}

fn look(
    policy: &Policy,
    book: &mut Book,
    night: u32,
    tonight: Step,
    again: Option<Step>,
) -> (Option<Verdict>, bool) {
    let look = Look::with(policy, usual(policy, book.settled()), tonight, again);
    let standing = book.standing.step;
    let goes_on = standing.is_some_and(|(step, _)| same(policy, step, tonight));
    let verdict = |kind, reason, usual, since| {
        let numbers = Numbers {
            steps: Some([usual, tonight]),
            since,
            ..Numbers::default()
        };
        Verdict::new(kind, reason).with(numbers)
    };
    let since = standing.map(|(_, since)| since).filter(|_| goes_on);
    match look {
        Look::Unknown => (None, false),
        Look::Usual => (
            standing.and_then(|(other, _)| end(policy, book, other, tonight)),
            false,
        ),
        // What two measurements agreed on once and one finds again goes on: no need to ask twice each night.
        Look::Suspect { usual } if goes_on => (
            Some(verdict(Kind::StepChanged, Reason::AnotherStep, usual, since).alarm()),
            false,
        ),
        Look::Suspect { usual } => {
            let verdict = verdict(Kind::Provisional, Reason::NotMeasuredAgain, usual, None);
            (Some(verdict), again.is_none())
        }
        Look::Changed { usual } => {
            let since = since.unwrap_or(night);
            if !goes_on {
                book.told.remove(&Kind::StepChanged);
            }
            book.standing.step = Some((tonight, since));
            let verdict = verdict(Kind::StepChanged, Reason::AnotherStep, usual, Some(since));
            (Some(verdict.alarm()), false)
        }
        Look::Unstable { usual } => (
            Some(verdict(Kind::Unstable, Reason::TwoSteps, usual, None)),
            false,
        ),
    }
}

/// The usual step again while another stands: that one has become usual, or the old one is back on enough nights.
fn end(policy: &Policy, book: &mut Book, other: Step, tonight: Step) -> Option<Verdict> {
    if same(policy, other, tonight) {
        book.standing.step = None;
        book.told.remove(&Kind::StepChanged);
        return None;
    }
    let before = policy.resolving_nights.saturating_sub(1);
    let last = book.last(before);
    let is_back =
        last.len() == before && last.iter().all(|entry| same(policy, entry.step, tonight));
    is_back.then(|| {
        book.standing.step = None;
        let numbers = Numbers {
            steps: Some([other, tonight]),
            ..Numbers::default()
        };
        book.resolve(Kind::StepChanged, Reason::UsualStep)
            .with(numbers)
    })
}

/// The most frequent known step of the last nights, of several the latest; `None` where fewer than half of them know one.
pub(crate) fn usual(policy: &Policy, settled: &[Entry]) -> Option<Step> {
    let nights = last(settled, policy.step_nights);
    let known: Vec<Step> = nights
        .iter()
        .map(|entry| entry.step)
        .filter(|step| *step != Step::Unknown)
        .collect();
    if nights.len() < policy.learning_nights.min(policy.step_nights)
        || 2 * known.len() < nights.len()
    {
        return None;
    }
    most_frequent(policy, &known).map(|(step, _)| step)
}

/// The step that most of these are, of several the last, and how many are it.
pub(crate) fn most_frequent(policy: &Policy, known: &[Step]) -> Option<(Step, usize)> {
    let votes = |step: Step| {
        known
            .iter()
            .filter(|other| same(policy, **other, step))
            .count()
    };
    let counted = known.iter().map(|step| (*step, votes(*step)));
    counted.max_by_key(|(_, votes)| *votes)
}

/// True for steps that are one and the same.
pub(crate) fn same(policy: &Policy, one: Step, other: Step) -> bool {
    match (one, other) {
        (Step::Period(one), Step::Period(other)) => {
            (one - other).abs() <= policy.step_tolerance * one.max(other)
        }
        _ => one == other,
    }
}
