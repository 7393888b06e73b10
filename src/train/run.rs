//! A whole training, read from top to bottom: split, fit the vocabulary, encode, fit the weights, measure, export, prove.

use std::path::Path;

use super::checkpoint::{CheckpointError, Checkpoints};
use super::curves::curves_svg;
use super::dataset::{Dataset, Splits, Statistics, describe};
use super::export::{self, ExportError, Proof, ProofError};
use super::fit::{Control, Event, FitError, Fitted, Row, Rows, fit};
use super::golden;
use super::network::Network;
use super::origin::{Origin, fingerprint};
use super::pretrained::{Pretrained, PretrainedError};
use super::report::{Answer, History, fit_temperature, measure_split};
use super::state::State;
use super::summary::summary;
use crate::bundle::{Draft, Metrics, PretrainedRecord, SourceRecord, TrainingRecord, UnreadRecord};
use crate::engine::session::Runtime;
use crate::recipe::{FitRecipe, Recipe, RecipeError};
use crate::sentiment::{Calibration, Label};
use crate::text::{Encoder, EncoderError, Moment};

/// Validation rows that the exported graph is proven on, beside the golden ones.
const PROOF_ROWS: usize = 200;

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The vocabulary.
    #[error(transparent)]
    Encoder(#[from] EncoderError),
    /// It asks for more than a machine can hold.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// No text of a split has a token.
    #[error("no {0} text has a token that the vocabulary knows")]
    NoTokens(&'static str),
    /// The vectors that the embedding begins with.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// The weights.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The graph.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The graph answers something else.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// What a recipe learns from.
#[derive(Clone, Copy)]
pub struct Reviews<'a> {
    /// The reviews.
    pub dataset: &'a Dataset,
    /// Which of them teach and which choose.
    pub splits: &'a Splits,
    /// Where the files lie that the recipe names.
    pub folder: &'a Path,
}

/// Rows that are ready to learn from.
pub struct Prepared {
    recipe: Recipe,
    encoder: Encoder,
    /// What the embedding begins with, unless it is drawn.
    pretrained: Option<Pretrained>,
    sources: Vec<SourceRecord>,
    train: Vec<Row>,
    validation: Encodings,
    test: Encodings,
    /// Rows, labels and lengths, for people.
    pub statistics: Statistics,
}

/// The rows of a split that is only scored.
#[derive(Default)]
struct Encodings {
    rows: Vec<Row>,
    sources: Vec<usize>,
    /// Rows of the data set that are not among these, as there is nothing to read in them.
    unread: Vec<usize>,
}

/// A trained network with all that was found out about it.
pub struct Trained {
    prepared: Prepared,
    network: Network<f32>,
    /// Every finished epoch.
    pub history: History,
    /// The epoch whose weights these are, from 1.
    pub best_epoch: usize,
    /// On validation and test rows.
    pub metrics: Metrics,
    /// From logit to score, fitted on validation.
    pub calibration: Calibration,
}

/// The end of the loop.
pub enum Finished {
    /// A network.
    Trained(Box<Trained>),
    /// The observer stopped it; with a network if an epoch was finished.
    Stopped(Option<Box<Trained>>),
}

impl Prepared {
    /// Fits the vocabulary on the training rows, encodes all of them, and reads the vectors that the embedding begins with.
    ///
    /// # Errors
    /// The vocabulary cannot be fitted, a split has nothing to learn from or to score, or the vectors are not usable.
    pub fn new(recipe: Recipe, reviews: Reviews<'_>) -> Result<Self, TrainError> {
        let Reviews {
            dataset,
            splits,
            folder,
        } = reviews;
        let texts = splits
            .train
            .iter()
            .map(|&row| dataset.examples[row].text.as_str());
        let encoder = Encoder::fit(recipe.encoder_spec(), texts)?;
        recipe.check_size(encoder.rows())?;
        let mut ids = Vec::new();
        let mut lengths = vec![0; dataset.examples.len()];
        let mut encode = |rows: &[usize]| {
            let mut encodings = Encodings::default();
            for &row in rows {
                let example = &dataset.examples[row];
                lengths[row] = encoder.encode(&example.text, Moment::Train, &mut ids).total;
                if let Some(ids) = model_row(&recipe, &encoder, &ids) {
                    let weight = dataset.sources[example.source].weight;
                    let label = example.label;
                    encodings.rows.push(Row { ids, label, weight });
                    encodings.sources.push(example.source);
                } else {
                    encodings.unread.push(row);
                }
            }
            encodings
        };
        let train = encode(&splits.train);
        let validation = encode(&splits.validation);
        let test = encode(&splits.test);
        for (name, rows, wanted) in [
            ("training", &train.rows, true),
            (
                "validation",
                &validation.rows,
                !splits.validation.is_empty(),
            ),
            ("test", &test.rows, !splits.test.is_empty()),
        ] {
            if wanted && rows.is_empty() {
                return Err(TrainError::NoTokens(name));
            }
        }
        let unread = |of: &Encodings| of.unread.len() as u64;
        Ok(Self {
            statistics: Statistics {
                unread: UnreadRecord {
                    train: unread(&train),
                    validation: unread(&validation),
                    test: unread(&test),
                },
                ..describe(dataset, splits, &lengths)
            },
            pretrained: Pretrained::read(&recipe, folder, &encoder)?,
            sources: records(dataset),
            recipe,
            encoder,
            train: train.rows,
            validation,
            test,
        })
    }

    /// What is trained, on what.
    pub fn origin(&self) -> Origin {
        self.origin_of(&self.recipe)
    }

    /// The same for another network on the same rows.
    pub fn origin_of(&self, recipe: &Recipe) -> Origin {
        Origin::new(recipe, self.fingerprint())
    }

    /// What is known of the vectors that the embedding begins with.
    pub fn pretrained(&self) -> Option<&PretrainedRecord> {
        self.pretrained.as_ref().map(|read| &read.record)
    }

    fn fingerprint(&self) -> String {
        data_fingerprint(&self.sources, self.pretrained())
    }

    /// The validation rows that are left out, by their place in the data set.
    pub fn unread_validation(&self) -> &[usize] {
        &self.validation.unread
    }

    /// The state before the first step.
    pub fn start(&self) -> State {
        self.drawn(&self.recipe)
    }

    /// The state before the first step of another network on the same rows, with the same embedding where that is read from
    /// a file.
    ///
    /// # Errors
    /// It asks for more than a machine can hold.
    pub fn start_of(&self, recipe: &Recipe) -> Result<State, RecipeError> {
        recipe.check_size(self.encoder.rows())?;
        Ok(self.drawn(recipe))
    }

    fn drawn(&self, recipe: &Recipe) -> State {
        let Recipe {
            layers,
            padding,
            fit,
            ..
        } = recipe;
        let mut network = Network::build(layers, self.encoder.rows(), padding.maxlen, fit.seed);
        if let Some(read) = &self.pretrained {
            let embedding = network.layers[0].weights[0].iter_mut();
            for (weight, value) in embedding.zip(read.table()) {
                *weight = *value;
            }
        }
        State::new(network, fit)
    }

    /// Trains on the current rayon pool, from a state on, and measures nothing beyond the epochs. Where there are checkpoints,
    /// one is written whenever it is due and when the observer stops.
    ///
    /// # Errors
    /// The loss is no number, or a checkpoint cannot be written.
    pub fn fit(
        &self,
        start: State,
        recipe: &FitRecipe,
        checkpoints: Option<&Checkpoints>,
        observe: &mut dyn FnMut(Event<'_>) -> Control,
    ) -> Result<Fitted, TrainError> {
        let rows = Rows {
            train: &self.train,
            validation: &self.validation.rows,
        };
        let mut unwritten = None;
        let mut observe = |event: Event<'_>| {
            let state = event.state;
            let control = observe(event);
            if let Some(checkpoints) = checkpoints
                && (control == Control::Stop || checkpoints.due(state))
                && let Err(error) = checkpoints.write(state)
            {
                unwritten = Some(error);
                return Control::Stop;
            }
            control
        };
        let fitted = fit(start, rows, recipe, &mut observe)?;
        match unwritten {
            Some(error) => Err(error.into()),
            None => Ok(fitted),
        }
    }

    /// The same, and then calibrates on validation and scores validation and test.
    ///
    /// # Errors
    /// The loss is no number, or a checkpoint cannot be written.
    pub fn train(
        self,
        start: State,
        checkpoints: Option<&Checkpoints>,
        observe: &mut dyn FnMut(Event<'_>) -> Control,
    ) -> Result<Finished, TrainError> {
        let fitted = self.fit(start, &self.recipe.fit, checkpoints, observe)?;
        let Some(network) = fitted.network else {
            return Ok(Finished::Stopped(None));
        };
        let names: Vec<String> = self.sources.iter().map(|s| s.name.clone()).collect();
        let validation = self.validation.answers(&network);
        let calibration = fit_temperature(&validation);
        let measured = |answers: &[Answer]| {
            (!answers.is_empty()).then(|| measure_split(answers, &names, calibration))
        };
        let metrics = Metrics {
            validation: measured(&validation),
            test: measured(&self.test.answers(&network)),
        };
        let trained = Box::new(Trained {
            prepared: self,
            network,
            history: fitted.history,
            best_epoch: fitted.best_epoch,
            metrics,
            calibration,
        });
        Ok(match fitted.stopped {
            true => Finished::Stopped(Some(trained)),
            false => Finished::Trained(trained),
        })
    }
}

impl Encodings {
    fn answers(&self, network: &Network<f32>) -> Vec<Answer> {
        let ids: Vec<&[i64]> = self.rows.iter().map(|row| row.ids.as_slice()).collect();
        let rows = self.rows.iter().zip(&self.sources);
        rows.zip(network.logits(&ids))
            .map(|((row, &source), logit)| Answer {
                label: row.label,
                logit: f64::from(logit),
                source,
            })
            .collect()
    }
}

impl Trained {
    /// Exports the network, proves the graph in ONNX Runtime against the network in double precision, and puts together
    /// everything that a bundle holds.
    ///
    /// # Errors
    /// The graph cannot be made, or answers something else.
    pub fn into_draft(self, runtime: &Runtime) -> Result<(Draft, Proof), TrainError> {
        let fingerprint = self.prepared.fingerprint();
        let Prepared {
            recipe,
            encoder,
            pretrained,
            sources,
            train,
            validation,
            test,
            statistics,
            ..
        } = self.prepared;
        let exported = export::export(&self.network, recipe.padding.padding)?;
        let exact = self.network.cast::<f64>();
        let golden = golden::rows(&recipe, &encoder, &exact);
        let sample: Vec<&[i64]> = validation.rows.iter().map(|row| &*row.ids).collect();
        let sample = &sample[..sample.len().min(PROOF_ROWS)];
        let logits = exact.logits(sample);
        let rows: Vec<(&[i64], f64)> = golden
            .iter()
            .map(|row| (&*row.ids, row.logit))
            .chain(sample.iter().copied().zip(logits))
            .collect();
        let proof = export::prove(runtime, &exported, &recipe.padding, &rows)?;
        let training = TrainingRecord {
            fingerprint,
            sources,
            train_rows: train.len() as u64,
            validation_rows: validation.rows.len() as u64,
            test_rows: test.rows.len() as u64,
            unread: statistics.unread,
            epochs: self.history.epochs.len() as u32,
            best_epoch: self.best_epoch as u32,
            seconds: self.history.epochs.iter().map(|e| e.seconds).sum(),
            pretrained: pretrained.map(|read| read.record),
            imported: None,
        };
        let draft = Draft {
            seed: recipe.fit.seed,
            trim: exported.trim,
            rows: encoder.rows(),
            layers: summary(&self.network),
            training,
            metrics: self.metrics,
            calibration: self.calibration,
            onnx: exported.onnx,
            tokenizer: encoder.to_json(),
            history: serde_json::to_string_pretty(&self.history).expect("numbers and names"),
            curves: curves_svg(&self.history),
            golden,
            recipe,
        };
        Ok((draft, proof))
    }
}

/// The row that the network reads: as it is where pads are masked, else padded to `maxlen`; none where a masked network
/// would have nothing to read.
pub fn model_row(recipe: &Recipe, encoder: &Encoder, ids: &[i64]) -> Option<Vec<i64>> {
    if recipe.masked() {
        return (!ids.is_empty()).then(|| ids.to_vec());
    }
    let mut row = Vec::with_capacity(recipe.padding.maxlen);
    encoder.pad(ids, recipe.padding.maxlen, &mut row);
    Some(row)
}

fn data_fingerprint(sources: &[SourceRecord], pretrained: Option<&PretrainedRecord>) -> String {
    let vectors = pretrained.map(|read| &*read.fingerprint);
    let sources = sources.iter().map(|source| &*source.fingerprint);
    fingerprint(sources.chain(vectors))
}

fn records(dataset: &Dataset) -> Vec<SourceRecord> {
    let count = |at: usize, label: Label| {
        let own = |e: &&super::dataset::Example| e.source == at && e.label == label;
        dataset.examples.iter().filter(own).count() as u64
    };
    let sources = dataset.sources.iter().enumerate();
    sources
        .map(|(at, source)| SourceRecord {
            name: source.name.clone(),
            rows: source.rows,
            positive: count(at, Label::Positive),
            negative: count(at, Label::Negative),
            skipped: source.skipped,
            duplicates: source.duplicates,
            weight: source.weight,
            fingerprint: source.fingerprint.clone(),
        })
        .collect()
}
