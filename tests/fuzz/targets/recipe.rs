//! A recipe: what is taken can be written and is then the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment::recipe::Recipe;

fuzz_target!(|text: &str| {
    if let Ok(recipe) = Recipe::parse(text, "recipe") {
        let written = serde_json::to_string(&recipe).expect("what was read can be written");
        let again: Recipe = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(serde_json::to_string(&again).expect("as before"), written);
    }
});
