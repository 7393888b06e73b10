#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sentiment_fuzz::vectors(bytes));
