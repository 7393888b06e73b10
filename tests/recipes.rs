//! The recipes that come with the program.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use sentiment::recipe::Recipe;
use sentiment::train::network::Network;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes")
}

/// Beside templates, and word vectors and sentences that a user may have made there.
fn files() -> impl Iterator<Item = PathBuf> {
    let paths = folder()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths.filter(|path| {
        path.extension()
            .is_some_and(|extension| extension == "toml")
    })
}

#[test]
fn every_recipe_parses_and_is_named_like_its_file() {
    let mut names = Vec::new();
    for path in files() {
        let recipe = Recipe::load(&path).unwrap();
        assert_eq!(
            path.file_name().unwrap().to_str().unwrap(),
            format!("{}.toml", recipe.name)
        );
        names.push(recipe.name);
    }
    for course in [
        "course-imdb-dense",
        "course-imdb-rnn",
        "course-imdb-lstm",
        "course-naver",
    ] {
        assert!(names.iter().any(|name| name == course), "{course}");
    }
}

#[test]
fn the_courses_networks_have_as_many_weights_as_in_keras() {
    for (name, parameters) in [
        ("course-imdb-dense", 336_001),
        ("course-imdb-rnn", 324_193),
        ("course-imdb-lstm", 357_281),
    ] {
        let recipe = Recipe::load(&folder().join(format!("{name}.toml"))).unwrap();
        let rows = recipe.tokenizer.num_words.unwrap();
        let network = Network::<f32>::build(&recipe.layers, rows, recipe.padding.maxlen, 1);
        assert_eq!(network.parameters(), parameters, "{name}");
        assert_eq!(recipe.weights(rows), parameters as u128, "{name}");
    }
}

#[test]
fn a_course_recipe_never_claims_a_language() {
    for path in files() {
        let recipe = Recipe::load(&path).unwrap();
        if recipe.name.starts_with("course-") {
            assert!(recipe.default_for.is_empty(), "{}", recipe.name);
        }
    }
}

const SMALL: &str = r#"
name = "small"
languages = ["en"]
[data]
[tokenizer]
num_words = 40
[padding]
maxlen = 12
[[layers]]
kind = "embedding"
units = 8
[[layers]]
kind = "lstm"
units = 8
bidirectional = "concat"
[[layers]]
kind = "dense"
units = 1
activation = "sigmoid"
[fit]
batch_size = 16
"#;

#[test]
fn what_no_machine_could_hold_is_refused_by_its_name() {
    Recipe::parse(SMALL, "small").unwrap();
    for (instead_of, asked, said) in [
        (
            "batch_size = 16",
            "batch_size = 1000000000000",
            "fit.batch_size must be at most 65536",
        ),
        (
            "batch_size = 16",
            "epochs = 9000000000000000000",
            "fit.epochs must be at most",
        ),
        (
            "batch_size = 16",
            "epsilon = 1e-50",
            "fit.epsilon must be at least 1e-12",
        ),
        (
            "batch_size = 16",
            "learning_rate = 1e39",
            "fit.learning_rate is beyond single precision",
        ),
        (
            "num_words = 40",
            "num_words = 4000000000",
            "tokenizer.num_words must be at most",
        ),
        ("num_words = 40", "num_words = 9000000\nfilters = \"\"", ""),
        (
            "kind = \"lstm\"\nunits = 8",
            "kind = \"lstm\"\nunits = 65536",
            "layers[1]: units of a recurrent layer",
        ),
        (
            "kind = \"embedding\"\nunits = 8",
            "kind = \"embedding\"\nunits = 65000",
            "",
        ),
    ] {
        let recipe = SMALL.replace(instead_of, asked);
        assert_ne!(recipe, SMALL);
        match (Recipe::parse(&recipe, "small"), said) {
            (Ok(_), "") => {}
            (Err(error), said) if !said.is_empty() && error.to_string().contains(said) => {}
            (found, _) => panic!("{asked}: {said:?} in {found:?}"),
        }
    }
    // Each alone is in order.
    let together = |changes: &[(&str, &str)]| {
        let recipe = changes.iter().fold(SMALL.to_owned(), |recipe, (old, new)| {
            recipe.replace(old, new)
        });
        Recipe::parse(&recipe, "small").unwrap_err().to_string()
    };
    let weights = together(&[
        ("num_words = 40", "num_words = 9000000"),
        (
            "units = 8\n[[layers]]\nkind = \"lstm\"",
            "units = 65000\n[[layers]]\nkind = \"lstm\"",
        ),
    ]);
    assert!(
        weights.contains("weights, over an embedding of 9000000 rows"),
        "{weights}"
    );
    let held = together(&[
        ("maxlen = 12", "maxlen = 100000"),
        ("batch_size = 16", "batch_size = 60000"),
    ]);
    assert!(
        held.contains("numbers for 60000 rows of 100000 steps"),
        "{held}"
    );
}

#[test]
fn buckets_of_rows_that_are_padded_behind_are_refused() {
    let bucket = SMALL.replace("batch_size = 16", "bucket = true");
    Recipe::parse(&bucket, "small").unwrap();
    let behind = bucket.replace("maxlen = 12", "maxlen = 12\npadding = \"post\"");
    let said = Recipe::parse(&behind, "small").unwrap_err().to_string();
    assert!(
        said.contains("fit.bucket needs rows of uneven length"),
        "{said}"
    );
    let masked = behind.replace(
        "kind = \"embedding\"",
        "kind = \"embedding\"\nmask_zero = true",
    );
    Recipe::parse(&masked, "small").unwrap();
}

#[test]
fn a_vocabulary_can_make_a_network_too_large() {
    let recipe = Recipe::parse(SMALL, "small").unwrap();
    recipe.check_size(1_000_000).unwrap();
    assert!(recipe.check_size(100_000_000).is_err());
    assert!(recipe.check_size(usize::MAX).is_err());
}
