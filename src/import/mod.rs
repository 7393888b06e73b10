//! Import: what other programs trained, as bundles; and back, as files that Keras loads.
//!
//! Keras's files become networks of ours, with the graph, the trimming and the speed of one trained here. So does an ONNX
//! graph whose layers can be recognised; else it is served as it is. Nothing is published before it is proven: a rebuilt
//! network against its own graph, and against the graph that it was read from where there is one.

mod archive;
mod error;
mod hdf5;
mod keras;
mod onnx;
mod own;
mod publish;
mod stack;
mod vocabulary;

use std::path::Path;
use std::time::Duration;

use crate::bundle::{Draft, ImportRecord, digest};
use crate::engine::session::Runtime;
use crate::recipe::Display;
use crate::system::available_memory;
use crate::text::{Encoder, EncoderSpec, PaddingSpec, Side, TextSpec};
use crate::train::export::Proof;

pub use error::ImportError;
pub use keras::write::{KerasFormat, keras_file};
pub use own::{network as own_network, word_vectors};
pub use stack::Head;
pub use vocabulary::VocabularyArguments;

/// What the files do not say.
#[derive(Clone, Debug)]
pub struct Request {
    /// The model's name from now on.
    pub name: String,
    /// Its languages, the main one first.
    pub languages: Vec<String>,
    /// Languages whose texts go to it when a request names no model.
    pub default_for: Vec<String>,
    /// The labels in the model's language.
    pub display: Display,
    /// What the model is for.
    pub card: Option<String>,
    /// How text is cleaned before it is tokenized.
    pub text: TextSpec,
    /// The length of a row, where the file leaves it open.
    pub maxlen: Option<usize>,
    /// Where pads go.
    pub padding: Side,
    /// Where tokens are cut.
    pub truncating: Side,
    /// About the tokenizer.
    pub vocabulary: VocabularyArguments,
    /// How the end of the network is read.
    pub head: Head,
    /// An ONNX graph is not rebuilt.
    pub as_it_is: bool,
    /// The time in which a graph of another program has to answer all that it is tried on.
    pub limit: Duration,
}

/// A model on its way into a folder of models.
#[derive(Debug)]
pub struct Imported {
    /// Everything that a bundle holds.
    pub draft: Draft,
    /// Who wrote the file.
    pub producer: String,
    /// The largest id that the tokenizer gives out.
    pub largest_id: i64,
    /// What will be served.
    pub served: Served,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Served {
    /// A network of ours.
    Rebuilt(Proof),
    /// The graph itself, and why.
    AsItIs(String),
}

/// Reads a model and its tokenizer, and proves what it makes of them.
///
/// # Errors
/// A file is not what it should be, the model has a layer that we do not have, the two files do not belong together, or
/// what was made of them answers something else.
pub fn import(
    runtime: &Runtime,
    (model, tokenizer): (&Path, &Path),
    request: &Request,
) -> Result<Imported, ImportError> {
    let bytes = whole(model)?;
    let extension = model
        .extension()
        .map(|e| e.to_string_lossy().to_lowercase());
    let sha256 = digest::sha256(&bytes);
    let mut imported = match extension.as_deref() {
        Some("h5" | "hdf5" | "keras") => {
            let stack = keras::read(model, bytes, request.head)?;
            let maxlen = row_length(stack.maxlen, request)?;
            let rows = publish::embedding_rows(&stack.layers)?;
            let encoder = encoder(tokenizer, request, (rows, maxlen))?;
            publish::network(runtime, stack, (encoder, request), None)
        }
        Some("onnx") => {
            let foreign = onnx::Foreign::read(model, bytes)?;
            let maxlen = row_length(foreign.maxlen, request)?;
            let rows = foreign.rows.unwrap_or(usize::MAX);
            let encoder = encoder(tokenizer, request, (rows, maxlen))?;
            publish::graph(runtime, &foreign, (encoder, request))
        }
        _ => Err(ImportError::file(
            model,
            "a model is a .h5, .keras or .onnx file",
        )),
    }?;
    let file = model.file_name().unwrap_or_default().to_string_lossy();
    imported.draft.training.imported = Some(ImportRecord {
        file: file.into_owned(),
        sha256,
        producer: imported.producer.clone(),
    });
    Ok(imported)
}

/// Whether a file can be read as a network or a graph, before anything is known of its tokenizer: what can be tried on anything
/// that might come.
pub fn is_model(model: &Path, bytes: Vec<u8>) -> bool {
    let head = Head::default();
    if model
        .extension()
        .is_none_or(|extension| extension != "onnx")
    {
        return keras::read(model, bytes, head).is_ok();
    }
    onnx::Foreign::read(model, bytes).is_ok_and(|foreign| {
        let shape = (foreign.rows.unwrap_or(1), foreign.maxlen.unwrap_or(1));
        let adopted = foreign.adopt(shape, head).is_ok();
        foreign.recognise(shape.1, head).is_ok() || adopted
    })
}

/// A file's bytes, unless there is no room for them.
fn whole(path: &Path) -> Result<Vec<u8>, ImportError> {
    let cannot = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let told = std::fs::metadata(path).map_err(cannot)?;
    if !told.is_file() {
        return Err(ImportError::file(path, "it is no file"));
    }
    // It is read, unpacked and made into a graph again.
    const COPIES: u64 = 3;
    let needed = told.len().saturating_mul(COPIES);
    if let Some(available) = available_memory()
        && needed > available
    {
        return Err(ImportError::file(
            path,
            format!(
                "it needs about {} MB of memory and {} MB are left",
                needed >> 20,
                available >> 20
            ),
        ));
    }
    std::fs::read(path).map_err(cannot)
}

fn row_length(fixed: Option<usize>, request: &Request) -> Result<usize, ImportError> {
    /// As in a recipe.
    const MOST: usize = 100_000;
    match (fixed, request.maxlen) {
        (Some(length), _) | (_, Some(length)) if !(1..=MOST).contains(&length) => Err(
            ImportError::Missing(format!("rows of {length}, where 1 to {MOST} are read")),
        ),
        (Some(fixed), Some(asked)) if fixed != asked => Err(ImportError::Missing(format!(
            "the model was made for rows of {fixed}, not of {asked}"
        ))),
        (Some(maxlen), _) | (None, Some(maxlen)) => Ok(maxlen),
        (None, None) => Err(ImportError::Missing(
            "the file does not say how long a row is: give --maxlen, the maxlen of pad_sequences"
                .to_owned(),
        )),
    }
}

fn encoder(
    tokenizer: &Path,
    request: &Request,
    (rows, maxlen): (usize, usize),
) -> Result<Encoder, ImportError> {
    let (mut spec, mut tokenizer) = vocabulary::read(tokenizer, &request.vocabulary)?;
    if request.vocabulary.index_from.is_some() && spec.num_words.is_none() && rows < usize::MAX {
        // `imdb.load_data(num_words=...)` goes with `Embedding(num_words, ...)`.
        spec.num_words = Some(rows);
        tokenizer.config.num_words = i64::try_from(rows).ok();
    }
    let spec = EncoderSpec {
        text: request.text.clone(),
        tokenizer: spec,
        padding: PaddingSpec {
            maxlen,
            padding: request.padding,
            truncating: request.truncating,
            value: 0,
        },
    };
    let encoder = Encoder::from_json(spec, &tokenizer.to_json())?;
    let largest = encoder.largest_id();
    if usize::try_from(largest).map_or(true, |largest| largest >= rows) {
        return Err(ImportError::Rows { largest, rows });
    }
    Ok(encoder)
}
