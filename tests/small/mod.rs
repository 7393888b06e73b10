//! A bundle whose answers can be told by hand: the logit is 4 times the mean of its words, which are worth +1, -1 or 0.

use std::path::Path;

use ndarray::ArrayD;
use sentiment::bundle::{self, Draft, GoldenRow, Metrics, TrainingRecord, Written};
use sentiment::recipe::Recipe;
use sentiment::sentiment::Calibration;
use sentiment::text::{Encoder, Moment};
use sentiment::train::export::export;
use sentiment::train::network::Network;
use sentiment::train::summary::summary;

/// The logit of a text whose words are all worth +1.
pub const LOGIT: f64 = 4.0;
/// The temperature of every bundle.
pub const TEMPERATURE: f64 = 2.0;

/// What a model is made of.
pub struct Small<'a> {
    pub name: &'a str,
    pub language: &'a str,
    /// `[[data.source]]` tables.
    pub sources: &'a str,
    /// Words worth +1, -1 and 0.
    pub words: [&'a str; 3],
}

impl Small<'_> {
    /// Publishes the model as its next version.
    pub fn publish(&self, models: &Path) -> Written {
        let Self {
            name,
            language,
            sources,
            words,
        } = self;
        let recipe = format!(
            r#"
name = "{name}"
languages = ["{language}"]
default_for = ["{language}"]
display = {{ positive = "+", negative = "-" }}
{sources}
[data]
[tokenizer]
[padding]
maxlen = 8
[[layers]]
kind = "embedding"
units = 1
mask_zero = true
[[layers]]
kind = "global_average_pooling"
[[layers]]
kind = "dense"
units = 1
activation = "sigmoid"
[fit]
"#
        );
        let recipe = Recipe::parse(&recipe, name).unwrap();
        let encoder = Encoder::fit(recipe.encoder_spec(), *words).unwrap();
        let encode = |text: &str| {
            let mut ids = Vec::new();
            encoder.encode(text, Moment::Serve, &mut ids);
            ids
        };
        let mut worth = ArrayD::zeros(vec![encoder.rows(), 1]);
        for (words, value) in words.iter().zip([1.0, -1.0, 0.0]) {
            for id in encode(words) {
                worth[[id as usize, 0]] = value;
            }
        }
        let mut network = Network::<f32>::build(&recipe.layers, encoder.rows(), 8, 1);
        network.layers[0].weights[0] = worth;
        network.layers[2].weights[0].fill(LOGIT as f32);
        network.layers[2].weights[1].fill(0.0);
        let proof = network.cast::<f64>();
        let golden = words.map(|text| {
            let ids = encode(text);
            let logit = proof.logits(&[&ids])[0];
            GoldenRow {
                text: text.to_owned(),
                ids,
                logit,
            }
        });
        let exported = export(&network, recipe.padding.padding).unwrap();
        let draft = Draft {
            seed: 1,
            trim: exported.trim,
            rows: encoder.rows(),
            layers: summary(&network),
            training: TrainingRecord::default(),
            metrics: Metrics::default(),
            calibration: Calibration {
                temperature: TEMPERATURE,
            },
            onnx: exported.onnx,
            tokenizer: encoder.to_json(),
            history: "{\"epochs\":[]}\n".to_owned(),
            curves: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_owned(),
            golden: golden.to_vec(),
            recipe,
        };
        bundle::write(models, draft).unwrap()
    }
}

/// An English model that has learned from shopping and movie reviews.
pub const ENGLISH: Small = Small {
    name: "english",
    language: "en",
    sources: "[[data.source]]\nname = \"shopping\"\nlabel_above = 3\n[[data.source]]\nname = \"movies\"\nlabel_above = 7",
    words: ["good great love", "bad awful hate", "the it was a"],
};

/// A Korean model with one source.
pub const KOREAN: Small = Small {
    name: "korean",
    language: "ko",
    sources: "[[data.source]]\nname = \"shopping\"\nlabel_above = 3",
    words: ["좋아요 최고", "별로 최악", "그냥 배송"],
};
