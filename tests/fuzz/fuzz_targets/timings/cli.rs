//! The reader of timings in the place where its own sources expect to be. Called by the target.

#[path = "../../../../coordinator/src/cli/text.rs"]
mod text;
#[path = "../../../../coordinator/src/cli/timings/mod.rs"]
mod timings;

use std::{cell::RefCell, io::Write as _};

use clap::Parser as _;

/// What the first byte chooses among.
const FLAGS: [&[&str]; 8] = [
    &[],
    &["--separator", "semicolon", "--decimal", "comma"],
    &["--separator", "tab"],
    &["--separator", "space"],
    &["--batch-size-column", "1", "--seconds-column", "2"],
    &["--round-column", "3", "--unit", "ms"],
    &["--unit", "samples/s"],
    &["--series", "a"],
];

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    choices: timings::Choices,
}

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(
        tempfile::NamedTempFile::new_in("/dev/shm")
            .or_else(|_| tempfile::NamedTempFile::new())
            .expect("a place for the file"),
    );
}

pub fn read(bytes: &[u8]) {
    let Some((flags, bytes)) = bytes.split_first() else {
        return;
    };
    let flags = FLAGS[usize::from(*flags) % FLAGS.len()];
    let Ok(command) = Command::try_parse_from(["analyze"].iter().chain(flags)) else {
        return;
    };
    FILE.with_borrow_mut(|file| {
        let path = file.path().to_owned();
        let file = file.as_file_mut();
        file.set_len(0).expect("a file that can be emptied");
        std::io::Seek::rewind(file).expect("a file that can be written again");
        file.write_all(bytes).expect("a file that can be written");
        if let Ok(timings) = timings::read(&path, &command.choices) {
            for observation in &timings.observations {
                assert!(observation.seconds > 0.0 && observation.seconds.is_finite());
                assert!(observation.batch_size > 0);
            }
        }
    });
}
