//! Puts the end of a worker process into words: which signal or code, and what to do about it. Pure.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::sys::signal::Signal;

/// The worker's exit code when the libtorch it finds is not the one it was built for.
const EXIT_OTHER_LIBTORCH: i32 = 3;
/// The dynamic loader's exit code when a library is missing.
const EXIT_LOADER: i32 = 127;

/// "was killed by signal 9 (SIGKILL)", "exited with code 1".
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(number), _) => {
            let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
            format!("was killed by signal {number} ({name})")
        }
        (None, Some(code)) => format!("exited with code {code}"),
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// What may be behind an end that looks like someone's doing.
pub(crate) fn hint(status: ExitStatus) -> &'static str {
    if status.signal() == Some(libc::SIGKILL) {
        "; when nobody killed it by hand, the system was out of memory (see dmesg)"
    } else {
        ""
    }
}

/// Why a worker did not come up, and what to do: from how it ended and the last lines it wrote to stderr.
pub(crate) fn explain_start(status: ExitStatus, last_lines: &str) -> String {
    let last_lines = last_lines
        .strip_prefix("batchstep-worker: ")
        .filter(|_| status.code() != Some(EXIT_LOADER))
        .unwrap_or(last_lines);
    let missing = last_lines
        .split_once("error while loading shared libraries: ")
        .and_then(|(_, rest)| rest.split(':').next());
    match (missing, status.code()) {
        (Some(library), _) => format!(
            "the worker cannot load {library}: install libtorch 2.11.0 with `make libtorch`, or put the folder that holds it \
             (of a PyTorch 2.11.0: .../site-packages/torch/lib) into LD_LIBRARY_PATH of the agent"
        ),
        // The worker's own words say what to do.
        (None, Some(EXIT_OTHER_LIBTORCH)) => or_nothing(last_lines).to_owned(),
        (None, Some(EXIT_LOADER)) => format!(
            "the worker could not be loaded: {}; rebuild it with `make`, or install libtorch with `make libtorch`",
            or_nothing(last_lines)
        ),
        _ => format!(
            "the worker {} before it was ready: {}; run `batchstep-agent doctor` on that host",
            describe(status),
            or_nothing(last_lines)
        ),
    }
}

fn or_nothing(lines: &str) -> &str {
    if lines.is_empty() {
        "it wrote nothing to stderr"
    } else {
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_and_codes_have_names() {
        let killed = ExitStatus::from_raw(libc::SIGKILL);
        assert_eq!(describe(killed), "was killed by signal 9 (SIGKILL)");
        assert!(hint(killed).contains("out of memory"));
        assert_eq!(
            describe(ExitStatus::from_raw(libc::SIGSEGV)),
            "was killed by signal 11 (SIGSEGV)"
        );
        assert_eq!(describe(ExitStatus::from_raw(2 << 8)), "exited with code 2");
    }

    #[test]
    fn a_missing_library_is_named_with_the_way_to_mend_it() {
        let line = "batchstep-worker: error while loading shared libraries: libtorch_cpu.so: cannot open shared object file: No such file or directory";
        let text = explain_start(ExitStatus::from_raw(127 << 8), line);
        assert!(
            text.starts_with("the worker cannot load libtorch_cpu.so:"),
            "{text}"
        );
        assert!(text.contains("make libtorch") && text.contains("LD_LIBRARY_PATH"));
    }

    #[test]
    fn another_version_is_told_in_the_workers_words() {
        let line = "batchstep-worker: libtorch 2.4.0 was loaded, but batchstep-worker needs 2.11.0: run `make libtorch`";
        assert_eq!(
            explain_start(ExitStatus::from_raw(3 << 8), line),
            "libtorch 2.4.0 was loaded, but batchstep-worker needs 2.11.0: run `make libtorch`"
        );
    }
}
