//! The command line: one file a subcommand.
//!
//! Every flag `--some-flag` can also be given as `SENTIMENT_SOME_FLAG`. Exit codes: 0, 1 failed, 2 wrong usage. A failure
//! is one line on standard error, `error: ` and the chain of its causes; a reader that goes away is no failure.

// Both panic where nobody reads any more: `say` and `note` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod data;
mod evaluate;
mod export;
mod feedback;
mod import;
mod interrupt;
mod models;
mod open;
mod output;
mod predict;
mod progress;
mod registry;
mod summary;
mod sweep;
mod train;
mod vectors;
mod worker;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use interrupt::on_interrupt;
pub use output::{Output, note, say};
pub use progress::Progress;

use crate::app;
use crate::config;

/// Trains LSTM sentiment models on your own reviews and serves them over HTTP.
#[derive(Debug, Parser)]
#[command(name = "sentiment", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Sweep(sweep::Args),
    /// List, show and activate models.
    Models(models::Args),
    /// Measure a model on labelled reviews: accuracy, AUC, loss, calibration error, confusion.
    Evaluate(evaluate::Args),
    /// Answer texts from a file or standard input, a JSON object a line.
    Predict(predict::Args),
    Import(Box<import::Args>),
    Export(export::Args),
    Data(data::Args),
    Vectors(vectors::Args),
    /// Take training jobs from a database, train, and publish what is proven.
    Worker(worker::Args),
    /// Serve the models over HTTP.
    Serve(Box<config::ServeConfig>),
}

/// The command line is well formed and still cannot mean anything: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Runs what the command line asks for.
pub fn main() -> ExitCode {
    let mut command = config::with_environment(Cli::command());
    let parsed = Cli::from_arg_matches_mut(&mut command.get_matches_mut());
    let cli = parsed.unwrap_or_else(|error| error.format(&mut command).exit());
    let done = match cli.command {
        Command::Train(args) => train::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Models(args) => models::run(args),
        Command::Import(args) => import::run(*args),
        Command::Export(args) => export::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Vectors(args) => vectors::run(args),
        Command::Worker(args) => worker::run(&args),
        Command::Serve(config) => app::serve(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {}", one_line(&error)));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

/// Where the files lie that a recipe names.
fn folder_of(recipe: &Path) -> &Path {
    recipe.parent().unwrap_or(Path::new(""))
}

fn reader_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// The chain of causes, each said once: many errors name their cause in their own text.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// A line's words as a shell sees them, as far as documents go: quotes, and of a pipe what is behind it.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for letter in line.chars() {
            match (letter, quote) {
                (letter, Some(open)) if letter == open => quote = None,
                ('"' | '\'', None) => quote = Some(letter),
                ('|', None) => (words, word) = (Vec::new(), String::new()),
                (' ', None) => words.push(std::mem::take(&mut word)),
                (letter, _) => word.push(letter),
            }
        }
        words.push(word);
        words.retain(|word| !word.is_empty());
        words
    }

    fn refused(command: &[String]) -> Option<clap::Error> {
        Cli::command().try_get_matches_from(command).err()
    }

    #[test]
    fn every_command_of_the_documents_is_one_and_every_picture_is_there() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        let read = |path: &str| {
            let text = std::fs::read_to_string(docs.join(path));
            text.unwrap_or_else(|error| panic!("docs/{path}: {error}"))
        };
        let is_ours = |words: &[String]| words.first().is_some_and(|word| word == "sentiment");
        let (mut commands, mut pictures) = (0, 0);
        let documents = ["course.md", "operations.md", "../README.md"].map(read);
        for line in documents.iter().flat_map(|document| document.lines()) {
            if line.starts_with("    ") && is_ours(&words(line)) {
                if let Some(error) = refused(&words(line)) {
                    panic!("{line}: {error}");
                }
                commands += 1;
            }
            // Of commands within the text some are only named.
            for command in line.split('`').skip(1).step_by(2).map(words) {
                // And of some a part is left out.
                if is_ours(&command) && !command.iter().any(|word| word == "...") {
                    let named = [
                        ErrorKind::MissingRequiredArgument,
                        ErrorKind::MissingSubcommand,
                        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                        ErrorKind::DisplayHelp,
                    ];
                    let known = refused(&command).is_none_or(|error| named.contains(&error.kind()));
                    assert!(known, "{line}: {command:?}");
                    commands += 1;
                }
            }
            let links = line.split("](").skip(1);
            for picture in links.filter_map(|link| link.split(')').next()) {
                if picture.ends_with(".svg") {
                    assert!(read(picture).starts_with("<svg"), "{picture}");
                    pictures += 1;
                }
            }
        }
        assert!(commands > 45, "{commands} commands");
        assert!(pictures > 3, "{pictures} pictures");
        assert!(refused(&words("sentiment data decsribe a.tsv")).is_some());
    }

    #[test]
    fn flags_and_subcommands_do_not_contradict_each_other() {
        config::with_environment(Cli::command()).debug_assert();
    }

    #[test]
    fn a_cause_is_said_once_and_on_one_line() {
        let inner = io::Error::other("disk\n  gone");
        let error = anyhow::Error::new(inner).context("model.onnx: disk gone");
        assert_eq!(one_line(&error), "model.onnx: disk gone");
        let error = anyhow::anyhow!("disk gone").context("cannot load \"imdb\"");
        assert_eq!(one_line(&error), "cannot load \"imdb\": disk gone");
    }
}
