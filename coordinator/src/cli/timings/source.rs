//! Where the text comes from, and whether it is text: opens the file, looks at its beginning, and hands on the whole without keeping it.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
};

use super::{
    choices::Separator,
    error::{Fault, Problem},
    limits::SAMPLE_BYTES,
    records::Records,
};

/// How files of other kinds begin.
const PACKED: [(&[u8], &str, &str); 4] = [
    (
        b"\x1f\x8b",
        "compressed by gzip",
        "unpack it first, such as `gzip -dc FILE | batchstep analyze -`",
    ),
    (
        b"\x28\xb5\x2f\xfd",
        "compressed by zstd",
        "unpack it first, such as `zstd -dc FILE | batchstep analyze -`",
    ),
    (
        b"PK\x03\x04",
        "a ZIP archive or a spreadsheet",
        "unpack it, or save the sheet as CSV",
    ),
    (
        b"SQLite format 3",
        "an SQLite database",
        "export its timings with `batchstep export`",
    ),
];

/// Text with its beginning at hand.
pub(super) struct Source<R> {
    sample: Vec<u8>,
    /// Whether the sample is all there is.
    complete: bool,
    rest: R,
}

/// Opens a file.
///
/// # Errors
/// When it cannot be opened, or is no text.
pub(super) fn open(path: &Path) -> Result<Source<File>, Fault> {
    if path.is_dir() {
        return Err(Problem::Directory.into());
    }
    let file = File::open(path).map_err(Problem::Unreadable)?;
    Source::new(file)
}

impl<R: Read> Source<R> {
    /// Reads the beginning.
    ///
    /// # Errors
    /// When there is none, or it is no text.
    pub(super) fn new(mut rest: R) -> Result<Self, Fault> {
        let mut sample = Vec::new();
        (&mut rest)
            .take(SAMPLE_BYTES)
            .read_to_end(&mut sample)
            .map_err(Problem::Unreadable)?;
        let complete = (sample.len() as u64) < SAMPLE_BYTES;
        refuse_other_kinds(&sample)?;
        if sample.starts_with(b"\xef\xbb\xbf") {
            sample.drain(..3);
        }
        if complete && sample.iter().all(u8::is_ascii_whitespace) {
            return Err(Problem::Empty.into());
        }
        Ok(Self {
            sample,
            complete,
            rest,
        })
    }

    /// The whole lines of the beginning, numbered from 1; what is not UTF-8 is replaced.
    pub(super) fn lines(&self) -> Vec<(u64, String)> {
        let text = String::from_utf8_lossy(&self.sample).replace("\r\n", "\n");
        let mut lines: Vec<(u64, String)> = (1..)
            .zip(text.split(['\n', '\r']).map(str::to_owned))
            .collect();
        if !self.complete && lines.len() > 1 {
            lines.pop();
        }
        lines
    }

    /// Every record, from the start.
    pub(super) fn records(self, separator: Separator) -> Records<io::Chain<Cursor<Vec<u8>>, R>> {
        Records::new(Cursor::new(self.sample).chain(self.rest), separator)
    }
}

fn refuse_other_kinds(sample: &[u8]) -> Result<(), Problem> {
    if let Some((_, kind, remedy)) = PACKED.iter().find(|(magic, ..)| sample.starts_with(magic)) {
        return Err(Problem::OtherKind { kind, remedy });
    }
    let marked = sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff");
    if marked || sample.contains(&0) {
        return Err(Problem::OtherKind {
            kind: if marked {
                "UTF-16 text"
            } else {
                "UTF-16 text or no text at all (it has zero bytes)"
            },
            remedy: "save it as UTF-8 CSV, or convert it: `iconv -f UTF-16 -t UTF-8 FILE | batchstep analyze -`",
        });
    }
    Ok(())
}
