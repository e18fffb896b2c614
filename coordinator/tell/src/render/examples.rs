//! Messages for tests, and for the example of the guide.

use jiff::{Timestamp, civil::date};

use crate::{
    Digest, digest_key,
    message::{Change, Kind, Link, Message, Night, Reason, Severity, Shift, Steps, Subject, Times},
};

pub(crate) fn digest(messages: Vec<Message>) -> Digest {
    let made_at: Timestamp = "2026-11-26T05:12:44Z".parse().unwrap();
    let key = digest_key(messages.iter().map(|message| message.dedup_key.as_str()));
    Digest::new(key, made_at, messages)
}

fn bare(kind: Kind, severity: Severity, key: &str) -> Message {
    Message {
        kind,
        severity,
        dedup_key: key.to_owned(),
        resolves: None,
        schedule: "fleet".to_owned(),
        night: Night {
            number: 20,
            date: date(2026, 11, 26),
        },
        subject: Subject::default(),
        time: None,
        shift: None,
        step: None,
        since: None,
        reason: Reason {
            code: "deadline".to_owned(),
            sentence: "Nothing was reported by the night's deadline.".to_owned(),
        },
        changes: Vec::new(),
        smallest_detectable_shift: None,
        links: Vec::new(),
        reproduce: None,
        acknowledge: None,
    }
}

pub(crate) fn regression() -> Message {
    Message {
        subject: Subject {
            device: Some("GPU-2f6e".to_owned()),
            model: Some("NVIDIA H100".to_owned()),
            host: Some("gpu-07".to_owned()),
            workload: Some("linear in=512 (infer, f32)".to_owned()),
            devices: None,
        },
        time: Some(Times {
            before_seconds: 0.0123,
            after_seconds: 0.013_308_6,
        }),
        shift: Some(Shift {
            relative: 0.082,
            interval: Some([0.071, 0.093]),
            z: Some(6.4),
        }),
        step: Some(Steps {
            before: Some(16),
            after: Some(16),
        }),
        since: Some(Night {
            number: 19,
            date: date(2026, 11, 25),
        }),
        reason: Reason {
            code: "hits".to_owned(),
            sentence: "Slower than its baseline in two of the last three valid nights.".to_owned(),
        },
        changes: vec![Change {
            property: "driver".to_owned(),
            before: Some("570.86".to_owned()),
            after: Some("580.12".to_owned()),
        }],
        smallest_detectable_shift: Some(0.03),
        links: vec![Link {
            title: "The night".to_owned(),
            url: "https://lab.example/nightly/20".to_owned(),
        }],
        reproduce: Some("batchstep sweep run --workload linear --mode infer".to_owned()),
        acknowledge: Some("batchstep regressions ack 17".to_owned()),
        ..bare(
            Kind::Regression,
            Severity::Critical,
            "fleet/GPU-2f6e/linear/19/regression",
        )
    }
}

pub(crate) fn model_wide() -> Message {
    let mut message = regression();
    message.kind = Kind::ModelWide;
    message.dedup_key = "fleet/NVIDIA H100/linear/20/model_wide".to_owned();
    message.subject.device = None;
    message.subject.host = None;
    message.subject.devices = Some(8);
    message.shift = Some(Shift {
        relative: 0.051,
        interval: None,
        z: Some(9.0),
    });
    message
}

pub(crate) fn missing_host(host: &str) -> Message {
    let mut message = bare(
        Kind::MissingHost,
        Severity::Critical,
        &format!("fleet/{host}/20/missing"),
    );
    message.subject.host = Some(host.to_owned());
    message
}

pub(crate) fn night_missed() -> Message {
    bare(Kind::NightMissed, Severity::Critical, "fleet/20/missed")
}
