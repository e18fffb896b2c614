//! Blocks for an incoming webhook of Slack, within its limits: <https://docs.slack.dev/reference/block-kit/blocks>.

use serde_json::{Value, json};

use super::words::{self, Fact, Form};
use crate::{Digest, message::Severity};

/// Slack takes 150 characters in a header.
const HEADER_MAX: usize = 150;
/// Slack takes 3000 characters in the text of a section.
const SECTION_MAX: usize = 3000;
/// All sections together: Slack refuses messages whose blocks are too long as a whole, and does not say from where on. This is well below what it was seen to take.
const SECTIONS_MAX: usize = 9000;
/// Of a headline, before its escapes, of which one is five characters long: the section must have room for it.
const HEADLINE_MAX: usize = 400;
/// Slack takes 50 blocks; with the header, and what is said of the rest.
const LISTED_MAX: usize = 20;

/// The body of the request.
#[must_use]
pub fn slack(digest: &Digest) -> Value {
    let summary = words::summary(digest);
    let mut blocks = vec![json!({
        "type": "header",
        "text": {"type": "plain_text", "text": words::cut(&summary, HEADER_MAX), "emoji": false},
    })];
    let (listed, mut more) = digest.listed(LISTED_MAX);
    let mut room = SECTIONS_MAX;
    for (message, index) in listed.iter().zip(0..) {
        let mark = match message.severity {
            Severity::Critical => ":red_circle:",
            Severity::Warning => ":large_orange_circle:",
            Severity::Info => ":white_circle:",
        };
        let headline = format!(
            "{mark} *{}*",
            bold(&words::cut(&words::headline(message), HEADLINE_MAX))
        );
        let text = section(&headline, &words::facts(message));
        let length = text.chars().count();
        if length > room {
            more += listed.len() - index;
            break;
        }
        room -= length;
        blocks.push(json!({"type": "section", "text": {"type": "mrkdwn", "text": text}}));
    }
    if more > 0 {
        blocks.push(
            json!({"type": "context", "elements": [{"type": "mrkdwn", "text": words::and_more(more)}]}),
        );
    }
    // What notifications and screen readers have.
    json!({"text": escape(&summary), "blocks": blocks})
}

/// A headline and as many facts as fit, whole ones: a cut one could end inside an escape.
fn section(headline: &str, facts: &[Fact]) -> String {
    let mut text = headline.to_owned();
    let mut length = text.chars().count();
    for Fact { name, value, form } in facts {
        let line = match form {
            Form::Words => format!("\n{name}: {}", plain(value)),
            Form::Code => format!("\n{name}: {}", code(value)),
            Form::Link => format!("\n{name}: <{}>", escape(value).replace('|', "%7C")),
        };
        let longer = length + line.chars().count();
        if longer <= SECTION_MAX {
            text += &line;
            length = longer;
        }
    }
    text
}

/// The three characters that Slack reads, so that no name is a link or calls a channel.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Words without formatting of their own: a blank of no width beside each mark keeps it a character.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in escape(text).chars() {
        if matches!(c, '*' | '_' | '~' | '`') {
            plain.push('\u{200b}');
        }
        plain.push(c);
    }
    plain
}

/// Words in bold, which end where they end.
fn bold(text: &str) -> String {
    plain(&text.replace('*', "·"))
}

/// Letter by letter. A back-tick cannot be written there.
fn code(text: &str) -> String {
    format!("`{}`", escape(&text.replace('`', "'")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::examples;

    fn texts(value: &Value) -> Vec<String> {
        let blocks = value["blocks"].as_array().unwrap();
        let sections = blocks.iter().filter(|block| block["type"] == "section");
        sections
            .map(|block| block["text"]["text"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_message_says_everything() {
        let value = slack(&examples::digest(vec![examples::regression()]));
        let texts = texts(&value);
        for part in [
            "8.2 % slower*",
            "driver 570.86 -&gt; 580.12",
            "`batchstep regressions ack 17 --reason 'why it may stay'`",
        ] {
            assert!(texts[0].contains(part), "no {part:?} in:\n{}", texts[0]);
        }
        assert_eq!(value["blocks"][0]["type"], "header");
    }

    #[test]
    fn names_call_nobody_and_are_no_markup() {
        let mut message = examples::regression();
        message.subject.host = Some("<!channel> & *bold* `code`".to_owned());
        message.acknowledge = Some("echo `<@U1>`".to_owned());
        let value = slack(&examples::digest(vec![message]));
        let text = &texts(&value)[0];
        assert!(
            !text.contains("<!") && !text.contains("<@") && !text.contains("*bold*"),
            "{text}"
        );
        assert!(text.contains("&lt;!channel&gt; &amp; "), "{text}");
        assert!(text.contains("`echo '&lt;@U1&gt;'`"), "{text}");
        assert!(!value["text"].as_str().unwrap().contains("<!"));
    }

    #[test]
    fn the_limits_of_slack_are_kept_whatever_is_told() {
        let messages = (0..300).map(|number| {
            let mut message = examples::regression();
            message.dedup_key = format!("{number}");
            message.subject.host = Some("&".repeat(5000));
            message.subject.model = Some("*".repeat(5000));
            message.reason.sentence = "<".repeat(9000);
            message.reproduce = Some("&".repeat(9000));
            message
        });
        let value = slack(&examples::digest(messages.collect()));
        let blocks = value["blocks"].as_array().unwrap();
        assert!(blocks.len() <= 50);
        let texts = texts(&value);
        assert!(!texts.is_empty());
        assert!(texts.iter().all(|text| text.chars().count() <= 3000));
        let header = blocks[0]["text"]["text"].as_str().unwrap();
        assert!(header.chars().count() <= 150);
        let rest = blocks.last().unwrap()["elements"][0]["text"]
            .as_str()
            .unwrap();
        assert!(
            rest.starts_with(&format!("and {} more", 300 - texts.len())),
            "{rest}"
        );
        for text in texts {
            let whole = text
                .replace("&amp;", "")
                .replace("&lt;", "")
                .replace("&gt;", "");
            assert!(!whole.contains('&'), "an escape was cut");
        }
    }
}
