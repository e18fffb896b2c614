//! Alarms over several nights, from verdicts as the judge gives them.

use batchstep_judge::{Numbers, Reason};
use batchstep_proto::domain::{DeviceKind, Dtype, Mode};

use super::*;
use crate::store::Acknowledgement;

fn about(device: &str, hostname: &str) -> About {
    About {
        device: device.to_owned(),
        hostname: hostname.to_owned(),
        device_model: "Example".to_owned(),
        device_kind: DeviceKind::Cuda,
        mig_profile: None,
        workload: "linear".to_owned(),
        workload_key: "linear".to_owned(),
        mode: Mode::Train,
        dtype: Dtype::F32,
        threads: None,
    }
}

fn verdict(kind: Kind, reason: Reason) -> Verdict {
    let is_alarm = matches!(
        kind,
        Kind::Confirmed | Kind::StepChanged | Kind::ChangedWithEnvironment | Kind::Missing
    );
    Verdict {
        kind,
        reason,
        is_alarm,
        is_new: true,
        is_silenced: false,
        cause: None,
        numbers: Numbers::default(),
        changes: Vec::new(),
    }
}

/// A lab of two hosts, the first with two devices, and its alarms.
struct Lab {
    about: BTreeMap<String, About>,
    open: Vec<StoredAlarm>,
    night: u32,
    last: u64,
}

impl Lab {
    fn new() -> Self {
        let all = [
            about("GPU-1", "n1"),
            about("GPU-2", "n1"),
            about("GPU-3", "n2"),
        ];
        Self {
            about: all.into_iter().map(|of| (of.key(), of)).collect(),
            open: Vec::new(),
            night: 0,
            last: 0,
        }
    }

    fn key(&self, device: &str) -> String {
        let mut all = self.about.iter();
        all.find(|(_, of)| of.device == device).unwrap().0.clone()
    }

    /// A night with these verdicts; all other series are normal.
    fn night(&mut self, said: &[(&str, Verdict)], judged: impl FnOnce(&mut Judgement)) -> Turns {
        self.night += 1;
        let mut judgement = Judgement::default();
        for (key, of) in &self.about {
            let mut verdicts: Vec<Verdict> = said
                .iter()
                .filter(|(device, _)| *device == of.device)
                .map(|(_, verdict)| verdict.clone())
                .collect();
            if verdicts.is_empty() {
                verdicts.push(verdict(Kind::Normal, Reason::WithinGates));
            }
            judgement.series.insert(key.clone(), verdicts);
        }
        judged(&mut judgement);
        let wants = wanted(&judgement, &self.about, "2026-11-26");
        let place = Place {
            schedule: "lab",
            night: self.night,
            at: Timestamp::UNIX_EPOCH,
            last_alarm: self.last,
        };
        let turns = turns(&self.open, &wants, place).unwrap();
        self.last += turns.opened.len() as u64;
        let over: Vec<u64> = turns.resolved.iter().map(|alarm| alarm.id).collect();
        self.open.retain(|alarm| !over.contains(&alarm.id));
        for alarm in &turns.retold {
            self.open.retain(|open| open.id != alarm.id);
        }
        let more = turns.opened.iter().chain(&turns.retold).cloned();
        self.open.extend(more);
        turns
    }

    fn quiet(&mut self, said: &[(&str, Verdict)]) -> Turns {
        self.night(said, |_| {})
    }
}

fn kinds(alarms: &[StoredAlarm]) -> Vec<(&str, &str)> {
    let both = alarms
        .iter()
        .map(|alarm| (alarm.kind.as_str(), alarm.subject.as_str()));
    both.collect()
}

fn how(turns: &Turns) -> Vec<&str> {
    let resolved = turns
        .resolved
        .iter()
        .filter_map(|alarm| alarm.resolved.as_ref());
    resolved.map(|(_, how)| how.as_str()).collect()
}

#[test]
fn an_alarm_is_raised_once_and_ends_once_for_the_reason_that_the_judge_gives() {
    let mut lab = Lab::new();
    let slow = || verdict(Kind::Confirmed, Reason::Hits);
    let key = lab.key("GPU-1");
    let first = lab.quiet(&[("GPU-1", slow())]);
    assert_eq!(kinds(&first.opened), [("confirmed", key.as_str())]);
    let goes_on = Verdict {
        is_new: false,
        ..slow()
    };
    assert_eq!(lab.quiet(&[("GPU-1", goes_on.clone())]), Turns::default());
    // A night that says nothing of it, and one on which a model's alarm speaks for it, change nothing.
    let invalid = verdict(Kind::Invalid, Reason::Contended);
    assert_eq!(lab.quiet(&[("GPU-1", invalid)]), Turns::default());
    let silenced = Verdict {
        is_silenced: true,
        ..goes_on
    };
    assert_eq!(lab.quiet(&[("GPU-1", silenced)]), Turns::default());
    let over = lab.quiet(&[("GPU-1", verdict(Kind::Resolved, Reason::BaselineFollowed))]);
    assert_eq!(how(&over), ["what was unusual has become the usual"]);
    assert_eq!(lab.quiet(&[]), Turns::default());
}

#[test]
fn what_happens_twice_is_two_alarms() {
    let mut lab = Lab::new();
    let changed = || verdict(Kind::ChangedWithEnvironment, Reason::EnvironmentChanged);
    let first = lab.quiet(&[("GPU-1", changed())]);
    // Open until somebody says that they know of it.
    assert_eq!(lab.quiet(&[]), Turns::default());
    let second = lab.quiet(&[("GPU-1", changed())]);
    assert_eq!(how(&second), ["another one followed"]);
    assert_eq!(second.opened.len(), 1);
    assert_ne!(second.opened[0].id, first.opened[0].id);
}

#[test]
fn what_is_still_so_after_a_mute_is_told_again_with_what_is_known_now() {
    let mut lab = Lab::new();
    lab.quiet(&[("GPU-1", verdict(Kind::Confirmed, Reason::Hits))]);
    lab.open[0].acknowledged = Some(Acknowledgement {
        at: Timestamp::UNIX_EPOCH,
        by: "ada".to_owned(),
        reason: "new fans on Friday".to_owned(),
    });
    let mut still = verdict(Kind::Confirmed, Reason::Hits);
    still.numbers.shift = Some(0.2_f64.ln_1p());
    let again = lab.quiet(&[("GPU-1", still)]);
    assert!(
        again.opened.is_empty() && again.resolved.is_empty(),
        "{again:?}"
    );
    assert!(again.retold[0].acknowledged.is_none());
    assert!(
        again.retold[0].detail.contains("20.0 % slower"),
        "{}",
        again.retold[0].detail
    );
}

#[test]
fn a_host_that_dies_after_its_device_ends_no_alarm_of_the_device() {
    let mut lab = Lab::new();
    let missing = || verdict(Kind::Missing, Reason::Deadline);
    let of_series = || Verdict {
        is_silenced: true,
        is_new: false,
        ..missing()
    };
    let device = lab.night(&[("GPU-2", of_series())], |judgement| {
        judgement.devices.insert("GPU-2".to_owned(), missing());
    });
    assert_eq!(kinds(&device.opened), [("missing", "device GPU-2")]);
    let host = lab.night(
        &[("GPU-1", of_series()), ("GPU-2", of_series())],
        |judgement| {
            judgement.hosts.insert("n1".to_owned(), missing());
        },
    );
    assert_eq!(kinds(&host.opened), [("missing", "host n1")]);
    assert!(host.resolved.is_empty(), "{host:?}");
    // The host is back without the device, whose alarm is the old one.
    let back = lab.night(&[("GPU-2", of_series())], |judgement| {
        judgement.devices.insert("GPU-2".to_owned(), missing());
        let returned = verdict(Kind::Resolved, Reason::Returned);
        judgement.hosts.insert("n1".to_owned(), returned);
    });
    assert!(back.opened.is_empty(), "{back:?}");
    assert_eq!(kinds(&back.resolved), [("missing", "host n1")]);
    assert_eq!(how(&back), ["it reports again"]);
}

#[test]
fn a_new_environment_and_a_subject_that_is_gone_are_named_as_what_ended_an_alarm() {
    let mut lab = Lab::new();
    let step = || verdict(Kind::StepChanged, Reason::AnotherStep);
    lab.quiet(&[("GPU-1", step()), ("GPU-3", step())]);
    let incomparable = verdict(Kind::Incomparable, Reason::EnvironmentChanged);
    let key = lab.key("GPU-3");
    lab.about.remove(&key);
    let over = lab.quiet(&[("GPU-1", incomparable)]);
    let mut told = how(&over);
    told.sort_unstable();
    assert_eq!(
        told,
        ["it is not waited for any more", "the environment changed"]
    );
}

#[test]
fn news_are_told_once_and_raise_nothing() {
    let lab = Lab::new();
    let key = lab.key("GPU-1");
    let judgement = |verdict: Verdict| Judgement {
        series: [(key.clone(), vec![verdict])].into(),
        ..Judgement::default()
    };
    let drift = verdict(Kind::Drift, Reason::Ranks);
    let wants = wanted(&judgement(drift.clone()), &lab.about, "2026-11-26");
    assert_eq!((wants.alarms.len(), wants.news.len()), (0, 1));
    let known = Verdict {
        is_new: false,
        ..drift
    };
    assert!(
        wanted(&judgement(known), &lab.about, "2026-11-26")
            .news
            .is_empty()
    );
}
