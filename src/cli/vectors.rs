//! `sentiment vectors`: questions to sets of word vectors, and sets of one's own.

mod train;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Subcommand, ValueEnum};

use crate::vectors::{Method, Question, Similar, WordVectors, listed};

/// Ask and train sets of word vectors: word2vec (text and binary), GloVe, fastText .vec, plain or as .gz, .xz or .zip.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
    /// Read the first words alone.
    #[arg(long, global = true, value_name = "WORDS")]
    limit: Option<usize>,
    /// How answers are printed.
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A word and its score on a line.
    #[default]
    Text,
    /// JSON.
    Json,
}

#[derive(Debug, Subcommand)]
enum Action {
    Train(train::TrainArgs),
    /// The words most like some words and unlike others.
    Similar {
        /// The set.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Words to be like.
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// A is to B as C is to which words?
    Analogy {
        /// The set.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// A, B and C.
        #[arg(value_name = "WORD", num_args = 3, required = true)]
        words: Vec<String>,
        #[command(flatten)]
        asked: Asked,
    },
    /// The cosine of two words.
    Similarity {
        /// The set.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The two.
        #[arg(value_name = "WORD", num_args = 2, required = true)]
        words: Vec<String>,
    },
    /// The word that does not match the others.
    DoesntMatch {
        /// The set.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The words.
        #[arg(value_name = "WORD", required = true)]
        words: Vec<String>,
    },
    /// How many words and dimensions a set has, and how long it takes to read.
    Describe {
        /// The set.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What both kinds of question take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Asked {
    /// Words to be unlike, with commas between them; may be given more than once, and a comma alone is a word.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub negative: Vec<String>,
    /// How likeness is measured.
    #[arg(long, value_enum, default_value_t)]
    pub method: MethodArg,
    /// Most answers.
    #[arg(long, value_name = "WORDS", default_value = "10")]
    pub top: usize,
}

/// As [`Method`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum MethodArg {
    /// gensim's most_similar.
    #[default]
    Cosine,
    /// gensim's most_similar_cosmul.
    Cosmul,
}

impl Asked {
    /// The question with these words.
    pub fn ask(&self, vectors: &WordVectors, positive: &[String]) -> anyhow::Result<Vec<Similar>> {
        self.without(vectors, positive, &[])
    }

    /// The same with more words to be unlike.
    fn without(
        &self,
        vectors: &WordVectors,
        positive: &[String],
        more: &[String],
    ) -> anyhow::Result<Vec<Similar>> {
        let negative = self.negative.iter().flat_map(|list| listed(list));
        let negative: Vec<String> = negative.chain(more.iter().cloned()).collect();
        let question = Question {
            positive,
            negative: &negative,
            method: match self.method {
                MethodArg::Cosine => Method::Cosine,
                MethodArg::Cosmul => Method::CosMul,
            },
            top: self.top,
        };
        Ok(vectors.most_similar(question)?)
    }
}

/// Runs the command.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    let load = |file: &PathBuf| WordVectors::load(file, args.limit);
    let mut out = io::stdout().lock();
    match args.action {
        Action::Train(arguments) => {
            drop(out);
            return train::run(&arguments);
        }
        Action::Similar { file, words, asked } => {
            let answers = asked.ask(&load(&file)?, &words)?;
            write_similar(&mut out, &answers, args.format)?;
        }
        Action::Analogy { file, words, asked } => {
            // A is taken from what B and C are.
            let answers = asked.without(&load(&file)?, &words[1..], &words[..1])?;
            write_similar(&mut out, &answers, args.format)?;
        }
        Action::Similarity { file, words } => {
            let similarity = load(&file)?.similarity(&words[0], &words[1])?;
            match args.format {
                Format::Text => writeln!(out, "{similarity}")?,
                Format::Json => writeln!(out, "{}", serde_json::to_string(&similarity)?)?,
            }
        }
        Action::DoesntMatch { file, words } => {
            let vectors = load(&file)?;
            for word in words.iter().filter(|word| vectors.vector(word).is_none()) {
                super::note(format_args!("warning: there is no vector for {word:?}"));
            }
            let word = vectors.doesnt_match(&words)?;
            match args.format {
                Format::Text => writeln!(out, "{word}")?,
                Format::Json => writeln!(out, "{}", serde_json::to_string(&word)?)?,
            }
        }
        Action::Describe { file } => {
            let started = Instant::now();
            let vectors = load(&file)?;
            let seconds = started.elapsed().as_secs_f64();
            let (words, dimensions) = (vectors.len(), vectors.dimensions);
            match args.format {
                Format::Text => {
                    writeln!(
                        out,
                        "{words} words, {dimensions} dimensions, read in {seconds:.1} s"
                    )?;
                }
                Format::Json => {
                    let said = serde_json::json!({
                        "words": words, "dimensions": dimensions, "seconds": seconds,
                    });
                    writeln!(out, "{said}")?;
                }
            }
        }
    }
    Ok(out.flush()?)
}

/// Words with their scores.
pub(super) fn write_similar(
    out: &mut impl Write,
    answers: &[Similar],
    format: Format,
) -> anyhow::Result<()> {
    match format {
        Format::Json => writeln!(out, "{}", serde_json::to_string(answers)?)?,
        Format::Text => {
            for Similar { word, score } in answers {
                writeln!(out, "{word}\t{score:.6}")?;
            }
        }
    }
    Ok(())
}
