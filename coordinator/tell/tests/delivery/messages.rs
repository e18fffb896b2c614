//! Digests to deliver.

use batchstep_tell::{
    Digest, Message,
    message::{Kind, Night, Reason, Severity, Subject},
};
use jiff::{Timestamp, civil::date};

pub(crate) fn message(host: &str) -> Message {
    Message {
        kind: Kind::MissingHost,
        severity: Severity::Critical,
        dedup_key: format!("fleet/{host}/20/missing"),
        resolves: None,
        schedule: "fleet".to_owned(),
        night: Night {
            number: 20,
            date: date(2026, 11, 26),
        },
        subject: Subject {
            host: Some(host.to_owned()),
            ..Subject::default()
        },
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

pub(crate) fn digest() -> Digest {
    Digest::of_one(Timestamp::UNIX_EPOCH, message("gpu-07"))
}
