//! The settings that are in force, each with where it comes from: what `--check-config` prints. It is a configuration file itself.

use std::fmt;

use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use toml::de::DeValue;

use super::{Daemon, file::File, key, settings};

/// Every setting of a daemon, in the order of its help.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(Vec<Setting>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    key: String,
    /// `None`: not set, and there is no default.
    value: Option<String>,
    origin: String,
}

impl Settings {
    pub(super) fn of(
        command: &Command,
        daemon: Daemon,
        matches: &ArgMatches,
        file: Option<&File>,
    ) -> Self {
        let Some(matches) = matches.subcommand_matches(daemon.subcommand) else {
            return Self::default();
        };
        let of = |arg: &Arg| {
            let id = arg.get_id().as_str();
            let raw = matches.get_raw(id).into_iter().flatten();
            let values: Vec<_> = raw.map(|value| value.to_string_lossy()).collect();
            Setting {
                key: key(arg),
                value: (!values.is_empty()).then(|| values.join(",")),
                origin: origin(arg, matches.value_source(id), file),
            }
        };
        Self(settings(command, daemon).map(of).collect())
    }

    /// Keys and values; `None`: not set, and there is no default.
    pub fn values(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.0
            .iter()
            .map(|setting| (setting.key.as_str(), setting.value.as_deref()))
    }
}

fn origin(arg: &Arg, source: Option<ValueSource>, file: Option<&File>) -> String {
    match (source, file.and_then(|file| Some((file, file.line(arg)?)))) {
        (Some(ValueSource::CommandLine), _) => "command line".to_owned(),
        (Some(ValueSource::EnvVariable), _) => {
            let variable = arg.get_env().unwrap_or_default();
            format!("environment, {}", variable.to_string_lossy())
        }
        (_, Some((file, line))) => format!("{}, line {line}", file.path.display()),
        (_, None) => "default".to_owned(),
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Setting { key, value, origin } in &self.0 {
            match value {
                Some(value) => {
                    writeln!(f, "{:<48} # {origin}", format!("{key} = {}", toml(value)))?
                }
                None => writeln!(f, "# {key} is not set")?,
            }
        }
        Ok(())
    }
}

/// A value as it is written in a file; bare where it is read back as the same text.
fn toml(value: &str) -> String {
    let is_bare = DeValue::parse(value).is_ok_and(|parsed| match parsed.get_ref() {
        DeValue::Integer(number) => number.to_string() == value,
        DeValue::Float(number) => {
            let is_finite = value.parse().is_ok_and(f64::is_finite);
            is_finite && number.to_string() == value
        }
        DeValue::Boolean(_) => true,
        _ => false,
    });
    if is_bare {
        value.to_owned()
    } else {
        toml::Value::String(value.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_bare_and_are_read_back_as_they_were() {
        for bare in ["3", "-1", "0.03", "0.10", "1e-4", "true"] {
            assert_eq!(toml(bare), bare);
        }
        for text in [
            "007",
            "1_000",
            "nan",
            "inf",
            "1e999",
            ".5",
            "1GiB",
            "",
            "2026-11-26",
            "[1]",
        ] {
            assert_eq!(toml(text), format!("\"{text}\""));
        }
    }
}
