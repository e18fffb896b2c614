//! See `batchstep_decoders::signing_request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    batchstep_decoders::signing_request(bytes);
});
