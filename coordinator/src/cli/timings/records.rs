//! One record after the other, in memory that does not grow with the file. Splits columns with the `csv` crate; evens out line ends, comments and
//! runs of blanks before it.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

use csv::{ByteRecord, StringRecord};

use super::{
    choices::Separator,
    error::{Fault, Problem},
    limits::RECORD_BYTES,
};

/// Begins a comment.
pub(super) const COMMENT: u8 = b'#';

/// The records of a text.
pub(super) struct Records<R> {
    reader: csv::Reader<Text<R>>,
    progress: Rc<Progress>,
    blanks: bool,
    bytes: ByteRecord,
    record: StringRecord,
}

impl<R: Read> Records<R> {
    pub(super) fn new(text: R, separator: Separator) -> Self {
        let progress = Rc::new(Progress::default());
        let (delimiter, blanks) = match separator {
            Separator::Byte(byte) => (byte, false),
            Separator::Blanks => (b' ', true),
        };
        let text = Text {
            inner: text,
            blanks,
            place: Place::Start,
            after_return: false,
            closed: false,
            progress: Rc::clone(&progress),
        };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(text);
        Self {
            reader,
            progress,
            blanks,
            bytes: ByteRecord::new(),
            record: StringRecord::new(),
        }
    }

    /// The next record with something in it, its columns without blanks around them.
    ///
    /// # Errors
    /// When it cannot be read, is too long, or is not UTF-8.
    pub(super) fn next(&mut self) -> Result<Option<&StringRecord>, Fault> {
        loop {
            self.progress.handed.set(0);
            let line = self.reader.position().line();
            if !self
                .reader
                .read_byte_record(&mut self.bytes)
                .map_err(|error| failure(error, line))?
            {
                return Ok(None);
            }
            let breaks = self.bytes.as_slice().iter().filter(|byte| **byte == b'\n');
            let begins = (self.reader.position().line()).saturating_sub(breaks.count() as u64);
            // Every line ends, so that only what is quoted can go on to the end of the text.
            if self.progress.ended.get() {
                return Err(Problem::Quote.at(begins.max(1)));
            }
            // The reader's own place of a record is that of the empty lines before it.
            let line = begins.saturating_sub(1).max(1);
            self.record.clear();
            for field in &self.bytes {
                let field = std::str::from_utf8(field)
                    .map_err(|_| Problem::NotUtf8.at(line))?
                    .trim();
                if self.blanks && field.is_empty() {
                    continue;
                }
                // A comment after the columns.
                if self.blanks && field.as_bytes().first() == Some(&COMMENT) {
                    break;
                }
                self.record.push_field(field);
            }
            if self.record.iter().any(|field| !field.is_empty()) {
                let mut position = csv::Position::new();
                position.set_line(line);
                self.record.set_position(Some(position));
                return Ok(Some(&self.record));
            }
        }
    }
}

fn failure(error: csv::Error, line: u64) -> Fault {
    let line = error.position().map_or(line, csv::Position::line);
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) => {
            Problem::TooLong.at(line)
        }
        csv::ErrorKind::Io(error) => Problem::Unreadable(error).into(),
        other => Problem::Unreadable(io::Error::other(format!("{other:?}"))).at(line),
    }
}

/// Marks a record above [`RECORD_BYTES`].
#[derive(Debug, thiserror::Error)]
#[error("a record of more than {RECORD_BYTES} bytes")]
struct TooLong;

/// How far a text has been handed out.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes since the last record.
    handed: Cell<usize>,
    /// Whether nothing is left.
    ended: Cell<bool>,
}

/// Where in its line a byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only blanks so far.
    Start,
    Inside,
    Comment,
}

/// Text whose lines end with one `\n`, without the words of its comment lines, and with spaces for tabs where blanks separate. The last line
/// ends as well. Lines stay where they are, so that numbers of lines are those of the file.
struct Text<R> {
    inner: R,
    blanks: bool,
    place: Place,
    after_return: bool,
    /// Whether the last line was ended.
    closed: bool,
    progress: Rc<Progress>,
}

impl<R> Text<R> {
    /// The byte that goes on, if any.
    fn pass(&mut self, byte: u8) -> Option<u8> {
        let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
        match byte {
            b'\n' if after_return => None,
            b'\n' | b'\r' => {
                self.place = Place::Start;
                Some(b'\n')
            }
            _ if self.place == Place::Comment => None,
            COMMENT if self.place == Place::Start => {
                self.place = Place::Comment;
                None
            }
            b'\t' if self.blanks => Some(b' '),
            b' ' | b'\t' => Some(byte),
            _ => {
                self.place = Place::Inside;
                Some(byte)
            }
        }
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.progress.handed.get() > RECORD_BYTES {
                return Err(io::Error::other(TooLong));
            }
            let read = self.inner.read(buffer)?;
            if read == 0 {
                return Ok(match buffer.first_mut() {
                    Some(first) if !self.closed => {
                        *first = b'\n';
                        self.closed = true;
                        1
                    }
                    _ => {
                        self.progress.ended.set(true);
                        0
                    }
                });
            }
            let mut kept = 0;
            for place in 0..read {
                if let Some(byte) = self.pass(buffer[place]) {
                    buffer[kept] = byte;
                    kept += 1;
                }
            }
            let handed = &self.progress.handed;
            handed.set(handed.get() + kept);
            if kept > 0 {
                return Ok(kept);
            }
        }
    }
}
