//! `sentiment data`: a look at reviews before anything is trained on them.

mod compose;
mod split;

use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::{Output, Usage};
use crate::bundle::{Bundle, folder};
use crate::config;
use crate::recipe::Recipe;
use crate::text::{Moment, TokenizerConfig};
use crate::train::dataset::input::without_mark;
use crate::train::dataset::{Columns, Format, Reading, Row, Rows, Survey};
use crate::train::histogram::histogram_svg;

/// Rows counted together.
const WINDOW: usize = 4096;

/// Look at reviews: counts, lengths, characters, words, ids.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Count rows, labels, duplicates, lengths as pandas describes them, characters and words.
    Describe(DescribeArgs),
    /// Tokens, ids and the padded row of each text, as JSON lines; or a matrix of counts.
    Encode(EncodeArgs),
    /// Write the rows that a training learns from, and those that it does not, as JSON lines.
    Split(split::SplitArgs),
    /// Compose labelled sentences from templates, to learn what reviews hardly show, such as negation.
    Compose(compose::ComposeArgs),
}

#[derive(Debug, clap::Args)]
struct DescribeArgs {
    /// Reviews: a folder with pos/ and neg/, or .tsv, .csv, .jsonl, also as .gz or .xz.
    #[arg(value_name = "PATH", required = true)]
    data: Vec<PathBuf>,
    /// The recipe whose cleaning, tokenizer and columns count [default: words, not cleaned].
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Without a recipe: tokens are characters.
    #[arg(long, conflicts_with = "recipe")]
    characters: bool,
    /// The text's column.
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// The label's or rating's column.
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// A rating above this is positive.
    #[arg(long, value_name = "RATING", allow_negative_numbers = true, value_parser = config::finite)]
    label_above: Option<f64>,
    /// A file for the histogram of lengths.
    #[arg(long, value_name = "FILE.svg")]
    histogram: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct EncodeArgs {
    /// The model whose tokenizer it is: a name, name@version, or a bundle's folder.
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// The folder of models.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    /// Texts: .txt, .tsv, .csv or .jsonl, also as .gz or .xz; - is standard input, a text a line.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
    /// Where the lines go; - is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// The text's column.
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,
    /// A row of numbers for each text in the place of its ids, as texts_to_matrix makes it.
    #[arg(long, value_enum)]
    matrix: Option<Matrix>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Matrix {
    Binary,
    Count,
    Freq,
    Tfidf,
}

impl Matrix {
    fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Count => "count",
            Self::Freq => "freq",
            Self::Tfidf => "tfidf",
        }
    }
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.action {
        Action::Describe(args) => describe(args),
        Action::Encode(args) => encode(args),
        Action::Split(args) => split::run(args),
        Action::Compose(args) => compose::run(args),
    }
}

fn describe(args: &DescribeArgs) -> anyhow::Result<()> {
    let recipe = args.recipe.as_deref().map(Recipe::load).transpose()?;
    let source = recipe
        .as_ref()
        .and_then(|recipe| recipe.data.source.first());
    let or = |given: &Option<String>, said: Option<&String>| given.clone().or(said.cloned());
    let columns = Columns {
        text: or(&args.text, source.and_then(|source| source.text.as_ref())),
        label: or(&args.label, source.and_then(|source| source.label.as_ref())),
        label_above: args
            .label_above
            .or(source.and_then(|source| source.label_above)),
    };
    let (rules, config) = match &recipe {
        Some(recipe) => {
            let trains = recipe.text.clean_at.contains(&Moment::Train);
            let rules = if trains {
                recipe.text.clean.clone()
            } else {
                vec![]
            };
            (rules, TokenizerConfig::from(&recipe.tokenizer))
        }
        None => {
            let config = TokenizerConfig {
                char_level: args.characters,
                ..TokenizerConfig::default()
            };
            (vec![], config)
        }
    };
    let unit = if config.char_level {
        "characters"
    } else {
        "words"
    };
    let mut survey = Survey::new(rules, config);
    for path in &args.data {
        let reading = Reading {
            columns: columns.clone(),
            labels: Format::of(path)? != Format::Lines,
        };
        let mut window = Vec::with_capacity(WINDOW);
        for row in Rows::open(path, reading)? {
            window.push(row?);
            if window.len() == WINDOW {
                survey.add(&window)?;
                window.clear();
            }
        }
        survey.add(&window)?;
    }
    if survey.rows == 0 {
        anyhow::bail!("there is no row with a text");
    }
    // First, since a reader of the rest may go away.
    if let Some(path) = &args.histogram {
        Output::put(path, histogram_svg(&survey.lengths, unit).as_bytes())?;
    }
    let mut out = io::stdout().lock();
    write!(out, "{survey}")?;
    Ok(out.flush()?)
}

fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    let bundle = Bundle::load(&folder::resolve(&args.models, &args.model)?)?;
    let encoder = &bundle.encoder;
    let reading = Reading {
        columns: Columns {
            text: args.text.clone(),
            ..Columns::default()
        },
        labels: false,
    };
    let rows: Box<dyn Iterator<Item = Result<Row, _>>> = if args.input.as_os_str() == "-" {
        let input = without_mark(Box::new(io::BufReader::new(io::stdin())))?;
        Box::new(Rows::over(input, &args.input, Format::Lines, reading)?)
    } else {
        Box::new(Rows::open(&args.input, reading)?)
    };
    let mut output = Output::open(&args.output)?;
    // A column for each id that the model reads, whichever way its ids are made.
    let mut columns = encoder.tokenizer().clone();
    columns.config.num_words = i64::try_from(encoder.rows()).ok();
    if args.matrix == Some(Matrix::Tfidf) && columns.document_count == 0 {
        return Err(Usage(format!(
            "{} has no document counts, which tfidf needs",
            args.model
        ))
        .into());
    }
    let mut ids = Vec::new();
    for row in rows {
        let row = row?;
        match args.matrix {
            None => serde_json::to_writer(&mut output, &encoder.tokenize(&row.text))?,
            Some(matrix) => {
                encoder.encode_whole(&row.text, Moment::Serve, &mut ids);
                let sequence = ids.iter().copied().map(Some).collect();
                let row = columns.sequences_to_matrix(&[sequence], matrix.name())?;
                serde_json::to_writer(&mut output, &row.iter().collect::<Vec<_>>())?;
            }
        }
        output.write_all(b"\n")?;
    }
    output.finish()
}
