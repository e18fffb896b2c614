//! One night's way, step by step.

use std::{collections::BTreeSet, time::Duration};

use batchstep_proto::{domain::DeviceSelector, ids::SweepId};
use jiff::{SignedDuration, Timestamp};

use super::{schedule, sweep, time};
use crate::nightly::{End, Input, Night, PartState, Phase, Schedule, Step, Target, What};

const BEGIN: &str = "2026-01-05T01:00:00Z";

fn begin() -> Night {
    Night::begin(&schedule(), 7, time(BEGIN))
}

/// After the night's begin.
fn after(minutes: i64) -> Timestamp {
    time(BEGIN) + SignedDuration::from_mins(minutes)
}

fn submit(night: &Night, part: u32) -> Step {
    let request = night.request(part);
    Step::Submit { part, request }
}

fn cancel(night: &Night, part: u32, sweep: Option<SweepId>) -> Step {
    let request = night.request(part);
    Step::Cancel {
        part,
        request,
        sweep,
    }
}

fn targets(targets: &[(&str, &str)]) -> BTreeSet<Target> {
    let target = |(device, workload): &(&str, &str)| Target {
        device: (*device).to_owned(),
        workload: (*workload).to_owned(),
    };
    targets.iter().map(target).collect()
}

fn judged(last: bool, again: &[(&str, &str)]) -> Input {
    let again = targets(again);
    Input::Judged { last, again }
}

const fn submitted(part: u32, sweep: SweepId) -> Input {
    Input::Submitted { part, sweep }
}

/// A night whose sweep has ended after an hour.
fn measured() -> Night {
    let mut night = begin();
    assert!(night.handle(after(0), submitted(0, sweep(1))));
    assert!(night.handle(after(60), Input::Ended { part: 0 }));
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    night
}

#[test]
fn a_quiet_night_is_one_sweep_and_one_look() {
    let mut night = begin();
    assert_eq!(night.todo(), [submit(&night, 0)]);
    assert!(night.handle(after(0), submitted(0, sweep(1))));
    assert_eq!(night.todo(), []);
    assert_eq!(night.part_of(sweep(1)), Some(0));
    assert!(!night.handle(after(30), Input::Tick));
    assert!(night.handle(after(60), Input::Ended { part: 0 }));
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    assert!(night.handle(after(60), judged(false, &[])));
    assert_eq!(night.phase(), &Phase::Done);
    assert!(night.is_over() && night.todo().is_empty());
}

#[test]
fn what_the_judge_wants_again_is_a_sweep_for_each_workload() {
    let mut night = measured();
    let again = [("GPU-b", "linear"), ("GPU-a", "linear"), ("GPU-a", "cnn")];
    assert!(night.handle(after(60), judged(false, &again)));
    assert_eq!(night.phase(), &Phase::Again);
    assert_eq!(night.todo(), [submit(&night, 1), submit(&night, 2)]);
    let base = schedule().sweep;
    let specs: Vec<_> = (0..)
        .zip(night.parts())
        .map(|(number, part)| part.spec(number, &base).unwrap())
        .collect();
    assert_eq!(specs[0], base);
    assert_eq!(specs[1].workloads, ["cnn".parse().unwrap()]);
    assert_eq!(
        specs[1].devices,
        DeviceSelector::Listed(vec!["GPU-a".into()])
    );
    assert_eq!(specs[2].workloads, ["linear".parse().unwrap()]);
    let both = DeviceSelector::Listed(vec!["GPU-a".into(), "GPU-b".into()]);
    assert_eq!(specs[2].devices, both);
    assert_ne!(specs[1].seed, specs[2].seed);
    night.handle(after(61), submitted(1, sweep(2)));
    night.handle(after(61), submitted(2, sweep(3)));
    night.handle(after(65), Input::Ended { part: 2 });
    assert_eq!(night.todo(), []);
    night.handle(after(66), Input::Ended { part: 1 });
    assert_eq!(night.todo(), [Step::Judge { last: true }]);
    // An answer to the first question is none to the second, and nothing is measured a third time.
    assert!(!night.handle(after(66), judged(false, &again)));
    assert!(night.handle(after(66), judged(true, &again)));
    assert_eq!((night.phase(), night.parts().len()), (&Phase::Done, 3));
}

#[test]
fn what_does_not_fit_before_the_deadline_is_not_measured_again() {
    let mut night = measured();
    let again = [("GPU-a", "cnn"), ("GPU-a", "linear"), ("GPU-b", "linear")];
    // A series measures for a minute, and a minute and a half is left.
    let now = time(BEGIN) + SignedDuration::from_secs(6 * 3600 - 90);
    night.handle(now, judged(false, &again));
    let left_out = targets(&[("GPU-a", "linear")]);
    assert_eq!(night.left_out(), &left_out);
    let measured: Vec<_> = night.parts()[1..].iter().map(|part| &part.what).collect();
    let one = |workload: &str, device: &str| What::Again {
        workload: workload.to_owned(),
        devices: [device.to_owned()].into(),
    };
    assert_eq!(measured, [&one("cnn", "GPU-a"), &one("linear", "GPU-b")]);

    let mut night = self::measured();
    night.handle(after(6 * 60), judged(false, &again));
    assert_eq!(night.phase(), &Phase::Done);
    assert_eq!(night.left_out(), &targets(&again));
}

#[test]
fn the_deadline_cuts_the_sweep_and_judges_what_there_is() {
    let mut night = begin();
    night.handle(after(0), submitted(0, sweep(1)));
    assert!(!night.handle(after(6 * 60 - 1), Input::Tick));
    assert!(night.handle(after(6 * 60), Input::Tick));
    assert_eq!(night.todo(), [cancel(&night, 0, Some(sweep(1)))]);
    night.handle(after(6 * 60), Input::Ended { part: 0 });
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    let over = PartState::Over {
        sweep: Some(sweep(1)),
        end: End::Cut,
    };
    assert_eq!(night.parts()[0].state, over);
    night.handle(after(6 * 60 + 1), judged(false, &[("GPU-a", "cnn")]));
    assert_eq!(night.phase(), &Phase::Done);
}

#[test]
fn a_night_that_was_never_submitted_did_not_happen() {
    let mut night = begin();
    night.handle(after(6 * 60), Input::Tick);
    // A crash may have come between the submission and its record: the request is looked for.
    assert_eq!(night.todo(), [cancel(&night, 0, None)]);
    let mut found = night.clone();
    night.handle(after(6 * 60), Input::Ended { part: 0 });
    let Phase::Abandoned { reason } = night.phase() else {
        panic!("{night:?}");
    };
    assert!(reason.contains("not submitted"), "{reason}");
    assert!(night.is_over());
    found.handle(after(6 * 60), submitted(0, sweep(1)));
    assert_eq!(found.todo(), [cancel(&found, 0, Some(sweep(1)))]);
    found.handle(after(6 * 60), Input::Ended { part: 0 });
    assert_eq!(found.todo(), [Step::Judge { last: false }]);
}

#[test]
fn a_refusal_is_tried_again_for_a_while_and_then_judged_as_it_is() {
    let refused = || Input::Refused {
        part: 0,
        reason: "no device GPU-a".to_owned(),
    };
    let mut night = begin();
    night.handle(after(0), refused());
    assert_eq!(night.todo(), [submit(&night, 0)]);
    let mut lucky = night.clone();
    lucky.handle(after(14), submitted(0, sweep(1)));
    assert_eq!(lucky.todo(), []);
    night.handle(after(14), refused());
    assert_eq!(night.todo(), [submit(&night, 0)]);
    night.handle(after(15), refused());
    assert_eq!(night.todo(), [cancel(&night, 0, None)]);
    night.handle(after(15), Input::Ended { part: 0 });
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    let PartState::Over { end, .. } = &night.parts()[0].state else {
        panic!("{night:?}");
    };
    let reason = "no device GPU-a".to_owned();
    assert_eq!(*end, End::Refused { reason });
}

#[test]
fn a_night_that_is_given_up_calls_back_its_sweeps() {
    let mut night = begin();
    night.handle(after(0), submitted(0, sweep(1)));
    let reason = "its schedule was removed".to_owned();
    assert!(night.handle(after(5), Input::Abandon { reason }));
    assert_eq!(night.todo(), [cancel(&night, 0, Some(sweep(1)))]);
    assert!(!night.is_over());
    night.handle(after(5), Input::Ended { part: 0 });
    assert!(night.is_over() && night.todo().is_empty());
    let reason = "again".to_owned();
    assert!(!night.handle(after(5), Input::Abandon { reason }));
}

#[test]
fn a_submission_that_answers_too_late_is_called_back() {
    let mut night = begin();
    let reason = "its schedule was removed".to_owned();
    night.handle(after(5), Input::Abandon { reason });
    night.handle(after(5), Input::Ended { part: 0 });
    assert!(night.is_over());
    night.handle(after(6), submitted(0, sweep(1)));
    assert!(!night.is_over());
    assert_eq!(night.todo(), [cancel(&night, 0, Some(sweep(1)))]);
}

#[test]
fn a_judge_that_does_not_answer_ends_the_night_as_an_alarm() {
    let mut night = measured();
    assert!(!night.handle(after(6 * 60 - 1), Input::Tick));
    assert!(night.handle(after(6 * 60), Input::Tick));
    let Phase::Abandoned { reason } = night.phase() else {
        panic!("{night:?}");
    };
    assert!(reason.contains("could not be judged"), "{reason}");
    assert!(!night.handle(after(6 * 60), judged(false, &[])));
}

#[test]
fn after_an_outage_the_judge_has_its_time() {
    let mut night = begin();
    night.handle(after(0), submitted(0, sweep(1)));
    night.handle(after(30 * 60), Input::Tick);
    night.handle(after(30 * 60), Input::Ended { part: 0 });
    assert!(!night.handle(after(30 * 60 + 59), Input::Tick));
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
}

#[test]
fn a_clock_that_is_put_back_does_not_lengthen_the_night_by_years() {
    let mut night = begin();
    night.handle(after(0), submitted(0, sweep(1)));
    let year = 365 * 24 * 60;
    assert!(night.handle(after(-year), Input::Tick));
    night.handle(after(6 * 60 - year), Input::Tick);
    assert_eq!(night.todo(), [cancel(&night, 0, Some(sweep(1)))]);
    night.handle(after(6 * 60 - 2 * year), Input::Ended { part: 0 });
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    night.handle(after(11 * 60 - 3 * year), Input::Tick);
    assert_eq!(night.todo(), [Step::Judge { last: false }]);
    night.handle(after(17 * 60 - 3 * year), Input::Tick);
    assert!(night.is_over(), "{night:?}");
}

#[test]
fn a_night_is_what_was_stored() {
    let mut night = measured();
    night.handle(after(60), judged(false, &[("GPU-a", "cnn")]));
    night.handle(after(6 * 60), Input::Tick);
    let json = serde_json::to_string(&night).unwrap();
    assert_eq!(serde_json::from_str::<Night>(&json).unwrap(), night);
}

#[test]
fn requests_are_of_one_night_of_one_schedule() {
    let night = begin();
    let other = |number, planned| Night::begin(&schedule(), number, planned);
    assert_eq!(night.request(0), begin().request(0));
    assert_ne!(night.request(0), night.request(1));
    assert_ne!(night.request(0), other(8, time(BEGIN)).request(0));
    // The schedule was removed and made anew: its first night is not the first of the old one.
    assert_ne!(night.request(0), other(7, after(60)).request(0));
}

#[test]
fn a_budget_of_nothing_does_no_harm() {
    let mut schedule: Schedule = schedule();
    schedule.sweep.budget = Duration::ZERO;
    let mut night = Night::begin(&schedule, 1, time(BEGIN));
    night.handle(after(0), submitted(0, sweep(1)));
    night.handle(after(1), Input::Ended { part: 0 });
    night.handle(after(1), judged(false, &[("GPU-a", "cnn")]));
    assert_eq!(night.phase(), &Phase::Again);
}
