//! A shop's reviews, small enough to learn in a moment, and a recipe for them.

use std::path::Path;

use crate::program::Room;

pub fn room_with_reviews() -> Room {
    let room = Room::new();
    room.write("shop.tsv", reviews(360));
    room
}

pub fn write_recipe(room: &Room, fit: &str) {
    let layers = r#"
[[layers]]
kind = "embedding"
units = 8
mask_zero = true
[[layers]]
kind = "spatial_dropout"
rate = 0.1
[[layers]]
kind = "lstm"
units = 8
[[layers]]
kind = "dropout"
rate = 0.2
"#;
    write_recipe_of(room, layers, fit);
}

/// A recipe of these layers and one dense unit behind them.
pub fn write_recipe_of(room: &Room, layers: &str, fit: &str) {
    room.write(
        "shop.toml",
        format!(
            r#"
name = "shop"
languages = ["en"]
default_for = ["en"]
[[data.source]]
name = "shop"
label_above = 3
[data]
shuffle_seed = 1
test = {{ split = "random", fraction = 0.2, seed = 2 }}
validation = {{ split = "random", fraction = 0.2, seed = 3 }}
[tokenizer]
num_words = 40
oov = "<OOV>"
[padding]
maxlen = 12
{layers}
[[layers]]
kind = "dense"
units = 1
activation = "sigmoid"
[fit]
learning_rate = 0.02
batch_size = 16
seed = 5
{fit}
"#
        ),
    );
}

/// Everything below `models`, by path.
pub fn published(room: &Room) -> Vec<String> {
    let mut found = Vec::new();
    list(&room.path("models"), "", &mut found);
    found.sort();
    found
}

fn list(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = folder.read_dir() else {
        return;
    };
    for entry in entries {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{name}/"), found);
        } else {
            found.push(name);
        }
    }
}

/// Ratings and reviews; one good or bad word decides, the others are noise.
fn reviews(count: usize) -> String {
    let noise = ["the", "parcel", "came", "on", "a", "day", "my", "box"];
    let row = |at: usize| {
        let (rating, word) = match at % 4 {
            0 => (5, "great"),
            1 => (1, "awful"),
            2 => (4, "lovely"),
            _ => (2, "broken"),
        };
        let words: Vec<&str> = (0..2 + at % 7)
            .map(|w| noise[(at * 5 + w * 3) % 8])
            .collect();
        format!("{rating}\t{} {word} n{at}\n", words.join(" "))
    };
    (0..count).map(row).collect()
}
