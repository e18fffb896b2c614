//! Digests to deliver.

use batchstep_tell::{
    Digest, Message,
    message::{Kind, Night, Reason, Severity, Subject},
};
use jiff::{Timestamp, civil::date};

pub(crate) fn message(host: &str) -> Message {
    let night = Night {
        number: 20,
        date: date(2026, 11, 26),
    };
    let reason = Reason {
        code: "deadline".to_owned(),
        sentence: "Nothing was reported by the night's deadline.".to_owned(),
    };
    let kind = (Kind::MissingHost, Severity::Critical);
    let key = format!("fleet/{host}/20/missing");
    Message {
        subject: Subject {
            host: Some(host.to_owned()),
            ..Subject::default()
        },
        ..Message::bare(kind, key, "fleet", night, reason)
    }
}

pub(crate) fn digest() -> Digest {
    Digest::of_one(Timestamp::UNIX_EPOCH, message("gpu-07"))
}
