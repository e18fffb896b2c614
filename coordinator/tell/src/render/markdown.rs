//! Markdown, for the summary of a pipeline.

use super::words::{self, Fact, Form};
use crate::Digest;

/// Messages that are listed.
const LISTED_MAX: usize = 100;

/// A heading, and each message with its facts.
#[must_use]
pub fn markdown(digest: &Digest) -> String {
    let (listed, more) = digest.listed(LISTED_MAX);
    let mut text = format!("## {}\n\n", escape(&words::summary(digest)));
    for message in listed {
        text += &format!("### {}\n\n", escape(&words::headline(message)));
        let facts = words::facts(message);
        let (commands, facts): (Vec<Fact>, Vec<Fact>) = facts
            .into_iter()
            .partition(|fact| fact.form == Form::Code && fact.name != "device");
        text += "| | |\n|---|---|\n";
        for Fact { name, value, form } in facts {
            let value = match form {
                Form::Link => format!("<{}>", address(&value)),
                Form::Words | Form::Code => escape(&value),
            };
            text += &format!("| {name} | {value} |\n");
        }
        for Fact { name, value, .. } in commands {
            // A block by indentation: no run of back-ticks ends it.
            text += &format!("\n{name}:\n\n    {value}\n");
        }
        text.push('\n');
    }
    if more > 0 {
        text += &format!("{}\n", words::and_more(more));
    }
    text
}

/// Plain characters, whatever they would mean.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            // Elsewhere a name would call whoever is called so.
            '@' => escaped += "&#64;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '#' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

/// An address that ends where it ends.
fn address(url: &str) -> String {
    url.replace(' ', "%20")
        .replace('<', "%3C")
        .replace('>', "%3E")
        .replace('|', "%7C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::examples;

    #[test]
    fn a_summary_has_a_table_and_the_commands() {
        let text = markdown(&examples::digest(vec![examples::regression()]));
        for part in [
            "## Regression: linear in=512, infer, f32 on NVIDIA H100 in gpu-07, 8.2 % slower\n",
            "| device | GPU-2f6e |\n",
            "| beside it | driver 570.86 -&gt; 580.12 |\n",
            "| see | <https://lab.example/nights.html> |\n",
            "acknowledge:\n\n    batchstep regressions ack 17 --reason 'why it may stay'\n",
        ] {
            assert!(text.contains(part), "no {part:?} in:\n{text}");
        }
    }

    #[test]
    fn names_stay_names() {
        let mut message = examples::regression();
        message.subject.host = Some("a|b\n# c <img src=x> @all [x](http://y) `z`".to_owned());
        message.links[0].url = "https://lab/> | x".to_owned();
        let text = markdown(&examples::digest(vec![message]));
        for part in ["<img", "@all", "\n# c", "[x](", "| x |\n| x"] {
            assert!(!text.contains(part), "{part:?} in:\n{text}");
        }
        let rows = text.lines().filter(|line| line.starts_with("| "));
        for row in rows {
            let bars = row.replace("\\|", "").matches('|').count();
            assert_eq!(bars, 3, "{row}");
        }
    }
}
