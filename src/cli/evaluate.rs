//! `sentiment evaluate`: how good a model is on labelled reviews.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::worker::Aside;
use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use super::feedback::{FeedbackArgs, is_feedback};
use super::open::OpenArgs;
use super::{Output, Progress, Usage};
use crate::bundle::{Confusion, Manifest, Measured};
use crate::config;
use crate::engine::{Engine, ItemError};
use crate::recipe::SourceRecipe;
use crate::sentiment::{Label, Score};
use crate::train::dataset::{Columns, DataArg, Format, Reading, Row, Rows};
use crate::train::report::{self, Answer, Table};
use crate::worker::FEEDBACK;

/// Rows scored together; a few of the engine's own windows, so that encoding one overlaps with running another.
const WINDOW: usize = 16_384;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A name, name@version, or a bundle's folder.
    #[arg(value_name = "MODEL")]
    model: String,
    /// Labelled reviews: a folder with pos/ and neg/, or .tsv, .csv, .jsonl, also as .gz or .xz.
    /// With --database, `feedback` is the feedback in the model's languages.
    #[arg(long, required = true, num_args = 1.., value_name = "[SOURCE=]PATH")]
    data: Vec<DataArg>,
    #[command(flatten)]
    feedback: FeedbackArgs,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t)]
    format: ResultFormat,
    /// A file for the score of every row, as JSON lines.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The text's column.
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// The label's or rating's column.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// A rating above this is positive [default: what the model's recipe says of the source].
    #[arg(long, value_name = "RATING", allow_negative_numbers = true, value_parser = config::finite)]
    label_above: Option<f64>,
    #[command(flatten)]
    open: OpenArgs,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ResultFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object.
    Json,
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Evaluation<'a> {
    model: &'a str,
    version: String,
    rows: u64,
    skipped: u64,
    accuracy: f64,
    auc: Option<f64>,
    loss: f64,
    ece: f64,
    confusion: Confusion,
    rows_per_second: f64,
    sources: BTreeMap<&'a str, SourceEvaluation<'a>>,
}

#[derive(Serialize)]
struct SourceEvaluation<'a> {
    path: &'a Path,
    label_above: Option<f64>,
    #[serde(flatten)]
    measured: &'a Measured,
}

/// One `--data`, ready to be read.
struct Source {
    name: String,
    /// As it was given.
    path: PathBuf,
    /// What is read.
    file: PathBuf,
    columns: Columns,
}

/// A row of `--output`.
#[derive(Serialize)]
struct ScoreLine<'a> {
    source: &'a str,
    row: u64,
    label: Label,
    predicted: Label,
    score: f64,
    raw_score: f64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let engine = args.open.open(&args.model)?;
    let manifest = &engine.bundle().manifest;
    let feedback = args.feedback.read(&args.data, &manifest.languages)?;
    let sources = sources(args, manifest, feedback.as_ref())?;
    let output = args.output.as_deref().map(Output::open).transpose()?;
    let mut scorer = Scorer {
        engine: &engine,
        answers: Vec::new(),
        skipped: 0,
        output,
        progress: Progress::new("evaluate"),
        started: Instant::now(),
    };
    for (at, source) in sources.iter().enumerate() {
        scorer.source(at, source)?;
    }
    let rows = scorer.answers.len();
    let rows_per_second = rows as f64 / scorer.started.elapsed().as_secs_f64();
    scorer
        .progress
        .finish(format_args!("{rows} rows, {rows_per_second:.0} rows/s"));
    if rows == 0 {
        anyhow::bail!("there is no row with a text that the model can read");
    }
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let split = report::measure_split(&scorer.answers, &names, manifest.calibration);
    if let Some(output) = scorer.output {
        output.finish()?;
    }
    let mut out = io::stdout().lock();
    match args.format {
        ResultFormat::Text => {
            writeln!(out, "{}@{}", manifest.name, manifest.version)?;
            for source in &sources {
                let labels = match source.columns.label_above {
                    Some(above) => format!("ratings above {above} are positive"),
                    None => "labels as they stand".to_owned(),
                };
                writeln!(out, "{}: {}, {labels}", source.name, source.path.display())?;
            }
            write!(out, "\n{}", Table(&split))?;
            if scorer.skipped > 0 {
                writeln!(
                    out,
                    "{} rows without a readable text were left out",
                    scorer.skipped
                )?;
            }
            writeln!(out, "\n{rows_per_second:.0} rows per second")?;
        }
        ResultFormat::Json => {
            let all = &split.all;
            let evaluation = Evaluation {
                model: &manifest.name,
                version: manifest.version.to_string(),
                rows: all.rows,
                skipped: scorer.skipped,
                accuracy: all.accuracy,
                auc: all.auc,
                loss: all.loss,
                ece: all.ece,
                confusion: all.confusion,
                rows_per_second,
                sources: sources
                    .iter()
                    .filter_map(|source| {
                        let evaluation = SourceEvaluation {
                            path: &source.path,
                            label_above: source.columns.label_above,
                            measured: split.sources.get(&source.name)?,
                        };
                        Some((source.name.as_str(), evaluation))
                    })
                    .collect(),
            };
            writeln!(out, "{}", serde_json::to_string(&evaluation)?)?;
        }
    }
    Ok(out.flush()?)
}

struct Scorer<'a> {
    engine: &'a Engine,
    answers: Vec<Answer>,
    skipped: u64,
    output: Option<Output>,
    progress: Progress,
    started: Instant,
}

impl Scorer<'_> {
    fn source(&mut self, at: usize, source: &Source) -> anyhow::Result<()> {
        let reading = Reading {
            columns: source.columns.clone(),
            labels: true,
        };
        let mut rows = Rows::open(&source.file, reading)?;
        loop {
            let window: Vec<Row> = rows.by_ref().take(WINDOW).collect::<Result<_, _>>()?;
            if window.is_empty() {
                return Ok(());
            }
            self.window(at, source, &window)?;
            let done = self.answers.len();
            let speed = done as f64 / self.started.elapsed().as_secs_f64();
            let name = &source.name;
            self.progress.at(
                rows.share(),
                format_args!("{name}, {done} rows, {speed:.0} rows/s"),
            );
        }
    }

    fn window(&mut self, at: usize, source: &Source, rows: &[Row]) -> anyhow::Result<()> {
        let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
        for (row, prediction) in rows.iter().zip(self.engine.predict_bulk(&texts)) {
            let Some(label) = row.label else { continue };
            let score = match prediction {
                Ok(prediction) => prediction.score,
                Err(ItemError::EmptyText) => {
                    self.skipped += 1;
                    continue;
                }
                Err(error) => {
                    let place = format!("{}, row {}", source.path.display(), row.number);
                    return Err(anyhow::Error::new(error).context(place));
                }
            };
            self.answers.push(Answer {
                label,
                logit: logit(score),
                source: at,
            });
            if let Some(output) = &mut self.output {
                let line = ScoreLine {
                    source: &source.name,
                    row: row.number,
                    label,
                    predicted: score.label(),
                    score: score.calibrated,
                    raw_score: score.raw,
                };
                let mut line = serde_json::to_vec(&line)?;
                line.push(b'\n');
                output.write_all(&line).context("cannot write the scores")?;
            }
        }
        Ok(())
    }
}

/// Back from the probability, which can stand at 0 or 1 where the logit was large.
fn logit(score: Score) -> f64 {
    let p = score.raw.clamp(f64::MIN_POSITIVE, 1.0 - f64::EPSILON);
    p.ln() - (-p).ln_1p()
}

/// What each `--data` is called and how it is read.
fn sources(
    args: &Args,
    manifest: &Manifest,
    feedback: Option<&Aside>,
) -> anyhow::Result<Vec<Source>> {
    let mut sources: Vec<Source> = Vec::new();
    for data in &args.data {
        if let Some(file) = feedback.filter(|_| is_feedback(data)) {
            sources.push(Source {
                name: FEEDBACK.to_owned(),
                path: data.path.clone(),
                file: file.path().to_owned(),
                columns: Columns::default(),
            });
            continue;
        }
        let known = known_source(data, &manifest.recipe.data.source);
        let folder = Format::of(&data.path)? == Format::Folder;
        let mut name = match (&data.source, known) {
            (Some(name), _) => name.clone(),
            (None, Some(known)) => known.name.clone(),
            (None, None) => stem(&data.path),
        };
        if sources.iter().any(|source| source.name == name) {
            if data.source.is_some() {
                return Err(Usage(format!("--data gives source {name:?} twice")).into());
            }
            name = data.path.display().to_string();
        }
        let mut columns = Columns {
            text: args.text.clone(),
            label: args.label.clone(),
            label_above: args.label_above,
        };
        if let Some(known) = known {
            columns.text = columns.text.or_else(|| known.text.clone());
            columns.label = columns.label.or_else(|| known.label.clone());
        }
        if columns.label_above.is_none() && !folder {
            columns.label_above = label_above(data, known, &manifest.recipe.data.source)?;
        }
        sources.push(Source {
            name,
            path: data.path.clone(),
            file: data.path.clone(),
            columns,
        });
    }
    Ok(sources)
}

/// The recipe's source that a path belongs to: the one named, else the one whose name the file's name holds.
fn known_source<'a>(data: &DataArg, recipe: &'a [SourceRecipe]) -> Option<&'a SourceRecipe> {
    if let Some(name) = &data.source {
        return recipe.iter().find(|source| source.name == *name);
    }
    let file = stem(&data.path).to_lowercase();
    let mut named = recipe
        .iter()
        .filter(|source| file.contains(&source.name.to_lowercase()));
    match (named.next(), named.next()) {
        (Some(one), None) => Some(one),
        _ => None,
    }
}

/// The recipe's threshold: of the source, or the one that all of its sources share.
fn label_above(
    data: &DataArg,
    known: Option<&SourceRecipe>,
    recipe: &[SourceRecipe],
) -> anyhow::Result<Option<f64>> {
    if let Some(known) = known {
        return Ok(known.label_above);
    }
    let mut all = recipe.iter().map(|source| source.label_above);
    let first = all.next().flatten();
    if all.all(|other| other == first) {
        return Ok(first);
    }
    let choices: Vec<String> = recipe
        .iter()
        .map(|source| {
            let above = source
                .label_above
                .map_or("words".to_owned(), |a| a.to_string());
            format!("{} ({above})", source.name)
        })
        .collect();
    Err(Usage(format!(
        "{}: the model's sources have different label_above, {}: give --label-above, or --data SOURCE=PATH",
        data.path.display(),
        choices.join(" and ")
    ))
    .into())
}

fn stem(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}
