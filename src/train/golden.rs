//! Golden rows: made-up texts over the model's own vocabulary, with the ids and the logits they must always have.
//!
//! They hold no review: tokens are drawn at random, so a bundle gives nothing of its training data away but its words.

use rand::RngExt as _;

use super::init::generator;
use super::network::Network;
use super::run::model_row;
use crate::bundle::GoldenRow;
use crate::recipe::Recipe;
use crate::text::{Encoder, Level, Moment};

/// Texts of each length.
const EACH: usize = 3;

/// Golden rows of all lengths up to one that is cut; texts that become nothing are left out.
pub fn rows(recipe: &Recipe, encoder: &Encoder, network: &Network<f64>) -> Vec<GoldenRow> {
    let mut rows = texts(recipe, encoder);
    let read = rows
        .iter()
        .filter_map(|row| model_row(recipe, encoder, &row.ids));
    let read: Vec<Vec<i64>> = read.collect();
    let read: Vec<&[i64]> = read.iter().map(Vec::as_slice).collect();
    for (row, logit) in rows.iter_mut().zip(network.logits(&read)) {
        row.logit = logit;
    }
    rows
}

/// The same without the logits.
pub fn texts(recipe: &Recipe, encoder: &Encoder) -> Vec<GoldenRow> {
    let mut noise = generator(recipe.fit.seed);
    let words: Vec<&String> = encoder.tokenizer().word_index.keys().collect();
    // The first words are the frequent ones: half of the tokens come from there.
    let frequent = words.len().min(100);
    let separator = match recipe.tokenizer.level {
        Level::Word => recipe.tokenizer.split.as_str(),
        Level::Char => "",
    };
    let maxlen = recipe.padding.maxlen;
    let mut texts = Vec::new();
    for length in [1, 2, 5, 12, 40, maxlen / 2, maxlen, maxlen + 7] {
        for _ in 0..EACH {
            let tokens: Vec<&str> = (0..length.max(1))
                .map(|_| {
                    let among = if noise.random() {
                        frequent
                    } else {
                        words.len()
                    };
                    words[noise.random_range(0..among)].as_str()
                })
                .collect();
            texts.push(tokens.join(separator));
        }
    }
    texts.push("\u{2603}\u{fe0f} ~ ???".to_owned());
    let mut rows = Vec::new();
    for text in texts {
        let mut ids = Vec::new();
        encoder.encode(&text, Moment::Serve, &mut ids);
        if !ids.is_empty() {
            let logit = 0.0;
            rows.push(GoldenRow { text, ids, logit });
        }
    }
    rows
}
