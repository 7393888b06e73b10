//! What the fuzzer found, or could have: small inputs that once broke something or reach far, tried at every `cargo test`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

#[path = "fuzz/src/lib.rs"]
mod checks;

#[test]
fn inputs_that_were_found_break_nothing_any_more() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (name, check) in checks::CHECKS {
        let mut tried = 0;
        for seed in std::fs::read_dir(seeds.join(name)).unwrap() {
            let path = seed.unwrap().path();
            eprintln!("{}", path.display());
            check(&std::fs::read(&path).unwrap());
            tried += 1;
        }
        assert!(tried > 0, "{name} has no seeds");
    }
}
