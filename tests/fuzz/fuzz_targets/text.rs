//! See `batchstep_decoders::text`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| batchstep_decoders::text(text));
