//! Exit codes, and how an error reaches a person: its chain once, on stderr. Called by `main` and by commands that return a code; never exits
//! the process itself.

use std::{fmt, process::ExitCode};

use batchstep_daemon::settings::SettingsError;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// The answer is bad news.
    BadNews = 1,
    /// Wrong usage or input.
    Usage = 2,
    /// Incomplete, insufficient or failed.
    Incomplete = 3,
    /// Ambiguous, where `--strict` asks.
    Ambiguous = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Marks an error as the caller's: wrong arguments or wrong input.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// An error with exit code 2.
pub(super) fn usage(message: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(UsageError(message.into()))
}

/// Says why a command line cannot be followed, or prints the help that it asks for.
#[must_use]
pub fn refuse(error: SettingsError) -> ExitCode {
    match error {
        SettingsError::CommandLine(error) => {
            // Where stderr is closed nobody can be told.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(Exit::Usage.into(), ExitCode::from)
        }
        other => {
            let _ = report(&other.into());
            Exit::Usage.into()
        }
    }
}

/// Prints the error's chain on stderr and chooses the exit code.
#[must_use]
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        // The reader of stdout has seen enough, as in `batchstep table | head`.
        return Exit::Done.into();
    }
    anstream::eprintln!("\u{1b}[1;31merror:\u{1b}[0m {error}");
    let mut said = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        // Some libraries repeat their source in their own message.
        if !said.contains(&cause) {
            anstream::eprintln!("  because: {cause}");
            said = cause;
        }
    }
    if error.is::<UsageError>() || error.chain().any(|cause| cause.is::<UsageError>()) {
        Exit::Usage.into()
    } else {
        Exit::Incomplete.into()
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
