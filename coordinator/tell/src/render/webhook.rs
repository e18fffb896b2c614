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
/// Never, as far as is known: every part of a message can be JSON.
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

#[cfg(test)]
mod tests {
    //! After a change: `BLESS=1 cargo test -p batchstep-tell --lib webhook`, and look at the difference.

    use std::{env, fs};

    use super::*;
    use crate::render::examples;

    const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/messages.md");
    const BEGIN: &str = "```json\n";
    const END: &str = "```\n";

    #[test]
    fn the_guide_shows_what_is_sent() {
        let digest = examples::digest(vec![examples::regression()]);
        let sent = String::from_utf8(webhook(&digest).unwrap()).unwrap() + "\n";
        let guide = fs::read_to_string(GUIDE).unwrap();
        let (before, rest) = guide.split_once(BEGIN).unwrap();
        let (shown, after) = rest.split_once(END).unwrap();
        if env::var_os("BLESS").is_some() {
            fs::write(GUIDE, format!("{before}{BEGIN}{sent}{END}{after}")).unwrap();
        } else {
            assert_eq!(shown, sent, "the example in docs/guide/messages.md");
        }
    }

    #[test]
    fn a_message_is_read_back_from_what_is_sent() {
        let digest = examples::digest(vec![examples::regression(), examples::night_missed()]);
        let sent: serde_json::Value = serde_json::from_slice(&webhook(&digest).unwrap()).unwrap();
        for (entry, message) in sent["messages"]
            .as_array()
            .unwrap()
            .iter()
            .zip(digest.messages())
        {
            let read: Message = serde_json::from_value(entry.clone()).unwrap();
            assert_eq!(read, *message);
        }
    }

    #[test]
    fn a_list_is_bounded_and_everything_is_counted() {
        let hosts = (0..500).map(|host| examples::missing_host(&format!("gpu-{host}")));
        let digest = examples::digest(hosts.collect());
        let sent: serde_json::Value = serde_json::from_slice(&webhook(&digest).unwrap()).unwrap();
        assert_eq!(sent["messages"].as_array().unwrap().len(), LISTED_MAX);
        assert_eq!(sent["omitted"], 500 - LISTED_MAX);
        assert_eq!(sent["counts"]["missing_host"], 500);
    }
}
