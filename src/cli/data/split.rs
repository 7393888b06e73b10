//! `sentiment data split`: the rows that a training learns from and those that it does not, written out.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::ValueEnum;

use super::super::{Output, say};
use crate::config;
use crate::recipe::{DataRecipe, Recipe, SourceRecipe, Split, SplitKind};
use crate::sentiment::Label;
use crate::train::dataset::{self, DataArg, Dataset};

/// Which rows are set apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A random share, drawn with a seed: as many as scikit-learn's train_test_split takes.
    Random,
    /// The last ones, as Keras's validation_split takes them.
    Tail,
}

#[derive(Debug, clap::Args)]
pub(super) struct SplitArgs {
    /// Reviews: a folder with pos/ and neg/, or .tsv, .csv, .jsonl, also as .gz or .xz; one for each source of the recipe.
    #[arg(value_name = "[SOURCE=]PATH", required = true)]
    data: Vec<DataArg>,
    /// The folder for train.jsonl, validation.jsonl and test.jsonl.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The recipe whose [data] table says what is split off; without one, test.jsonl is.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["split", "fraction", "seed", "shuffle_seed", "dedupe", "label_above"])]
    recipe: Option<PathBuf>,
    /// Which rows.
    #[arg(long, value_enum, default_value = "random")]
    split: Kind,
    /// The share of rows, over 0 and under 1.
    #[arg(long, value_name = "SHARE", default_value = "0.2")]
    fraction: f64,
    /// Seeds what is drawn at random.
    #[arg(long, default_value = "42")]
    seed: u64,
    /// Shuffles all rows before they are split.
    #[arg(long, value_name = "SEED")]
    shuffle_seed: Option<u64>,
    /// Drops rows whose text was there before.
    #[arg(long)]
    dedupe: bool,
    /// A rating above this is positive.
    #[arg(long, value_name = "RATING", allow_negative_numbers = true, value_parser = config::finite)]
    label_above: Option<f64>,
}

pub(super) fn run(args: &SplitArgs) -> anyhow::Result<()> {
    let recipe = match &args.recipe {
        Some(path) => Recipe::load(path)?.data,
        None => recipe(args)?,
    };
    let dataset = dataset::read(&recipe, &args.data)?;
    let splits = dataset::split(&recipe, &dataset)?;
    fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    for (name, rows) in [
        ("train", &splits.train),
        ("validation", &splits.validation),
        ("test", &splits.test),
    ] {
        if rows.is_empty() {
            continue;
        }
        let path = args.out.join(format!("{name}.jsonl"));
        let mut output = Output::open(&path)?;
        write(&mut output, &dataset, rows)
            .with_context(|| format!("cannot write {}", path.display()))?;
        output.finish()?;
        let positive = |row: &&usize| dataset.examples[**row].label == Label::Positive;
        let positive = rows.iter().filter(positive).count();
        say(format_args!(
            "{}: {} reviews, {positive} positive, {} negative\n",
            path.display(),
            rows.len(),
            rows.len() - positive
        ));
    }
    Ok(())
}

/// A source for each path.
fn recipe(args: &SplitArgs) -> anyhow::Result<DataRecipe> {
    anyhow::ensure!(
        args.fraction > 0.0 && args.fraction < 1.0,
        "--fraction must be over 0 and under 1"
    );
    let source = |(at, given): (usize, &DataArg)| SourceRecipe {
        name: given.source.clone().unwrap_or_else(|| at.to_string()),
        label_above: args.label_above,
        weight: 1.0,
        train_only: false,
        text: None,
        label: None,
    };
    Ok(DataRecipe {
        source: args.data.iter().enumerate().map(source).collect(),
        dedupe: args.dedupe,
        shuffle_seed: args.shuffle_seed,
        validation: None,
        test: Some(Split {
            split: match args.split {
                Kind::Random => SplitKind::Random,
                Kind::Tail => SplitKind::Tail,
            },
            fraction: args.fraction,
            seed: args.seed,
        }),
    })
}

/// A JSON object a line, which every command here reads.
fn write(output: &mut Output, dataset: &Dataset, rows: &[usize]) -> std::io::Result<()> {
    for &row in rows {
        let example = &dataset.examples[row];
        let line = serde_json::json!({
            "text": example.text,
            "label": example.label.as_str(),
            "source": dataset.sources[example.source].name,
        });
        writeln!(output, "{line}")?;
    }
    Ok(())
}
