//! JSON for programs: docs/guide/messages.md explains every field.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::words;
use crate::{
    Digest,
    message::{Kind, Message, SCHEMA_VERSION},
};

/// Messages that one request carries, about 1 KiB each.
const LISTED_MAX: usize = 300;

#[derive(Serialize)]
struct Body<'a> {
    schema_version: u32,
    digest_key: &'a str,
    made_at: Timestamp,
    summary: String,
    counts: BTreeMap<Kind, usize>,
    messages: Vec<Entry<'a>>,
    omitted: usize,
}

/// A message with its own version: receivers take digests apart.
#[derive(Serialize)]
struct Entry<'a> {
    schema_version: u32,
    headline: String,
    #[serde(flatten)]
    message: &'a Message,
}

/// The body of the request.
///
/// # Errors
/// Never, as far as is known: every part of a message can be JSON, and a number that is none becomes `null`.
pub fn webhook(digest: &Digest) -> serde_json::Result<Vec<u8>> {
    let (listed, omitted) = digest.listed(LISTED_MAX);
    let entry = |message| Entry {
        schema_version: SCHEMA_VERSION,
        headline: words::headline(message),
        message,
    };
    serde_json::to_vec_pretty(&Body {
        schema_version: SCHEMA_VERSION,
        digest_key: digest.key(),
        made_at: digest.made_at(),
        summary: words::summary(digest),
        counts: digest.counts(),
        messages: listed.iter().map(entry).collect(),
        omitted,
    })
}
