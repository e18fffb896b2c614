//! Bounds on what a file may hold, so that no file takes more memory than there is. Errors state them.

/// Bytes looked at before the first line is read.
pub(super) const SAMPLE_BYTES: u64 = 64 << 10;
/// Longest record, in bytes; a quote that is never closed would be one of the rest of the file.
pub(super) const RECORD_BYTES: usize = 1 << 20;
/// Most timings kept, about 100 MB.
pub(super) const TIMINGS: usize = 4_000_000;
/// Most series told apart.
pub(super) const SERIES: usize = 4096;
