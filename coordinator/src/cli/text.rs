//! Small shared ways of writing for people: stdout that may be closed early, counts, lists, shell words. Knows no commands.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use batchstep_proto::{domain::DeviceKind, wire};
use batchstep_report::cells;

pub(super) use crate::shell::word as shell_word;

/// Writes data to stdout.
///
/// # Errors
/// When stdout cannot be written; a closed pipe is not reported to the person (see `exit::report`).
pub(super) fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

/// One line of data.
///
/// # Errors
/// As [`print`].
pub(super) fn print_line(line: &str) -> Result<()> {
    let mut text = line.trim_end().to_owned();
    text.push('\n');
    print(text.as_bytes())
}

/// Pretty JSON and a line's end.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print_line(&serde_json::to_string_pretty(value).context("cannot write the answer as JSON")?)
}

/// The device of a series as people know it, with a mark on what is no real device.
pub(super) fn device(series: &wire::Series) -> String {
    let kind = DeviceKind::from_wire("device_kind", series.device_kind);
    let name = kind.map_or_else(
        |_| series.device_model.clone(),
        |kind| cells::device_name(&series.device_model, kind),
    );
    match series.shared_by {
        0 | 1 => name,
        devices => format!("{devices} × {name}"),
    }
}

/// A command as a person would type it: the program's name without its folder, then its arguments.
pub(super) fn command_line(arguments: impl IntoIterator<Item = OsString>) -> String {
    let mut arguments = arguments.into_iter();
    let program = arguments.next().unwrap_or_default();
    let name = Path::new(&program)
        .file_name()
        .map_or_else(|| program.clone(), ToOwned::to_owned);
    std::iter::once(name)
        .chain(arguments)
        .map(|word| shell_word(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// This program as it was called, for commands that a person types next: also in a checkout, where it is not on the search path.
pub(super) fn program() -> String {
    called_as(std::env::args_os().next())
}

fn called_as(name: Option<OsString>) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(
        || "batchstep".to_owned(),
        |name| shell_word(&name.to_string_lossy()),
    )
}

/// The command that runs now, with further flags, as a person would type it.
pub(super) fn this_command_with(flags: &[&str]) -> String {
    std::iter::once(program())
        .chain(
            std::env::args_os()
                .skip(1)
                .map(|word| shell_word(&word.to_string_lossy())),
        )
        .chain(flags.iter().map(|word| shell_word(word)))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A text from outside as it may stand on a terminal: no control characters, no end of line, not endless.
pub(super) fn harmless(text: &str, longest: usize) -> String {
    let mut out = String::with_capacity(text.len().min(longest));
    for (count, c) in text.chars().enumerate() {
        if count == longest {
            out.push_str("..");
            break;
        }
        if c.is_control() || is_invisible(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// JSON as it may be printed: what could paint a terminal is written as an escape, which means the same. Such characters stand only within strings.
pub(super) fn harmless_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && (c.is_control() || is_invisible(c)) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Characters that change the direction of what follows, or take no room.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Digests cut to what people recognise them by: `sha256:3f2a9c01be12..`.
pub(super) fn short_digests(text: &str) -> String {
    const BEGIN: &str = "sha256:";
    const SHOWN: usize = 12;
    let mut parts = text.split(BEGIN);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(BEGIN);
        let digits = part
            .find(|c: char| !c.is_ascii_hexdigit())
            .unwrap_or(part.len());
        let (digest, rest) = part.split_at(digits);
        match digest.get(..SHOWN).filter(|_| digest.len() == 64) {
            Some(shown) => out.push_str(&format!("{shown}..")),
            None => out.push_str(digest),
        }
        out.push_str(rest);
    }
    out
}

/// "1 block", "2 blocks".
pub(super) fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// "1, 2, 3, .. (17 more)": at most `most` of the values.
pub(super) fn list<T: ToString>(values: &[T], most: usize) -> String {
    let mut words: Vec<String> = values.iter().take(most).map(ToString::to_string).collect();
    if values.len() > most {
        words.push(format!(".. ({} more)", values.len() - most));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_cut_and_all_else_is_kept() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(
            short_digests(&format!("torchscript:model=sha256:{digest},input=3")),
            "torchscript:model=sha256:0123456789ab..,input=3"
        );
        for plain in ["linear", "sha256:12ab", "", "a sha256: b"] {
            assert_eq!(short_digests(plain), plain);
        }
    }

    #[test]
    fn the_program_is_named_as_it_was_called() {
        let called = |name: &str| called_as(Some(OsString::from(name)));
        assert_eq!(called("batchstep"), "batchstep");
        assert_eq!(called("target/debug/batchstep"), "target/debug/batchstep");
        assert_eq!(called("/my lab/batchstep"), "'/my lab/batchstep'");
        assert_eq!(
            (called(""), called_as(None)),
            ("batchstep".into(), "batchstep".into())
        );
    }

    #[test]
    fn a_command_is_told_without_the_place_of_its_program() {
        let arguments = ["/opt/lab tools/batchstep", "local", "--output", "my report"];
        assert_eq!(
            command_line(arguments.map(OsString::from)),
            "batchstep local --output 'my report'"
        );
        assert_eq!(command_line([]), "''");
    }
}
