//! ONNX files of tf2onnx and Keras 3: rebuilt as a network where the layers can be recognised, else served as they are.

mod adopt;
mod constants;
mod recognise;
mod recurrent;
mod rename;
mod wire;
mod written;

use std::path::Path;

use prost::Message as _;

use super::ImportError;
use super::stack::{self, Head, Stack};
use crate::onnx::{Graph, Model};
use adopt::Adoption;
use constants::{Constant, Constants};
pub(super) use written::Written;

/// A graph of another program.
pub(super) struct Foreign {
    file: Vec<u8>,
    graph: Graph,
    /// The length of a row, if it is fixed.
    pub maxlen: Option<usize>,
    /// The rows of the embedding, if one is seen.
    pub rows: Option<usize>,
    /// Its numbers.
    pub parameters: u64,
    /// Who wrote the file.
    pub producer: String,
}

impl Foreign {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no graph that takes rows of ids.
    pub fn read(path: &Path, file: Vec<u8>) -> Result<Self, ImportError> {
        let refused = |reason: String| ImportError::file(path, reason);
        let model = Model::decode(file.as_slice())
            .map_err(|error| refused(format!("not ONNX: {error}")))?;
        let graph = model
            .graph
            .ok_or_else(|| refused("not ONNX: it has no graph".to_owned()))?;
        let inputs = adopt::free_inputs(&graph);
        let [input] = inputs[..] else {
            let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
            return Err(refused(format!(
                "it takes {names:?}, where rows of ids alone are needed"
            )));
        };
        let (_, sizes) = input.as_tensor().unwrap_or_default();
        let maxlen = match sizes[..] {
            [None, steps] => steps,
            [Some(rows), _] => {
                return Err(refused(format!(
                    "it takes exactly {rows} rows at a time: convert it with a batch of any size"
                )));
            }
            _ => {
                return Err(refused(format!(
                    "it takes a tensor of {} dimensions, where rows of ids are needed",
                    sizes.len()
                )));
            }
        };
        let constants = Constants::of(&graph).map_err(refused)?;
        let table = embedding(&graph, &constants);
        Ok(Self {
            maxlen,
            rows: table.map(|table| table.shape()[0]),
            parameters: constants.numbers(),
            producer: match &*model.producer_name {
                "" => "an unknown program".to_owned(),
                name => format!("{name} {}", model.producer_version)
                    .trim_end()
                    .to_owned(),
            },
            graph,
            file,
        })
    }

    /// The file with the inputs and outputs of ours, and nothing else changed.
    ///
    /// # Errors
    /// It gives something else than a probability for each row.
    pub fn adopt(
        &self,
        (rows, maxlen): (usize, usize),
        head: Head,
    ) -> Result<Vec<u8>, ImportError> {
        let adoption = Adoption { maxlen, rows, head };
        adopt::adopt(&self.file, &self.graph, adoption).map_err(ImportError::Model)
    }

    /// The network that the graph seems to be.
    ///
    /// # Errors
    /// Something in it is no layer of ours.
    pub fn recognise(&self, maxlen: usize, head: Head) -> Result<Stack, ImportError> {
        let layers = recognise::layers(&self.graph, maxlen).map_err(ImportError::Model)?;
        Ok(Stack {
            layers: stack::finish(layers, head)?,
            frozen: Vec::new(),
            maxlen: self.maxlen,
            producer: self.producer.clone(),
        })
    }
}

/// The first table that rows are taken from.
fn embedding<'a>(graph: &Graph, constants: &'a Constants<'_>) -> Option<&'a Constant> {
    let mut lookups = graph.node.iter().filter(|node| node.op_type == "Gather");
    lookups.find_map(|node| constants.get(node.input.first()?, 2))
}
