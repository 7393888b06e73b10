//! Word vectors as an embedding's first weights: from every kind of file, frozen or trained on, found by the recipe.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Output;

use crate::program::{Room, stderr};
use crate::shop::{room_with_reviews, write_recipe};
use sentiment::bundle::Bundle;
use sentiment::import::own_network;

const UNITS: usize = 8;

/// Known words, words of no review, and the first of two that are alike.
const WORDS: [&str; 6] = ["great", "unheard", "awful", "lovely", "great", "parcel"];

fn value(row: usize, column: usize) -> f32 {
    (row as f32 + 1.0) / 8.0 - column as f32 / 4.0
}

fn glove() -> String {
    let line = |(row, word): (usize, &&str)| {
        let numbers: Vec<String> = (0..UNITS).map(|at| value(row, at).to_string()).collect();
        format!("{word} {}\n", numbers.join(" "))
    };
    WORDS.iter().enumerate().map(line).collect()
}

fn binary() -> Vec<u8> {
    let mut bytes = format!("{} {UNITS}\n", WORDS.len()).into_bytes();
    for (row, word) in WORDS.iter().enumerate() {
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(b' ');
        (0..UNITS).for_each(|at| bytes.extend(value(row, at).to_le_bytes()));
        bytes.push(b'\n');
    }
    bytes
}

fn packed(text: &str) -> Vec<u8> {
    let mut file = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap()
}

/// The recipe lies in a folder of its own, and what it names beside it.
fn write(room: &Room, embedding: &str) {
    write_recipe(room, "epochs = 2");
    let recipe = std::fs::read_to_string(room.path("shop.toml")).unwrap();
    let recipe = recipe.replace(
        "mask_zero = true",
        &format!("mask_zero = true\n{embedding}"),
    );
    room.write("recipes/shop.toml", recipe);
}

fn train(room: &Room, args: &[&str]) -> Output {
    let first = ["train", "recipes/shop.toml", "--data", "shop.tsv"];
    room.run(&[&first, args].concat(), b"")
}

/// The rows of a bundle's embedding by word, and the pad's.
fn table(bundle: &Bundle) -> BTreeMap<String, Vec<f32>> {
    let network = own_network(bundle).unwrap();
    let row = |id: i64| -> Vec<f32> {
        let weights = &network.layers[0].weights[0];
        (0..UNITS).map(|at| weights[[id as usize, at]]).collect()
    };
    let words = bundle.encoder.words().chain([("", 0)]);
    words.map(|(word, id)| (word.to_owned(), row(id))).collect()
}

#[test]
fn a_frozen_embedding_keeps_what_the_file_says_whatever_kind_of_file_it_is() {
    let counted = format!("{} {UNITS}\n{}", WORDS.len(), glove());
    let files: [(&str, Vec<u8>); 4] = [
        ("glove.txt", glove().into_bytes()),
        ("fast.vec", counted.clone().into_bytes()),
        ("packed.vec.gz", packed(&counted)),
        ("binary.bin", binary()),
    ];
    let room = room_with_reviews();
    for (at, (name, bytes)) in files.into_iter().enumerate() {
        room.write(&format!("recipes/{name}"), bytes);
        write(&room, &format!("pretrained = {name:?}\ntrainable = false"));
        let output = train(&room, &["--out", &format!("models{at}")]);
        assert!(output.status.success(), "{}", stderr(&output));
        let printed = String::from_utf8(output.stdout).unwrap();
        let said = format!("{name}: vectors for 4 of 39 words (10.3 %)");
        assert!(printed.contains(&said), "{printed}");
        let bundle = Bundle::load(&room.path(&format!("models{at}/shop/1"))).unwrap();
        let read = bundle.manifest.training.pretrained.as_ref().unwrap();
        assert_eq!((&*read.file, read.words, read.found), (name, 39, 4));
        assert!((read.share - 4.0 / 39.0).abs() < 1e-12);
        assert!(!bundle.manifest.layers[0].trainable);
        for (word, row) in table(&bundle) {
            let known = WORDS.iter().position(|known| *known == word);
            let expected: Vec<f32> = match known {
                Some(known) => (0..UNITS).map(|at| value(known, at)).collect(),
                None => vec![0.0; UNITS],
            };
            assert_eq!(row, expected, "{name}: {word:?}");
        }
    }
}

#[test]
fn an_embedding_that_is_trained_on_begins_at_the_file_and_leaves_it() {
    let room = room_with_reviews();
    room.write("recipes/glove.txt", glove());
    write(&room, "pretrained = \"glove.txt\"");
    // So small a step that the beginning can still be seen.
    for (at, rate) in ["1e-6", "0.02"].into_iter().enumerate() {
        let recipe = std::fs::read_to_string(room.path("recipes/shop.toml")).unwrap();
        let recipe = recipe.replace("learning_rate = 0.02", &format!("learning_rate = {rate}"));
        room.write("recipes/shop.toml", recipe);
        let output = train(&room, &["--out", &format!("models{at}")]);
        assert!(output.status.success(), "{}", stderr(&output));
        let bundle = Bundle::load(&room.path(&format!("models{at}/shop/1"))).unwrap();
        assert!(bundle.manifest.layers[0].trainable);
        let great = &table(&bundle)["great"];
        let moved = (0..UNITS).map(|at| (great[at] - value(0, at)).abs());
        let moved = moved.fold(0.0, f32::max);
        assert!(moved > 0.0, "{rate}");
        assert_eq!(moved < 1e-3, rate == "1e-6", "{rate}: {moved}");
        write(&room, "pretrained = \"glove.txt\"");
    }
}

#[test]
fn vectors_that_are_missing_or_do_not_fit_are_named() {
    let room = room_with_reviews();
    room.write("recipes/short.txt", "great 1 2 3\nawful 4 5 6\n");
    room.write("recipes/strange.txt", "rien 1 2 3 4 5 6 7 8\n");
    room.write("recipes/damaged.txt", "great 1 2 3 4 5 6 7 8\nawful 1 2\n");
    for (file, parts) in [
        ("nowhere.txt", &["nowhere.txt"][..]),
        ("short.txt", &["short.txt", "units is 8", "3 numbers"]),
        ("strange.txt", &["strange.txt", "none of", "39"]),
        ("damaged.txt", &["damaged.txt", "awful"]),
        ("", &["pretrained"]),
    ] {
        write(&room, &format!("pretrained = {file:?}"));
        let output = train(&room, &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} in {said}");
        }
    }
    assert!(!room.path("models/shop").exists());
}

#[test]
fn a_sweep_begins_with_the_same_vectors_and_its_best_recipe_finds_them() {
    let room = room_with_reviews();
    room.write("recipes/glove.txt", glove());
    write(&room, "pretrained = \"glove.txt\"\ntrainable = false");
    let first = ["sweep", "recipes/shop.toml", "--data", "shop.tsv"];
    let grid = ["--grid", "units=4,6"];
    let output = room.run(&[&first[..], &grid].concat(), b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = room.run(&["train", "sweep/best.toml", "--data", "shop.tsv"], b"");
    assert!(output.status.success(), "{}", stderr(&output));
    let bundle = Bundle::load(&room.path("models/shop/1")).unwrap();
    assert_eq!(table(&bundle)["lovely"][0], value(3, 0));
}

#[test]
fn a_training_on_other_vectors_does_not_go_on_from_a_checkpoint() {
    let room = room_with_reviews();
    room.write("recipes/glove.txt", glove());
    write(&room, "pretrained = \"glove.txt\"\ntrainable = false");
    let checkpoint = ["--checkpoint", "kept", "--checkpoint-every", "1"];
    let whole = train(&room, &[]);
    assert!(whole.status.success(), "{}", stderr(&whole));
    // The folder where the model should go cannot be written, so the checkpoints stay.
    room.write("taken/shop", "");
    let args = [&checkpoint[..], &["--out", "taken"]].concat();
    assert!(!train(&room, &args).status.success());
    let again = train(&room, &[&checkpoint[..], &["--out", "again"]].concat());
    assert!(again.status.success(), "{}", stderr(&again));
    let printed = String::from_utf8(again.stdout).unwrap();
    assert!(printed.contains("goes on from"), "{printed}");
    let graph = |models: &str| std::fs::read(room.path(models).join("shop/1/model.onnx")).unwrap();
    assert_eq!(graph("again"), graph("models"));

    assert!(!train(&room, &args).status.success());
    room.write("recipes/glove.txt", glove().replace("great ", "grand "));
    let other = train(&room, &[&checkpoint[..], &["--out", "other"]].concat());
    let said = stderr(&other);
    assert!(
        !other.status.success() && said.contains("data is"),
        "{said}"
    );
}
