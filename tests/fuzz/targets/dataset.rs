//! Files of reviews: the first byte chooses the kind, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sentiment::recipe::Recipe;
use sentiment::train::dataset::{DataArg, read};

static RECIPE: LazyLock<Recipe> = LazyLock::new(|| {
    let recipe = include_str!("../../../models/recipes/course-naver.toml");
    Recipe::parse(recipe, "recipe").expect("it comes with the program")
});

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, file)) = bytes.split_first() else {
        return;
    };
    let kinds = ["tsv", "csv", "jsonl", "tsv.gz", "csv.xz"];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(format!(
        "reviews.{}",
        kinds[usize::from(*kind) % kinds.len()]
    ));
    std::fs::write(&path, file).expect("a file");
    let argument: DataArg = path.to_str().expect("a name").parse().expect("a path");
    if let Ok(dataset) = read(&RECIPE.data, &[argument]) {
        assert!(
            dataset
                .examples
                .iter()
                .all(|example| !example.text.trim().is_empty())
        );
    }
});
