//! Files of timings, as `batchstep analyze` reads them: any bytes are timings or refused, with any flags. The reader is private to the command line, so its
//! sources are compiled into this target.
#![no_main]

#[allow(dead_code)]
#[path = "timings/cli.rs"]
mod cli;

// What the command line's sources ask of their crate.
#[allow(dead_code)]
#[path = "../../../coordinator/src/shell.rs"]
mod shell;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cli::read(bytes));
