//! See `batchstep_decoders::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| batchstep_decoders::message(bytes));
