//! `sentiment predict`: texts in, an answer a line out, in order and in bounded memory.

use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::open::OpenArgs;
use super::{Output, Progress};
use crate::bundle::Manifest;
use crate::catalog::{Catalog, Route, RouteError, Wish};
use crate::engine::{Closer, Contribution, Engine, ItemError, Prediction, Seen, Sentence};
use crate::sentiment::Label;
use crate::train::dataset::{Columns, DataError, Format, Reading, Row, Rows, input};

/// Rows answered together; a few of the engine's own windows, so that encoding one overlaps with running another.
const WINDOW: usize = 16_384;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name, name@version, or a bundle's folder [default: for each text the model that serves its language].
    #[arg(long)]
    model: Option<String>,
    /// Texts: .txt, .tsv, .csv or .jsonl, also as .gz or .xz; - is standard input, a text a line.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Where the answers go, as JSON lines; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// What the input holds [default: what its name says].
    #[arg(long, value_enum)]
    format: Option<TextFormat>,
    /// The text's column.
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// The sentiment of each sentence too.
    #[arg(long)]
    sentences: bool,
    /// What each word, or group of words of a long text, moved: it is left out once.
    #[arg(long)]
    explain: bool,
    /// Without --model: the model for texts without any letters.
    #[arg(long, value_name = "NAME", conflicts_with = "model")]
    default_model: Option<String>,
    #[command(flatten)]
    open: OpenArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TextFormat {
    /// A text a line.
    Lines,
    /// Fields between tabs.
    Tsv,
    /// Comma-separated values with a header.
    Csv,
    /// A JSON object or string a line.
    Jsonl,
}

impl From<TextFormat> for Format {
    fn from(format: TextFormat) -> Self {
        match format {
            TextFormat::Lines => Self::Lines,
            TextFormat::Tsv => Self::Tsv,
            TextFormat::Csv => Self::Csv,
            TextFormat::Jsonl => Self::Jsonl,
        }
    }
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let rows = open_rows(args)?;
    let models = match &args.model {
        Some(model) => Models::One(Arc::new(args.open.open(model)?)),
        None => Models::ByLanguage(args.open.catalog(args.default_model.clone())?),
    };
    let mut work = Work {
        models,
        closer: Closer {
            sentences: args.sentences,
            explain: args.explain,
        },
        output: Output::open(&args.output)?,
        progress: Progress::new("predict"),
        started: Instant::now(),
        done: 0,
        failed: 0,
    };
    work.all(rows)?;
    let Work {
        output,
        progress,
        started,
        done,
        failed,
        ..
    } = work;
    output.finish()?;
    let speed = done as f64 / started.elapsed().as_secs_f64();
    progress.finish(match failed {
        0 => format!("{done} texts, {speed:.0} texts/s"),
        _ => format!("{done} texts, {failed} of them without an answer, {speed:.0} texts/s"),
    });
    Ok(())
}

fn open_rows(args: &Args) -> anyhow::Result<Rows> {
    let reading = Reading {
        columns: Columns {
            text: args.text.clone(),
            ..Columns::default()
        },
        labels: false,
    };
    let given = args.format.map(Format::from);
    if args.input == Path::new("-") {
        let bytes = input::without_mark(Box::new(BufReader::new(io::stdin())))
            .context("cannot read standard input")?;
        let name = Path::new("standard input");
        return Ok(Rows::over(
            bytes,
            name,
            given.unwrap_or(Format::Lines),
            reading,
        )?);
    }
    let format = match given {
        Some(format) => format,
        None => Format::of(&args.input)?,
    };
    Ok(Rows::open_as(&args.input, format, reading)?)
}

/// Where texts go.
enum Models {
    /// To this one.
    One(Arc<Engine>),
    /// To the one that serves their language.
    ByLanguage(Catalog),
}

impl Models {
    fn route(&self, row: &Row) -> Result<Route, RouteError> {
        let language = row.language.as_deref();
        match self {
            Self::One(engine) => Route::to(Arc::clone(engine), &row.text, language),
            Self::ByLanguage(catalog) => {
                let wish = Wish {
                    model: None,
                    language,
                };
                catalog.route(&row.text, wish)
            }
        }
    }
}

struct Work {
    models: Models,
    closer: Closer,
    output: Output,
    progress: Progress,
    started: Instant,
    done: u64,
    failed: u64,
}

impl Work {
    fn all(&mut self, mut rows: Rows) -> anyhow::Result<()> {
        loop {
            let mut window = Vec::new();
            for row in rows.by_ref().take(WINDOW) {
                match row {
                    Err(error) if !error.is_row() => return Err(error.into()),
                    row => window.push(row),
                }
            }
            if window.is_empty() {
                return Ok(());
            }
            self.window(&window)?;
            let done = self.done;
            let speed = done as f64 / self.started.elapsed().as_secs_f64();
            self.progress.at(
                rows.share(),
                format_args!("{done} texts, {speed:.0} texts/s"),
            );
        }
    }

    fn window(&mut self, rows: &[Result<Row, DataError>]) -> anyhow::Result<()> {
        let mut places: Vec<Result<Place, Fault>> = Vec::with_capacity(rows.len());
        let mut batches: Vec<Batch> = Vec::new();
        for row in rows {
            places.push(match row {
                Err(error) => Err(Fault::of_row(error)),
                Ok(row) => match self.models.route(row) {
                    Err(error) => Err(Fault::of_route(&error)),
                    Ok(route) => Ok(Batch::add(&mut batches, route, &row.text)),
                },
            });
        }
        for batch in &mut batches {
            batch.answers = batch.engine.predict_bulk(&batch.texts);
        }
        for (row, place) in rows.iter().zip(places) {
            let id = row.as_ref().ok().and_then(|row| row.id.as_ref());
            let answer = place.and_then(|place| {
                let batch = &batches[place.batch];
                let manifest = &batch.engine.bundle().manifest;
                let prediction = batch.answers[place.at].map_err(Fault::of_item)?;
                let seen = match self.closer.any() {
                    true => {
                        let text = batch.texts[place.at];
                        let seen = batch.engine.look_at(text, &prediction, self.closer);
                        seen.map_err(Fault::of_item)?
                    }
                    false => Seen::default(),
                };
                let language = place.language;
                Ok(AnswerLine::new(id, prediction, manifest, language, seen))
            });
            let mut line = match answer {
                Ok(answer) => serde_json::to_vec(&answer)?,
                Err(error) => {
                    self.failed += 1;
                    serde_json::to_vec(&FaultLine {
                        index: self.done,
                        id,
                        error,
                    })?
                }
            };
            line.push(b'\n');
            self.output
                .write_all(&line)
                .context("cannot write the answers")?;
            self.done += 1;
        }
        // Whoever reads along sees each window when it is done.
        Ok(self.output.flush()?)
    }
}

/// The texts of a window that go to one model.
struct Batch<'a> {
    engine: Arc<Engine>,
    texts: Vec<&'a str>,
    answers: Vec<Result<Prediction, ItemError>>,
}

/// Where a text's answer will be.
struct Place {
    batch: usize,
    at: usize,
    language: String,
}

impl<'a> Batch<'a> {
    fn add(batches: &mut Vec<Self>, route: Route, text: &'a str) -> Place {
        let Route { engine, language } = route;
        let known = batches
            .iter()
            .position(|batch| Arc::ptr_eq(&batch.engine, &engine));
        let batch = known.unwrap_or_else(|| {
            batches.push(Self {
                engine,
                texts: Vec::new(),
                answers: Vec::new(),
            });
            batches.len() - 1
        });
        let texts = &mut batches[batch].texts;
        texts.push(text);
        Place {
            batch,
            at: texts.len() - 1,
            language,
        }
    }
}

/// One answer, shaped as HTTP's.
#[derive(Serialize)]
struct AnswerLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    label: Label,
    score: f64,
    raw_score: f64,
    confidence: f64,
    display: &'a str,
    model: &'a str,
    version: String,
    language: String,
    tokens: Tokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentences: Option<Vec<Sentence>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Vec<Contribution>>,
}

#[derive(Serialize)]
struct Tokens {
    used: usize,
    total: usize,
    unknown: usize,
    truncated: bool,
}

impl<'a> AnswerLine<'a> {
    fn new(
        id: Option<&'a Value>,
        Prediction { score, encoded, .. }: Prediction,
        manifest: &'a Manifest,
        language: String,
        seen: Seen,
    ) -> Self {
        Self {
            id,
            label: score.label(),
            score: score.calibrated,
            raw_score: score.raw,
            confidence: score.confidence(),
            display: manifest.display.of(score.label()),
            model: &manifest.name,
            version: manifest.version.to_string(),
            language,
            tokens: Tokens {
                used: encoded.used,
                total: encoded.total,
                unknown: encoded.unknown,
                truncated: encoded.truncated,
            },
            sentences: seen.sentences,
            explanation: seen.explanation,
        }
    }
}

/// A text without an answer.
#[derive(Serialize)]
struct FaultLine<'a> {
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Value>,
    error: Fault,
}

#[derive(Serialize)]
struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    fn of_row(error: &DataError) -> Self {
        Self {
            code: "invalid_request",
            message: error.to_string(),
        }
    }

    fn of_route(error: &RouteError) -> Self {
        Self {
            code: match error {
                RouteError::UnknownModel(_) => "unknown_model",
                RouteError::UnsupportedLanguage(_) => "unsupported_language",
                RouteError::NotReady { .. } | RouteError::NoModels(_) => "not_ready",
            },
            message: error.to_string(),
        }
    }

    fn of_item(error: ItemError) -> Self {
        Self {
            code: match error {
                ItemError::EmptyText => "empty_text",
                ItemError::DeadlineExceeded => "deadline_exceeded",
                ItemError::Failed => "internal",
            },
            message: error.to_string(),
        }
    }
}
