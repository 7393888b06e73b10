//! `sentiment import`: a model of Keras or an ONNX graph in, a bundle out.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::{Usage, say};
use crate::bundle;
use crate::engine::session::Runtime;
use crate::import::{Head, Request, Served, VocabularyArguments, import};
use crate::recipe::{Display, NAMES, valid_name};
use crate::text::{CleanRule, Side, TextSpec};

/// Publish a model that was trained elsewhere as the next version in a folder of models: Keras .h5 and .keras, or .onnx.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's name from now on.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The model: .h5 of Keras 2 or 3, .keras, or .onnx of tf2onnx or Keras 3.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Its words: Keras's `Tokenizer.to_json()`, or a JSON object of ids by word.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// The folder of models.
    #[arg(long, value_name = "DIR", default_value = "models")]
    out: PathBuf,
    /// Languages, the main one first.
    #[arg(long, value_name = "CODE", value_delimiter = ',', default_value = "en")]
    languages: Vec<String>,
    /// Languages whose texts go to this model when a request names none.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    default_for: Vec<String>,
    /// How positive is shown.
    #[arg(long, value_name = "TEXT", default_value = "positive")]
    display_positive: String,
    /// How negative is shown.
    #[arg(long, value_name = "TEXT", default_value = "negative")]
    display_negative: String,
    /// What the model is for.
    #[arg(long, value_name = "TEXT")]
    card: Option<String>,
    /// The maxlen of pad_sequences, where the model's input leaves it open.
    #[arg(long, value_name = "STEPS")]
    maxlen: Option<usize>,
    /// Where pads go: pre or post.
    #[arg(long, value_name = "SIDE", default_value = "pre", value_parser = side)]
    padding: Side,
    /// Where tokens are cut: pre or post.
    #[arg(long, value_name = "SIDE", default_value = "pre", value_parser = side)]
    truncating: Side,
    /// The tokenizer's file holds ranks, as imdb.get_word_index() gives them, and ids are so much above: 3 for imdb.load_data.
    #[arg(long, value_name = "N")]
    index_from: Option<i64>,
    /// Only ids below this are given out.
    #[arg(long, value_name = "N")]
    num_words: Option<usize>,
    /// With plain ids by word: tokens are characters.
    #[arg(long)]
    characters: bool,
    /// With plain ids by word: text is not lower-cased.
    #[arg(long)]
    keep_case: bool,
    /// With plain ids by word: characters that separate words.
    #[arg(long, value_name = "CHARACTERS")]
    filters: Option<String>,
    /// With plain ids by word: the one that stands for unknown words.
    #[arg(long, value_name = "TOKEN")]
    oov: Option<String>,
    /// Rules by which text is cleaned before it is tokenized: korean, html_breaks.
    #[arg(long, value_name = "RULE", value_delimiter = ',', value_parser = rule)]
    clean: Vec<CleanRule>,
    /// Of two outputs, the place of the positive one, from 0.
    #[arg(long, value_name = "PLACE", default_value = "1", value_parser = clap::value_parser!(u8).range(0..2))]
    positive: u8,
    /// The model's one output is a logit: it has no sigmoid at its end.
    #[arg(long)]
    logit: bool,
    /// Serve an ONNX graph as it is, even where it can be rebuilt.
    #[arg(long)]
    as_it_is: bool,
    /// How long an ONNX graph may take for all that it is tried on; a loop in it need not end.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u64).range(1..))]
    time_limit: u64,
}

/// Runs the command.
pub(super) fn run(args: Args) -> anyhow::Result<()> {
    if !valid_name(&args.name) {
        return Err(Usage(format!("--name {:?}: {NAMES}", args.name)).into());
    }
    let runtime = Runtime::load()?;
    let request = Request {
        name: args.name,
        languages: args.languages,
        default_for: args.default_for,
        display: Display {
            positive: args.display_positive,
            negative: args.display_negative,
        },
        card: args.card,
        text: TextSpec {
            clean: args.clean,
            ..TextSpec::default()
        },
        maxlen: args.maxlen,
        padding: args.padding,
        truncating: args.truncating,
        vocabulary: VocabularyArguments {
            index_from: args.index_from,
            num_words: args.num_words,
            characters: args.characters,
            keep_case: args.keep_case,
            filters: args.filters,
            oov: args.oov,
        },
        head: Head {
            positive: usize::from(args.positive),
            logit: args.logit,
        },
        as_it_is: args.as_it_is,
        limit: Duration::from_secs(args.time_limit),
    };
    let imported = import(&runtime, (&args.model, &args.tokenizer), &request)?;
    let draft = imported.draft;
    say(format_args!(
        "{} of {}\nits tokenizer gives ids up to {}, and ids below {} are taken\n",
        args.model.display(),
        imported.producer,
        imported.largest_id,
        draft.rows
    ));
    match imported.served {
        Served::Rebuilt(proof) => say(format_args!(
            "rebuilt as a network of {} parameters, trim {}, and proven in ONNX Runtime on {} rows: largest difference {:.1e}\n",
            draft
                .layers
                .iter()
                .map(|layer| layer.parameters)
                .sum::<u64>(),
            draft.trim,
            proof.rows,
            proof.worst
        )),
        Served::AsItIs(reason) => say(format_args!(
            "served as it is ({reason}): every text runs through all {} steps, however short it is; a .h5 or .keras file of \
             the same model would be rebuilt and run as many steps as a text has tokens\n",
            draft.recipe.padding.maxlen
        )),
    }
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot create {}", args.out.display()))?;
    let name = draft.recipe.name.clone();
    let written = bundle::write(&args.out, draft)?;
    say(format_args!("wrote {}\n", written.dir.display()));
    if !written.activated {
        say(format_args!(
            "it does not serve yet: sentiment models activate {name}@{}\n",
            written.version
        ));
    }
    Ok(())
}

fn side(text: &str) -> Result<Side, String> {
    match text {
        "pre" => Ok(Side::Pre),
        "post" => Ok(Side::Post),
        _ => Err("pre or post".to_owned()),
    }
}

fn rule(text: &str) -> Result<CleanRule, String> {
    match text {
        "korean" => Ok(CleanRule::Korean),
        "html_breaks" => Ok(CleanRule::HtmlBreaks),
        _ => Err("korean or html_breaks".to_owned()),
    }
}
