//! See `batchstep_decoders::devices_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| batchstep_decoders::devices_file(text));
