//! The recipes that come with the program.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};

use sentiment::recipe::Recipe;
use sentiment::train::network::Network;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes")
}

#[test]
fn every_recipe_parses_and_is_named_like_its_file() {
    let mut names = Vec::new();
    for entry in folder().read_dir().unwrap() {
        let path = entry.unwrap().path();
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
    }
}

#[test]
fn a_course_recipe_never_claims_a_language() {
    for entry in folder().read_dir().unwrap() {
        let recipe = Recipe::load(&entry.unwrap().path()).unwrap();
        if recipe.name.starts_with("course-") {
            assert!(recipe.default_for.is_empty(), "{}", recipe.name);
        }
    }
}
