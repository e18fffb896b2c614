//! A configuration file: flat TOML, every key with its line, so that what is wrong can be pointed at.

use std::{fmt, fs, path::PathBuf};

use batchstep_proto::suggestion::suggestion;
use clap::{Arg, Command, error::ErrorKind};
use toml::de::{DeTable, DeValue};

use super::{Daemon, SettingsError, key, settings};

/// Lines that are no TOML and told, each of which takes a reading of the file: one with so many is of another kind, and nothing else in it is looked at.
const BROKEN_LINES: usize = 20;

/// Something in a file that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    path: PathBuf,
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.what)
    }
}

/// A file's settings as they are written.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    entries: Vec<Entry>,
    /// What is wrong with it whatever its keys mean; told together with what is wrong with those.
    problems: Vec<Problem>,
}

#[derive(Debug)]
struct Entry {
    key: String,
    /// As it would stand on the command line.
    value: String,
    /// Counted from 1.
    line: usize,
}

impl File {
    /// Reads the keys and values; what they mean is not looked at, and what is no flat TOML is kept for [`File::check`].
    ///
    /// # Errors
    /// When there is no such file.
    pub(super) fn read(path: PathBuf) -> Result<Self, SettingsError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let mut file = Self {
            path,
            entries: Vec::new(),
            problems: Vec::new(),
        };
        // A line that is no TOML may hide others or be mixed up with them, so that it is told and left out before the rest is looked at.
        let (mut rest, mut broken) = (text, 0);
        while let Some((line, what)) = first_error(&rest) {
            file.note(line, what);
            broken += 1;
            if broken == BROKEN_LINES {
                return Ok(file);
            }
            match without(&rest, line) {
                Some(others) => rest = others,
                None => break,
            }
        }
        let (table, _) = DeTable::parse_recoverable(&rest);
        file.take(table.get_ref(), &rest);
        // What was made of a line that is no TOML says nothing.
        let broken: Vec<usize> = file.problems.iter().map(|problem| problem.line).collect();
        file.entries.retain(|entry| !broken.contains(&entry.line));
        file.entries.sort_by_key(|entry| entry.line);
        Ok(file)
    }

    /// Takes in the keys of a table. Those of a section are looked at as if its first line were not there.
    fn take(&mut self, table: &DeTable<'_>, text: &str) {
        for (key, value) in table {
            let place = Place::of(text, key.span().start);
            let key = key.get_ref().to_string();
            let value = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Table(_) | DeValue::Array(_) if place.begins_section => {
                    let what = format!(
                        "{} begins a section, and settings have none: leave this line out",
                        place.text
                    );
                    self.note(place.line, what);
                    for section in sections(value.get_ref()) {
                        self.take(section, text);
                    }
                    continue;
                }
                DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    let kind = value.get_ref().type_str();
                    let what = format!(
                        "{key} cannot be of type {kind}: a setting is one text, number, true or false"
                    );
                    self.note(place.line, what);
                    continue;
                }
            };
            let line = place.line;
            self.entries.push(Entry { key, value, line });
        }
    }

    fn note(&mut self, line: usize, what: String) {
        let path = self.path.clone();
        let problem = Problem { path, line, what };
        // The parts of `[a.b]` are one section each.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Looks at every key and value with the eyes of the command line, which requires nothing here.
    ///
    /// # Errors
    /// With all that is wrong.
    pub(super) fn check(&self, command: &Command, daemon: Daemon) -> Result<(), SettingsError> {
        let wrong = self.entries.iter().filter_map(|entry| {
            let what = entry.problem(command, daemon)?;
            Some(Problem {
                path: self.path.clone(),
                line: entry.line,
                what,
            })
        });
        let mut problems: Vec<Problem> = self.problems.iter().cloned().chain(wrong).collect();
        problems.sort_by_key(|problem| problem.line);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(SettingsError::Wrong { problems })
        }
    }

    /// What the file says for a flag.
    pub(super) fn value(&self, arg: &Arg) -> Option<&str> {
        Some(self.entry(arg)?.value.as_str())
    }

    /// In which line.
    pub(super) fn line(&self, arg: &Arg) -> Option<usize> {
        Some(self.entry(arg)?.line)
    }

    fn entry(&self, arg: &Arg) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key(arg))
    }
}

impl Entry {
    fn problem(&self, command: &Command, daemon: Daemon) -> Option<String> {
        let Some(arg) = settings(command, daemon).find(|arg| key(arg) == self.key) else {
            let known: Vec<String> = settings(command, daemon).map(key).collect();
            let meant = suggestion(&self.key, known.iter().map(String::as_str));
            let meant = match meant.trim_end() {
                "" => format!("known: {}", known.join(", ")),
                meant => meant.to_owned(),
            };
            return Some(format!("there is no setting {:?}; {meant}", self.key));
        };
        // The value as the only one on a command line, out of reach of the environment.
        let alone = command
            .clone()
            .mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
            .mut_subcommand(daemon.subcommand, |it| {
                it.mut_args(|arg| arg.env(clap::builder::Resettable::Reset))
            });
        let flag = format!("--{}={}", arg.get_long().unwrap_or_default(), self.value);
        let error = alone
            .try_get_matches_from([command.get_name(), daemon.subcommand, &flag])
            .err()?;
        // What it needs or excludes beside it is seen when everything is read together.
        if error.kind() == ErrorKind::MissingRequiredArgument {
            return None;
        }
        let text = error.to_string();
        let text = text.trim_start_matches("error: ");
        let first = text.split("\n\n").next().unwrap_or(text);
        let words: Vec<&str> = first.split_whitespace().collect();
        Some(format!("{}: {}", self.key, words.join(" ")))
    }
}

/// The first line that is no TOML, and why.
fn first_error(text: &str) -> Option<(usize, String)> {
    let (_, errors) = DeTable::parse_recoverable(text);
    let begin = |error: &toml::de::Error| error.span().map_or(0, |span| span.start);
    let first = errors.iter().min_by_key(|error| begin(error))?;
    // The caret under the place that `Display` draws is what the line's number is for.
    Some((
        Place::of(text, begin(first)).line,
        first.message().to_owned(),
    ))
}

/// The text with nothing in that line; `None` where nothing is in it.
fn without(text: &str, line: usize) -> Option<String> {
    let mut lines: Vec<&str> = text.lines().collect();
    let emptied = lines.get_mut(line - 1).filter(|it| !it.trim().is_empty())?;
    *emptied = "";
    Some(lines.join("\n"))
}

/// The one table of `[a]`, or those of every `[[a]]`.
fn sections<'a, 'i>(value: &'a DeValue<'i>) -> impl Iterator<Item = &'a DeTable<'i>> {
    let several = value.as_array().into_iter().flatten();
    let several = several.filter_map(|section| section.get_ref().as_table());
    value.as_table().into_iter().chain(several)
}

/// Where in a file something is.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// Counted from 1.
    line: usize,
    /// The whole of it, up to a comment.
    text: &'a str,
    begins_section: bool,
}

impl<'a> Place<'a> {
    /// Of a byte of the text.
    fn of(text: &'a str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let begin = before.rfind('\n').map_or(0, |end| end + 1);
        let text = text[begin..].lines().next().unwrap_or_default();
        let text = text.split('#').next().unwrap_or_default().trim();
        Self {
            line: 1 + before.matches('\n').count(),
            text,
            begins_section: text.starts_with('['),
        }
    }
}
