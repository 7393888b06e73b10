//! A bundle's manifest, and a bundle that has nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sentiment::bundle::{Bundle, Manifest};

fuzz_target!(|json: &[u8]| {
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(json) {
        let written = serde_json::to_string(&manifest).expect("what was read can be written");
        serde_json::from_str::<Manifest>(&written).expect("what was written can be read");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("manifest.json"), json).expect("a file");
        assert!(Bundle::load(folder.path()).is_err(), "it has no graph");
    }
});
