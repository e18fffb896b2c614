//! Text out of C that may be anything: without an end, not UTF-8, full of control characters.
//!
//! nvml-wrapper reads such text up to the first zero byte wherever that is, and a driver that fills the buffer to its end has it read on into
//! other memory. Here the buffer is always longer than what NVML is told.

use std::ffi::{c_char, c_uint};

use batchstep_proto::inventory::Field;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper_sys::bindings::nvmlReturn_t;

/// Longest text NVML has, in bytes, its zero byte included.
const LENGTH: usize = 128;

/// The problem of a text that fills its buffer to the end.
pub(crate) const ENDLESS: &str = "has no end";

/// Text that NVML gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// Readable in any case.
    pub(crate) text: String,
    /// What is wrong with it.
    pub(crate) problem: Option<&'static str>,
}

impl Text {
    /// What is wrong with it, as a problem of a field.
    pub(crate) fn flaw(&self, field: &Field) -> Option<String> {
        let problem = self.problem?;
        Some(format!("{}: {:?} {problem}", field.name, self.text))
    }
}

/// Calls a function that writes text into a buffer of a given length.
pub(crate) fn text(
    call: impl FnOnce(*mut c_char, c_uint) -> nvmlReturn_t,
) -> Result<Text, NvmlError> {
    let mut buffer: [c_char; LENGTH * 2] = [0; LENGTH * 2];
    nvml_try(call(
        buffer.as_mut_ptr(),
        c_uint::try_from(LENGTH).unwrap_or(c_uint::MAX),
    ))?;
    Ok(from_buffer(&buffer[..LENGTH]))
}

/// Text in a buffer of fixed size, as in NVML's structures.
pub(crate) fn from_buffer(buffer: &[c_char]) -> Text {
    let end = buffer.iter().position(|&byte| byte == 0);
    let bytes: Vec<u8> = buffer[..end.unwrap_or(buffer.len())]
        .iter()
        .map(|byte| byte.cast_unsigned())
        .collect();
    let (text, mut problem) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => (
            String::from_utf8_lossy(error.as_bytes()).into_owned(),
            Some("is not UTF-8"),
        ),
    };
    if end.is_none() {
        problem = Some(ENDLESS);
    }
    let text = if text.chars().any(char::is_control) {
        problem = problem.or(Some("has control characters"));
        text.replace(char::is_control, "\u{fffd}")
    } else {
        text
    };
    Text {
        text: text.trim().to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> Vec<c_char> {
        bytes.iter().map(|byte| byte.cast_signed()).collect()
    }

    #[test]
    fn text_ends_at_its_end_or_at_that_of_the_buffer() {
        let good = from_buffer(&buffer(b"NVIDIA H200\0rest"));
        assert_eq!((good.text.as_str(), good.problem), ("NVIDIA H200", None));
        let endless = from_buffer(&buffer(b"AAAA"));
        assert_eq!(
            (endless.text.as_str(), endless.problem),
            ("AAAA", Some("has no end"))
        );
        assert_eq!(
            from_buffer(&buffer(b"A\xff\0")).problem,
            Some("is not UTF-8")
        );
        let escape = from_buffer(&buffer(b"A\x1b[2J\0"));
        assert!(!escape.text.contains('\u{1b}') && escape.problem.is_some());
        assert_eq!(from_buffer(&buffer(b"")).text, "");
    }

    #[test]
    fn a_buffer_that_is_filled_to_its_end_is_not_read_beyond_it() {
        let filled = text(|buffer, length| {
            for position in 0..length {
                // SAFETY: within the length that was told.
                unsafe { *buffer.add(position as usize) = c_char::from_ne_bytes([b'B']) };
            }
            0
        })
        .unwrap();
        assert_eq!(filled.text.len(), LENGTH);
        assert_eq!(filled.problem, Some("has no end"));
    }
}
