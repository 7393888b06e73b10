//! A network as `summary()` of Keras 2.15 prints a Sequential model, to the byte.

use std::fmt;

use crate::bundle::LayerSummary;

/// The width of a line, and where its three columns end.
const WIDTH: usize = 65;
const ENDS: [usize; 3] = [29, 55, WIDTH];

/// A model's name and layers.
pub(super) struct Summary<'a> {
    pub name: &'a str,
    pub layers: &'a [LayerSummary],
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Model: \"{}\"", self.name)?;
        writeln!(f, "{}", "_".repeat(WIDTH))?;
        row(f, ["Layer (type)", "Output Shape", "Param #"])?;
        writeln!(f, "{}", "=".repeat(WIDTH))?;
        for layer in self.layers {
            let shape: Vec<String> = layer
                .output_shape
                .iter()
                .map(|size| size.map_or("None".to_owned(), |size| size.to_string()))
                .collect();
            row(
                f,
                [
                    &*format!("{} ({})", layer.name, layer.kind),
                    &*format!("({})", shape.join(", ")),
                    &*layer.parameters.to_string(),
                ],
            )?;
            writeln!(f, "{}", " ".repeat(WIDTH))?;
        }
        writeln!(f, "{}", "=".repeat(WIDTH))?;
        let sum = |wanted: fn(&&LayerSummary) -> bool| -> u64 {
            let layers = self.layers.iter().filter(wanted);
            layers.map(|layer| layer.parameters).sum()
        };
        for (what, parameters) in [
            ("Total", sum(|_| true)),
            ("Trainable", sum(|layer| layer.trainable)),
            ("Non-trainable", sum(|layer| !layer.trainable)),
        ] {
            writeln!(f, "{what} params: {parameters} ({})", size(4 * parameters))?;
        }
        writeln!(f, "{}", "_".repeat(WIDTH))
    }
}

/// On as many lines as the longest cell needs. All columns but the last end with two spaces and begin one behind the margin.
fn row(f: &mut fmt::Formatter<'_>, cells: [&str; 3]) -> fmt::Result {
    let mut left = cells;
    while left.iter().any(|cell| !cell.is_empty()) {
        let mut line = " ".to_owned();
        let mut start = 0;
        for (cell, end) in left.iter_mut().zip(ENDS) {
            let room = end - start - if end == WIDTH { 0 } else { 3 };
            let at = cell.char_indices().nth(room);
            let (shown, rest) = cell.split_at(at.map_or(cell.len(), |(at, _)| at));
            line += shown;
            *cell = rest;
            let length = line.chars().count();
            line += &" ".repeat(end.saturating_sub(length));
            start = end;
        }
        writeln!(f, "{line}")?;
    }
    Ok(())
}

/// As Keras writes a number of bytes.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["Byte", "KB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    for unit in UNITS {
        if size < 1024.0 {
            return format!("{size:.2} {unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.2} PB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{LayerRecipe, Merge, Recipe, Recurrent};
    use crate::train::network::Network;
    use crate::train::summary::summary;

    /// What `tests/reference/keras_summary.py` had Keras print.
    fn printed(name: &str) -> String {
        let root = env!("CARGO_MANIFEST_DIR");
        let path = format!("{root}/tests/fixtures/keras_summary/{name}.txt");
        std::fs::read_to_string(path).expect("the fixture is there")
    }

    fn ours(name: &str, layers: &[LayerRecipe], (rows, maxlen): (usize, usize)) -> String {
        let network = Network::<f32>::build(layers, rows, maxlen, 1);
        let layers = summary(&network);
        Summary {
            name,
            layers: &layers,
        }
        .to_string()
    }

    #[test]
    fn the_courses_networks_are_printed_as_keras_prints_them() {
        for (name, parameters) in [
            ("course-imdb-dense", "Total params: 336001 (1.28 MB)\n"),
            ("course-imdb-rnn", "Total params: 324193 (1.24 MB)\n"),
            ("course-imdb-lstm", "Total params: 357281 (1.36 MB)\n"),
        ] {
            let root = env!("CARGO_MANIFEST_DIR");
            let path = format!("{root}/models/recipes/{name}.toml");
            let recipe = Recipe::load(path.as_ref()).expect("the recipe is one");
            let rows = recipe.tokenizer.num_words.expect("it says so");
            let found = ours(name, &recipe.layers, (rows, recipe.padding.maxlen));
            assert_eq!(found, printed(name));
            assert!(found.contains(parameters), "{found}");
        }
    }

    #[test]
    fn long_names_small_sizes_and_frozen_weights_are_printed_as_keras_prints_them() {
        let mut embedding = crate::recipe::Embedding::new(8, false);
        embedding.trainable = false;
        let both_ways = Recurrent {
            bidirectional: Some(Merge::Concat),
            ..Recurrent::new(12, true)
        };
        let layers = [
            LayerRecipe::Embedding(embedding),
            LayerRecipe::SpatialDropout { rate: 0.2 },
            LayerRecipe::Lstm(both_ways),
            LayerRecipe::Gru(Recurrent::new(5, true)),
            LayerRecipe::GlobalAveragePooling {},
            LayerRecipe::Dropout { rate: 0.1 },
            LayerRecipe::Dense {
                units: 1,
                activation: crate::recipe::Activation::Sigmoid,
            },
        ];
        assert_eq!(ours("frozen", &layers, (50, 7)), printed("frozen"));
    }
}
