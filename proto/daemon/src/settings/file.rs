//! A configuration file: flat TOML, every key with its line, so that what is wrong can be pointed at.

use std::{fmt, fs, path::PathBuf};

use batchstep_proto::suggestion::suggestion;
use clap::{Arg, Command, error::ErrorKind};
use toml::de::{DeTable, DeValue};

use super::{Daemon, SettingsError, key, settings};

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
    /// Reads the keys and values; what they mean is not looked at.
    ///
    /// # Errors
    /// When there is no such file, or it is no flat TOML.
    pub(super) fn read(path: PathBuf) -> Result<Self, SettingsError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(source) => return Err(SettingsError::Unreadable { path, source }),
        };
        let line = |at: usize| 1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let problem = |at: usize, what: String| Problem {
            path: path.clone(),
            line: line(at),
            what,
        };
        let table = DeTable::parse(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The caret under the place that `Display` draws is what the line's number is for.
            wrong(vec![problem(at, error.message().to_owned())])
        })?;
        let mut entries = Vec::new();
        let mut problems = Vec::new();
        for (key, value) in table.get_ref() {
            let at = key.span().start;
            let key = key.get_ref().to_string();
            let value = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Float(number) => number.to_string(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    let kind = value.get_ref().type_str();
                    let what = format!(
                        "{key} cannot be of type {kind}: a setting is one text, number, true or false, and has no section"
                    );
                    problems.push(problem(at, what));
                    continue;
                }
            };
            let line = line(at);
            entries.push(Entry { key, value, line });
        }
        if problems.is_empty() {
            entries.sort_by_key(|entry| entry.line);
            Ok(Self { path, entries })
        } else {
            Err(wrong(problems))
        }
    }

    /// Looks at every key and value with the eyes of the command line, which requires nothing here.
    ///
    /// # Errors
    /// With all that is wrong.
    pub(super) fn check(&self, command: &Command, daemon: Daemon) -> Result<(), SettingsError> {
        let problems: Vec<Problem> = self
            .entries
            .iter()
            .filter_map(|entry| {
                let what = entry.problem(command, daemon)?;
                Some(Problem {
                    path: self.path.clone(),
                    line: entry.line,
                    what,
                })
            })
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(wrong(problems))
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

fn wrong(problems: Vec<Problem>) -> SettingsError {
    SettingsError::Wrong { problems }
}
