//! Who does something to schedules and alarms, for the record. A name that people give themselves: what they may do is decided by their token.

use std::env;

use clap::Args;

/// Names whoever does it.
#[derive(Debug, Clone, Args)]
pub(super) struct PersonArgs {
    /// Who does it, for the record [default: the user who is logged in].
    #[arg(long, value_name = "NAME", env = "BATCHSTEP_USER")]
    user: Option<String>,
}

impl PersonArgs {
    /// The name: as given, else `USER`, else the number of the user who runs this process.
    pub(super) fn name(&self) -> String {
        let given = self.user.clone().or_else(|| env::var("USER").ok());
        given
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| format!("uid {}", nix::unistd::Uid::current()))
    }
}
