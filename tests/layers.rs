//! The map in `src/lib.rs` holds: nothing imports from a floor above its own, and what is said to be in one file is.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every source file by its path under `src`.
fn sources() -> BTreeMap<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                sources.insert(path.strip_prefix(&root).unwrap().to_owned(), text);
            }
        }
    }
    sources
}

/// Each module's floor, from the table of `lib.rs`: rows such as ``//! | 0 | [`text`], [`sentiment`] |``.
fn floors(lib: &str) -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let Some((floor, modules)) = row.split_once(" | ") else {
            continue;
        };
        if let Ok(floor) = floor.parse() {
            for module in modules.split('`').skip(1).step_by(2) {
                floors.insert(module.to_owned(), floor);
            }
        }
    }
    floors
}

/// The module at the top of the crate to which a file belongs.
fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str();
    first.to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// The names that follow `prefix` in a file's code.
fn named<'a>(text: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(move |line| line.split(prefix).skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            &rest[..end.unwrap_or(rest.len())]
        })
}

#[test]
fn no_file_imports_from_a_floor_above_its_own() {
    let sources = sources();
    let lib = &sources[Path::new("lib.rs")];
    let floors = floors(lib);
    let declared: Vec<&str> = named(lib, "pub mod ").collect();
    assert!(declared.len() > 5, "{declared:?}");
    for module in declared {
        assert!(
            floors.contains_key(module),
            "{module} has no floor in lib.rs"
        );
    }
    for (path, text) in &sources {
        let own = module(path);
        if own == "lib" {
            continue;
        }
        let floor = floors[&own];
        let grouped = text.contains("crate::{");
        assert!(!grouped, "{}: a `use` a module, please", path.display());
        for used in named(text, "crate::").chain(named(text, " sentiment::")) {
            if let Some(above) = floors.get(used) {
                assert!(
                    *above <= floor,
                    "{} is on floor {floor} and uses {used}, floor {above}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn what_is_kept_in_one_file_or_folder_is_named_there_alone() {
    for (what, needles, place) in [
        ("the runtime", &["ort::"][..], "engine/session"),
        ("the environment", &["env::var", "env::vars"], "config.rs"),
        ("the database", &["sqlx::"], "store"),
        ("model storage", &["object_store::"], "storage"),
    ] {
        let mut found = false;
        for (path, text) in &sources() {
            let code = || text.lines().filter(|l| !l.trim_start().starts_with("//"));
            for needle in needles {
                let starts = |line: &str| {
                    line.match_indices(needle).any(|(at, _)| {
                        !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                    })
                };
                if code().any(starts) {
                    assert!(
                        path.starts_with(place),
                        "{what} is named in {}",
                        path.display()
                    );
                    found = true;
                }
            }
        }
        assert!(
            found,
            "{what} is not in {place}, so this looks for the wrong words"
        );
    }
}

#[test]
fn what_answers_texts_touches_no_database() {
    let mut seen = 0;
    for (path, text) in sources() {
        if !(path.starts_with("http/sentiment") || path.starts_with("engine")) {
            continue;
        }
        seen += 1;
        for word in ["crate::store", "shared.store", "sqlx"] {
            assert!(!text.contains(word), "{word} in {}", path.display());
        }
    }
    assert!(seen > 4, "they are looked at");
}
