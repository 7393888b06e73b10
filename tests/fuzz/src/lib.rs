//! What must hold of anything that comes from outside. The fuzzer looks for what breaks it; what it once found lies in `seeds/` and is
//! tried by `cargo test`.

use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::LazyLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use sentiment::bundle::{Manifest, digest};
use sentiment::http::{Pieces, is_line, is_request};
use sentiment::import::is_model;
use sentiment::recipe::Recipe;
use sentiment::text::Tokenizer;
use sentiment::train::dataset::{DataArg, read};
use sentiment::vectors::WordVectors;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// The name of a target, and what it tries.
pub type Check = (&'static str, fn(&[u8]));

/// Every check.
pub const CHECKS: [Check; 8] = [
    ("request", request),
    ("lines", lines),
    ("tokenizer", tokenizer),
    ("manifest", manifest),
    ("recipe", recipe),
    ("dataset", dataset),
    ("import", import),
    ("vectors", vectors),
];

/// The body of a request and a line of a stream: whatever comes is read or refused, and what is no JSON can be neither.
pub fn request(body: &[u8]) {
    let is_json = serde_json::from_slice::<serde_json::Value>(body).is_ok();
    assert!(is_json || !is_request(body));
    assert!(is_json || !is_line(body));
}

/// The lines of a stream, in pieces of the size of the first byte: the same as of the whole, compressed or not.
pub fn lines(bytes: &[u8]) {
    const LONGEST: usize = 100;
    let Some((&size, body)) = bytes.split_first() else {
        return;
    };
    let expected: Vec<Option<&[u8]>> = body
        .split(|&b| b == b'\n')
        .map(<[u8]>::trim_ascii_start)
        .filter(|line| !line.is_empty())
        .map(|line| (line.len() <= LONGEST).then_some(line))
        .collect();
    let pieces = Pieces {
        size: usize::from(size).max(1),
        gzip: false,
        longest: LONGEST,
    };
    let compare = |found: Result<Vec<Option<Vec<u8>>>, String>| {
        let found = found.expect("nothing is wrong with it");
        assert!(
            found
                .iter()
                .map(Option::as_deref)
                .eq(expected.iter().copied())
        );
    };
    compare(pieces.lines(body));
    let packed = Pieces {
        gzip: true,
        ..pieces
    };
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).expect("there is room");
    compare(packed.lines(&encoder.finish().expect("there is room")));
    // Most likely it is not gzip at all.
    let _ = packed.lines(body);
}

/// A tokenizer's JSON: what is read is written again as what it was.
pub fn tokenizer(bytes: &[u8]) {
    let Ok(json) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(tokenizer) = Tokenizer::from_json(json) {
        let written = tokenizer.to_json();
        let again = Tokenizer::from_json(&written).expect("what was written can be read");
        assert_eq!(again.to_json(), written);
    }
}

/// A bundle's manifest, sealed as if somebody had written it: what is taken can be written and is then the same.
pub fn manifest(json: &[u8]) {
    let Ok(mut manifest) = serde_json::from_slice::<serde_json::Value>(json) else {
        return;
    };
    let Some(fields) = manifest.as_object_mut() else {
        return;
    };
    fields.insert("digest".to_owned(), "".into());
    let blank = manifest.to_string();
    let seal = digest::sha256(blank.as_bytes());
    manifest["digest"] = seal.into();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("manifest.json");
    std::fs::write(&file, manifest.to_string()).expect("a file");
    if let Ok(manifest) = Manifest::read(folder.path()) {
        let written = serde_json::to_string(&manifest).expect("what was read can be written");
        let again: Manifest = serde_json::from_str(&written).expect("what was written can be read");
        let again = serde_json::to_string(&again).expect("as before");
        assert_eq!(again, written);
    }
}

/// A recipe: what is taken can be written and is then the same.
pub fn recipe(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(recipe) = Recipe::parse(text, "recipe") {
        let written = serde_json::to_string(&recipe).expect("what was read can be written");
        let again: Recipe = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(serde_json::to_string(&again).expect("as before"), written);
    }
}

/// Files of reviews: the first byte chooses the kind, the rest is the file.
pub fn dataset(bytes: &[u8]) {
    static RECIPE: LazyLock<Recipe> = LazyLock::new(|| {
        let recipe = include_str!("../../../models/recipes/course-naver.toml");
        Recipe::parse(recipe, "recipe").expect("it comes with the program")
    });
    let Some((kind, file)) = bytes.split_first() else {
        return;
    };
    let kinds = ["tsv", "csv", "jsonl", "tsv.gz", "csv.xz"];
    let folder = tempfile::tempdir().expect("a folder");
    let kind = kinds[usize::from(*kind) % kinds.len()];
    let path = folder.path().join(format!("reviews.{kind}"));
    std::fs::write(&path, file).expect("a file");
    let argument: DataArg = path.to_str().expect("a name").parse().expect("a path");
    if let Ok(dataset) = read(&RECIPE.data, &[argument]) {
        let texts = dataset.examples.iter().map(|example| &example.text);
        assert!(texts.into_iter().all(|text| !text.trim().is_empty()));
    }
}

/// A model of another program: the first byte chooses the kind, the rest is the file.
pub fn import(bytes: &[u8]) {
    let Some((kind, file)) = bytes.split_first() else {
        return;
    };
    match kind % 4 {
        0 => is_model(Path::new("model.h5"), file.to_vec()),
        1 => is_model(Path::new("model.keras"), file.to_vec()),
        2 => is_model(Path::new("model.onnx"), file.to_vec()),
        _ => is_model(Path::new("model.keras"), packed(file)),
    };
}

/// A `.keras` archive of a description and, from HDF5's signature on, weights: one byte that changed would damage an archive, and
/// its parts would never be seen.
fn packed(parts: &[u8]) -> Vec<u8> {
    let mark = b"\x89HDF\r\n\x1a\n";
    let at = parts.windows(mark.len()).position(|window| window == mark);
    let (description, weights) = parts.split_at(at.unwrap_or(parts.len()));
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, part) in [
        ("metadata.json", &br#"{"keras_version": "3.0.0"}"#[..]),
        ("config.json", description),
        ("model.weights.h5", weights),
    ] {
        let options = SimpleFileOptions::default();
        archive.start_file(name, options).expect("there is room");
        archive.write_all(part).expect("there is room");
    }
    archive.finish().expect("there is room").into_inner()
}

/// A set of word vectors: the first byte chooses the kind, the rest is the file.
pub fn vectors(bytes: &[u8]) {
    let Some((kind, file)) = bytes.split_first() else {
        return;
    };
    let kinds = ["set.txt", "set.bin", "set.txt.gz", "set.vec.xz", "set.zip"];
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(kinds[usize::from(*kind) % kinds.len()]);
    std::fs::write(&path, file).expect("a file");
    if let Ok(vectors) = WordVectors::load(&path, None) {
        assert!(vectors.words().all(|word| {
            vectors
                .vector(word)
                .is_some_and(|vector| vector.len() == vectors.dimensions)
        }));
    }
}
