//! Settings from a file: every flag of a daemon that takes a value is a key of its configuration file, under the flag's name with underscores. A flag outranks
//! its environment variable, that the file, and that the default.
//!
//! There is no second description of the settings: a file's values become the command line's defaults, so they are read, checked and explained by what reads the flags.
//! Used by the two command lines.

mod file;
mod listing;

use std::{ffi::OsString, path::PathBuf};

use clap::{Arg, Args, Command, FromArgMatches};

use file::File;
pub use file::Problem;
pub use listing::Settings;

/// The flags by which a daemon is told of its file.
#[derive(Debug, Clone, Default, Args)]
pub struct FileArgs {
    /// Settings that no flag and no environment variable gives; TOML.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
    /// Print what would be used and where each setting comes from, as TOML, and end: with 0 where it can be used, else with 2, or 3 where what it names cannot.
    #[arg(long, visible_alias = "dump-config")]
    pub check_config: bool,
}

/// Why a command line cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It asks for help, or is wrong itself: `clap` says how.
    #[error(transparent)]
    CommandLine(#[from] clap::Error),
    /// The file cannot be read.
    #[error(
        "cannot read the configuration file {path}; name another with --config, or leave that out"
    )]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file says something that cannot be followed.
    #[error("the configuration file cannot be used:\n{}", .problems.iter().map(|it| format!("  {it}")).collect::<Vec<_>>().join("\n"))]
    Wrong {
        /// All of it.
        problems: Vec<Problem>,
    },
}

/// The subcommand that is a daemon.
#[derive(Debug, Clone, Copy)]
pub struct Daemon {
    /// Its name.
    pub subcommand: &'static str,
    /// Defaults of flags that it shares with other subcommands, which have others.
    pub defaults: &'static [(&'static str, &'static str)],
}

/// Reads the command line, and where it runs the daemon, the file that it names. The settings are those of the daemon, empty for any other subcommand.
///
/// # Errors
/// When either cannot be followed, or help is asked for.
pub fn parse<C: FromArgMatches>(
    command: Command,
    daemon: Daemon,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(C, Settings), SettingsError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let Some(asked) = asked(&command, daemon, &arguments) else {
        let matches = command.try_get_matches_from(arguments)?;
        return Ok((C::from_arg_matches(&matches)?, Settings::default()));
    };
    let mut command = with_defaults(command, daemon, |arg| {
        let usual = daemon.defaults.iter();
        let mut usual = usual.filter(|(flag, _)| Some(*flag) == arg.get_long());
        usual.next().map(|(_, value)| (*value).to_owned())
    });
    let file = asked.config.map(File::read).transpose()?;
    if let Some(file) = &file {
        file.check(&relaxed(&command, daemon), daemon)?;
        command = with_defaults(command, daemon, |arg| Some(file.value(arg)?.to_owned()));
    }
    let matches = command.clone().try_get_matches_from(arguments)?;
    let cli = C::from_arg_matches(&matches)?;
    let settings = Settings::of(&command, daemon, &matches, file.as_ref());
    Ok((cli, settings))
}

/// The file's flags, where the daemon is to run: read before anything else can be, since what is missing may be in the file. `None` also where the command
/// line is wrong, which is said when it is read for good.
fn asked(command: &Command, daemon: Daemon, arguments: &[OsString]) -> Option<FileArgs> {
    let matches = relaxed(command, daemon)
        .try_get_matches_from(arguments)
        .ok()?;
    FileArgs::from_arg_matches(matches.subcommand_matches(daemon.subcommand)?).ok()
}

/// The same command line without anything that must be given.
fn relaxed(command: &Command, daemon: Daemon) -> Command {
    command.clone().mut_subcommand(daemon.subcommand, |it| {
        it.mut_args(|arg| arg.required(false))
    })
}

/// The same command line with other defaults.
fn with_defaults(
    command: Command,
    daemon: Daemon,
    default: impl Fn(&Arg) -> Option<String>,
) -> Command {
    let set = |arg: Arg| match is_setting(&arg).then(|| default(&arg)).flatten() {
        Some(value) => arg.required(false).default_value(value),
        None => arg,
    };
    command
        .mut_args(set)
        .mut_subcommand(daemon.subcommand, |it| it.mut_args(set))
}

/// The daemon's settings: what its subcommand takes, and what every subcommand does.
fn settings(command: &Command, daemon: Daemon) -> impl Iterator<Item = &Arg> {
    let own = command.find_subcommand(daemon.subcommand);
    own.into_iter()
        .flat_map(Command::get_arguments)
        .chain(command.get_arguments().filter(|arg| arg.is_global_set()))
        .filter(|arg| is_setting(arg))
}

/// Flags without a value are for the command line, and a file does not name a file.
fn is_setting(arg: &Arg) -> bool {
    arg.get_action().takes_values() && arg.get_long().is_some_and(|long| long != "config")
}

/// What a setting is called in a file.
fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}
