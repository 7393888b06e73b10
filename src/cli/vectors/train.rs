//! `sentiment vectors train`: word vectors from reviews that nobody has labelled, for an embedding to begin with.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use super::super::{Output, Progress, note};
use crate::recipe::Recipe;
use crate::text::Unfitted;
use crate::train::dataset::{Reading, Rows};
use crate::vectors::{Corpus, SkipGram};

/// Train word vectors on texts without labels: word2vec's skip-gram with negative sampling.
#[derive(Debug, clap::Args)]
pub(super) struct TrainArgs {
    /// The recipe that says how texts are cleaned and cut into tokens.
    #[arg(value_name = "RECIPE.toml")]
    recipe: PathBuf,
    /// Texts: .txt (one a line), .tsv, .csv, .jsonl, also as .gz or .xz, or a folder of .txt files.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    data: Vec<PathBuf>,
    /// Where the vectors go, as word2vec's text; - is standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The length of a vector.
    #[arg(long, default_value = "100")]
    dimensions: usize,
    /// The farthest that two words of a pair are apart.
    #[arg(long, value_name = "WORDS", default_value = "5")]
    window: usize,
    /// Words drawn for each pair that it is told from.
    #[arg(long, value_name = "WORDS", default_value = "5")]
    negative: usize,
    /// Rarer words have no vector.
    #[arg(long, value_name = "TIMES", default_value = "5")]
    min_count: u64,
    /// Words more frequent than this share are left out now and then; 0 leaves none out.
    #[arg(long, value_name = "SHARE", default_value = "1e-4")]
    sample: f64,
    /// Passes over the texts.
    #[arg(long, default_value = "5")]
    epochs: usize,
    /// The learning rate at the start.
    #[arg(long, value_name = "RATE", default_value = "0.025")]
    lr: f64,
    /// Seeds all that is drawn.
    #[arg(long, default_value = "1")]
    seed: u64,
}

pub(super) fn run(args: &TrainArgs) -> anyhow::Result<()> {
    let recipe = Recipe::load(&args.recipe)?;
    // Opened before the work, which would be lost without it.
    let mut out = Output::open(&args.out)?;
    let corpus = read(args, &Unfitted::new(&recipe.encoder_spec()))?;
    let (texts, words, started) = (corpus.len(), corpus.words(), Instant::now());
    let mut progress = Progress::new("vectors");
    let arguments = SkipGram {
        dimensions: args.dimensions,
        window: args.window,
        negative: args.negative,
        min_count: args.min_count,
        sample: args.sample,
        epochs: args.epochs,
        learning_rate: args.lr,
        seed: args.seed,
    };
    let vectors = arguments.train(corpus, |pass| {
        let said = format_args!("epoch {}/{}", pass.epoch, args.epochs);
        progress.at(Some(pass.done), said);
    })?;
    let kept = vectors.len();
    writeln!(out, "{kept} {}", vectors.dimensions)?;
    for word in vectors.words() {
        write!(out, "{word}")?;
        for number in vectors.vector(word).into_iter().flatten() {
            write!(out, " {number}")?;
        }
        writeln!(out)?;
    }
    out.finish()?;
    let seconds = started.elapsed().as_secs_f64();
    progress.finish(format!(
        "{kept} words of {words} in {texts} texts, {seconds:.0} s"
    ));
    Ok(())
}

fn read(args: &TrainArgs, tokens: &Unfitted) -> anyhow::Result<Corpus> {
    let mut corpus = Corpus::default();
    let mut passed_over = 0_u64;
    for path in &args.data {
        for row in Rows::open(path, Reading::default())? {
            match row {
                // The format has a space between a word and its numbers, and a line a word.
                Ok(row) => corpus.push(
                    tokens
                        .of(&row.text)?
                        .into_iter()
                        .filter(|token| !token.is_empty() && !token.contains(char::is_whitespace)),
                ),
                Err(error) if error.is_row() => {
                    note(format_args!("warning: {error}"));
                    passed_over += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    if passed_over > 0 {
        note(format_args!("warning: {passed_over} rows were passed over"));
    }
    Ok(corpus)
}
