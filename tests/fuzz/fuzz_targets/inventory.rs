//! See `batchstep_decoders::inventory`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batchstep_decoders::inventory(bytes));
