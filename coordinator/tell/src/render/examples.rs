//! Messages for tests, and for the example of the guide.

use jiff::{Timestamp, civil::date};

use crate::{
    Digest, digest_key,
    message::{Change, Kind, Link, Message, Night, Reason, Severity, Shift, Subject, Times},
};

pub(crate) fn digest(messages: Vec<Message>) -> Digest {
    let made_at: Timestamp = "2026-11-26T05:12:44Z".parse().unwrap();
    let key = digest_key(messages.iter().map(|message| message.dedup_key.as_str()));
    Digest::new(key, made_at, messages)
}

fn bare(kind: Kind, severity: Severity, key: &str) -> Message {
    let night = Night {
        number: 20,
        date: date(2026, 11, 26),
    };
    let reason = Reason {
        code: "deadline".to_owned(),
        sentence: "Nothing was reported by the night's deadline.".to_owned(),
    };
    Message::bare((kind, severity), key.to_owned(), "fleet", night, reason)
}

pub(crate) fn regression() -> Message {
    Message {
        subject: Subject {
            device: Some("GPU-2f6e".to_owned()),
            model: Some("NVIDIA H100".to_owned()),
            host: Some("gpu-07".to_owned()),
            workload: Some("linear in=512, infer, f32".to_owned()),
            devices: None,
        },
        time: Some(Times {
            before_seconds: 0.0123,
            after_seconds: 0.013_308_6,
        }),
        shift: Some(Shift {
            relative: 0.082,
            interval: None,
            z: Some(6.4),
        }),
        since: Some(Night {
            number: 19,
            date: date(2026, 11, 25),
        }),
        reason: Reason {
            code: "hits".to_owned(),
            sentence: "NVIDIA H100 on gpu-07: linear in=512, infer, f32: 8.2 % slower (driver 570.86 -> 580.12)"
                .to_owned(),
        },
        changes: vec![Change {
            property: "driver".to_owned(),
            before: Some("570.86".to_owned()),
            after: Some("580.12".to_owned()),
        }],
        smallest_detectable_shift: Some(0.03),
        links: vec![Link {
            title: "nights and plots".to_owned(),
            url: "https://lab.example/nights.html".to_owned(),
        }],
        reproduce: Some("batchstep sweep run --workload linear --mode infer".to_owned()),
        acknowledge: Some("batchstep regressions ack 17 --reason 'why it may stay'".to_owned()),
        ..bare(
            Kind::Regression,
            Severity::Warning,
            "fleet/alarm/17",
        )
    }
}

pub(crate) fn model_wide() -> Message {
    let mut message = regression();
    message.kind = Kind::ModelWide;
    message.severity = Severity::Critical;
    message.dedup_key = "fleet/alarm/18".to_owned();
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
