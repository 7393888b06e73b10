//! A tokenizer's JSON: what is read is written again as what it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment::text::Tokenizer;

fuzz_target!(|json: &str| {
    if let Ok(tokenizer) = Tokenizer::from_json(json) {
        let written = tokenizer.to_json();
        let again = Tokenizer::from_json(&written).expect("what was written can be read");
        assert_eq!(again.to_json(), written);
    }
});
