//! A device among its siblings: those of the same model, driver and workload. Knows no past of levels; what it takes from the book is on how many nights the device
//! was unlike them. Called by `night` after each series was judged alone.

use crate::{
    Environment, Policy, Step,
    alone::Alone,
    book::last,
    stats::{median, robust_sigma},
    step::{most_frequent, same},
    verdict::{Kind, Numbers, Reason, Verdict},
};

/// One of the siblings.
pub(crate) struct Sibling<'a> {
    pub environment: &'a Environment,
    pub alone: &'a mut Alone,
}

/// What the siblings have in common.
struct Common {
    level: f64,
    sigma: f64,
    devices: usize,
    step: Option<Step>,
}

/// One device beside them.
struct Look {
    reason: Option<Reason>,
    numbers: Numbers,
}

/// Judges each device of a group among the others; nothing for too few of them. What a device has changed itself is said already.
pub(crate) fn judge(policy: &Policy, night: u32, siblings: &mut [Sibling<'_>]) {
    let Some(common) = Common::of(policy, siblings) else {
        for sibling in siblings {
            goes_on(sibling.alone);
        }
        return;
    };
    let environment = usual_environment(siblings);
    for sibling in siblings {
        if let Some(mut verdict) = one(policy, night, &common, sibling.alone) {
            let Sibling {
                alone,
                environment: own,
            } = sibling;
            if verdict.is_alarm {
                verdict.is_silenced = is_no_news(alone);
            }
            if let Some(usual) = environment
                .as_ref()
                .filter(|_| verdict.kind != Kind::Resolved)
            {
                verdict.changes = usual.changes_to(own);
            }
            alone.verdicts.push(verdict);
        }
    }
}

/// Too few siblings to tell tonight: what is open goes on.
fn goes_on(alone: &mut Alone) {
    if let Some(since) = alone.book.standing.outlier {
        let mut verdict = Verdict::new(Kind::Outlier, Reason::Siblings).alarm();
        verdict.numbers.since = Some(since);
        verdict.is_silenced = is_no_news(alone);
        alone.verdicts.push(verdict);
    }
}

/// What a device has changed itself is said already; and who was told that it is slower, or has another step, need not be told later that its siblings are not and have not.
fn is_no_news(alone: &mut Alone) -> bool {
    let own = [Kind::Confirmed, Kind::StepChanged];
    let has_changed = alone.has_changed();
    let was_told = own.iter().any(|kind| alone.book.told.contains(kind));
    let standing = &mut alone.book.standing;
    standing.is_outlier_known |=
        has_changed && was_told && !alone.book.told.contains(&Kind::Outlier);
    has_changed || standing.is_outlier_known
}

fn one(policy: &Policy, night: u32, common: &Common, alone: &mut Alone) -> Option<Verdict> {
    let own = alone.measured.clone()?;
    let look = common.look(policy, own.level, own.step);
    let again = own
        .again
        .map(|(level, step)| common.look(policy, level, step).reason);
    let book = &mut alone.book;
    let open = book.standing.outlier;
    let is_unlike = look.reason.is_some() && again.is_none_or(|again| again == look.reason);
    if let Some(entry) = book.entries.last_mut() {
        // Without a second measurement it counts only for what is open already.
        entry.is_unlike = is_unlike && (again.is_some() || open.is_some());
    }
    let numbers = Numbers {
        since: open,
        ..look.numbers
    };
    let reason = look.reason.unwrap_or(Reason::Siblings);
    if open.is_some() {
        let nights = last(&book.entries, policy.resolving_nights);
        let is_over =
            nights.len() == policy.resolving_nights && nights.iter().all(|entry| !entry.is_unlike);
        if is_over {
            book.standing.outlier = None;
            book.standing.is_outlier_known = false;
            return Some(
                book.resolve(Kind::Outlier, Reason::LikeSiblings)
                    .with(numbers),
            );
        }
        return Some(Verdict::new(Kind::Outlier, reason).with(numbers).alarm());
    }
    look.reason?;
    let Some(again) = again else {
        alone.wants_again = true;
        return Some(Verdict::new(Kind::Provisional, Reason::NotMeasuredAgain).with(numbers));
    };
    if again != look.reason {
        return None;
    }
    let nights = last(&book.entries, policy.confirming_nights).iter();
    let nights: Vec<u32> = nights
        .filter(|entry| entry.is_unlike)
        .map(|entry| entry.night)
        .collect();
    if nights.len() < policy.confirming_hits {
        return Some(Verdict::new(Kind::Provisional, reason).with(numbers));
    }
    let since = nights.first().copied().unwrap_or(night);
    book.standing.outlier = Some(since);
    book.standing.is_outlier_known = book.explained == Some(book.segment);
    Some(
        Verdict::new(Kind::Outlier, reason)
            .with(Numbers {
                since: Some(since),
                ..numbers
            })
            .alarm(),
    )
}

impl Common {
    fn of(policy: &Policy, siblings: &[Sibling<'_>]) -> Option<Self> {
        let measured = siblings
            .iter()
            .filter_map(|sibling| sibling.alone.measured.as_ref());
        let (levels, steps): (Vec<f64>, Vec<Step>) = measured.map(|it| (it.level, it.step)).unzip();
        if levels.len() < policy.outlier_devices {
            return None;
        }
        let level = median(levels.iter().copied())?;
        let known: Vec<Step> = steps
            .into_iter()
            .filter(|step| *step != Step::Unknown)
            .collect();
        // The step that all but one of them have at least.
        let step = most_frequent(policy, &known)
            .filter(|(_, votes)| known.len() >= policy.outlier_devices && votes + 1 >= known.len());
        Some(Self {
            level,
            sigma: robust_sigma(levels.iter().copied(), level)?.max(policy.least_sigma),
            devices: levels.len(),
            step: step.map(|(step, _)| step),
        })
    }

    fn look(&self, policy: &Policy, level: f64, step: Step) -> Look {
        let shift = level - self.level;
        let apart = (policy.outlier_sigmas * self.sigma).max(policy.outlier_shift.ln_1p());
        let gate = apart.min(policy.outlier_far.ln_1p());
        let has_another = |usual: &Step| step != Step::Unknown && !same(policy, step, *usual);
        let other = self.step.filter(has_another);
        let reason = if shift > gate {
            Some(Reason::Siblings)
        } else {
            other.map(|_| Reason::SiblingsStep)
        };
        let numbers = Numbers {
            level: Some(level),
            baseline: Some(self.level),
            sigma: Some(self.sigma),
            shift: Some(shift),
            sigmas: Some(shift / self.sigma),
            gate: Some(gate),
            steps: other.map(|usual| [usual, step]),
            devices: Some(self.devices),
            ..Numbers::default()
        };
        Look { reason, numbers }
    }
}

/// The environment that most of them have.
fn usual_environment(siblings: &[Sibling<'_>]) -> Option<Environment> {
    let count = |one: &Environment| {
        siblings
            .iter()
            .filter(|other| other.environment == one)
            .count()
    };
    let usual = siblings
        .iter()
        .max_by_key(|sibling| count(sibling.environment))?;
    Some(usual.environment.clone())
}
