//! Writing through the caller's pointers. All of these check for null; what they cannot check is that a pointer leads to as much memory as the caller
//! says.

use std::{
    ffi::{CStr, c_char, c_uint},
    ptr,
};

use crate::answer::{Code, Text};

/// Refuses null.
pub fn given<T>(pointer: *const T) -> Result<(), Code> {
    if pointer.is_null() {
        Err(Code::INVALID_ARGUMENT)
    } else {
        Ok(())
    }
}

/// Writes one value.
///
/// # Safety
/// `pointer` is null or leads to a `T` that may be written.
pub unsafe fn put<T>(pointer: *mut T, value: T) -> Result<(), Code> {
    given(pointer)?;
    // SAFETY: not null, and the caller's promise.
    unsafe { pointer.write(value) };
    Ok(())
}

/// Writes a text into a buffer of `length` bytes.
///
/// # Safety
/// `buffer` is null or leads to `length` bytes that may be written.
pub unsafe fn put_text(buffer: *mut c_char, length: c_uint, text: &Text) -> Result<(), Code> {
    given(buffer)?;
    let length = length as usize;
    let bytes: Vec<u8> = match text {
        Text::Terminated(text) => text.bytes().chain([0]).collect(),
        Text::Raw(bytes) if bytes.contains(&0) => bytes.iter().copied().take(length).collect(),
        Text::Raw(bytes) => bytes.iter().copied().cycle().take(length).collect(),
    };
    if bytes.len() > length {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    // SAFETY: the buffer has `length` bytes by the caller's promise, which are at least these; `c_char` is a byte.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), bytes.len()) };
    Ok(())
}

/// Copies as many items as there is room for, and reports how many there are: `insufficient_size` with their number where there is too little room.
/// A null array is allowed where the caller has room for none.
///
/// # Safety
/// `count` is null or leads to a number that may be read and written; `array` is null or leads to as many items as it says.
pub unsafe fn put_list<T: Copy>(
    count: *mut c_uint,
    array: *mut T,
    items: &[T],
    reported: Option<c_uint>,
) -> Result<(), Code> {
    given(count)?;
    // SAFETY: not null, and the caller's promise.
    let room = unsafe { *count };
    let number = reported.unwrap_or(c_uint::try_from(items.len()).map_err(|_| Code::UNKNOWN)?);
    if room > 0 {
        given(array)?;
    }
    // SAFETY: as above.
    unsafe { *count = number };
    if number > room {
        return Err(Code::INSUFFICIENT_SIZE);
    }
    let copied = items.len().min(number as usize);
    if copied > 0 {
        // SAFETY: not null, as `room` is at least `number`, and room for `room` items by the caller's promise.
        unsafe { ptr::copy_nonoverlapping(items.as_ptr(), array, copied) };
    }
    Ok(())
}

/// The text that a caller passes.
///
/// # Safety
/// `text` is null or leads to a terminated string.
pub unsafe fn text_of(text: *const c_char) -> Result<String, Code> {
    given(text)?;
    // SAFETY: not null, and the caller's promise.
    unsafe { CStr::from_ptr(text) }
        .to_str()
        .map(str::to_owned)
        .map_err(|_| Code::INVALID_ARGUMENT)
}
