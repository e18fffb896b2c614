//! See `batchstep_decoders::certificate`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batchstep_decoders::certificate(bytes));
