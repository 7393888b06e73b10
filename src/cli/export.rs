//! `sentiment export`: a model as a file that other programs load.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{Output, Usage, say};
use crate::bundle::{Bundle, Manifest, TOKENIZER, Trim, folder};
use crate::import::{KerasFormat, keras_file, own_network};
use crate::text::Side;

/// Write a model as a file that Keras or any ONNX runtime loads.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What is written: for Keras a .keras or .h5 file, which Keras 2.15 and 3 load.
    #[arg(long, value_enum)]
    format: Format,
    /// A name, name@version, or a bundle's folder.
    #[arg(value_name = "MODEL")]
    model: String,
    /// The file: .keras, .h5 or .onnx.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The folder of models.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Keras,
    Onnx,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let extension = args
        .file
        .extension()
        .and_then(|extension| extension.to_str());
    let keras = match (args.format, extension) {
        (Format::Keras, Some("keras")) => Some(KerasFormat::Archive),
        (Format::Keras, Some("h5")) => Some(KerasFormat::Hdf5),
        (Format::Onnx, Some("onnx")) => None,
        (Format::Keras, _) => return Err(Usage("Keras's files end in .keras or .h5".into()).into()),
        (Format::Onnx, _) => return Err(Usage("an ONNX file ends in .onnx".into()).into()),
    };
    let dir = folder::resolve(&args.models, &args.model)?;
    let bundle = Bundle::load(&dir)?;
    let contents = match keras {
        Some(format) => keras_file(&own_network(&bundle)?, format)?,
        None => bundle.onnx.clone(),
    };
    Output::put(&args.file, &contents)?;
    say(format_args!(
        "wrote {}\nits tokenizer, for tokenizer_from_json: {}\n",
        args.file.display(),
        dir.join(TOKENIZER).display()
    ));
    match args.format {
        Format::Keras => say(format_args!(
            "it takes rows of pad_sequences with maxlen={}, padding={:?} and gives the uncalibrated probability, raw_score\n",
            bundle.manifest.maxlen,
            keras_padding(&bundle.manifest)
        )),
        Format::Onnx => say(format_args!(
            "it takes ids [batch, time] and lengths [batch], trimmed as \"{}\", and gives the uncalibrated logit\n",
            bundle.manifest.trim
        )),
    }
    Ok(())
}

/// Where Keras has to pad: masked steps are skipped on either side, but Keras's maximum over time reads them, and at the back
/// they only repeat.
fn keras_padding(manifest: &Manifest) -> &'static str {
    match (manifest.trim, manifest.recipe.padding.padding) {
        (Trim::Masked, _) | (_, Side::Post) => "post",
        (_, Side::Pre) => "pre",
    }
}
