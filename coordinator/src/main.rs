//! The `batchstep` command: parse, logs, dispatch, exit code.

use std::process::ExitCode;

use batchstep_coordinator::cli::{self, Cli};

fn main() -> ExitCode {
    let (cli, settings) = match Cli::read(std::env::args_os()) {
        Ok(read) => read,
        Err(error) => return cli::exit::refuse(error),
    };
    if let Err(error) = cli::logs::start(&cli) {
        return cli::exit::report(&error);
    }
    // One thread drives all I/O: a `local` sweep shares its processors with nothing it can avoid.
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            return cli::exit::report(
                &anyhow::Error::new(error).context("cannot start the I/O runtime"),
            );
        }
    };
    let outcome = runtime.block_on(cli::run(cli, &settings));
    // Blocking work that was abandoned must not keep the process.
    runtime.shutdown_background();
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => cli::exit::report(&error),
    }
}
