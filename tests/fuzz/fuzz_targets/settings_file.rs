//! See `batchstep_decoders::settings_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    batchstep_decoders::settings_file(text);
});
