//! See `batchstep_decoders::frames`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batchstep_decoders::frames(bytes));
