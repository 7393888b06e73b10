//! Weights by the names that this program gives them in its graphs.

use ndarray::ArrayD;
use prost::Message as _;

use super::constants::{Constant, Constants};
use super::recurrent;
use crate::onnx::{Graph, Model};

/// A graph of ours.
pub(in crate::import) struct Written {
    graph: Graph,
    constants: Constants<'static>,
}

impl Written {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no graph.
    pub fn decode(file: &[u8]) -> Result<Self, String> {
        let model = Model::decode(file).map_err(|error| error.to_string())?;
        let graph = model.graph.ok_or("it has no graph")?;
        let constants = Constants::of(&graph)?;
        Ok(Self { graph, constants })
    }

    /// A layer's arrays.
    ///
    /// # Errors
    /// One is missing.
    pub fn arrays(&self, layer: &str, names: &[&str]) -> Result<Vec<ArrayD<f32>>, String> {
        let paths = names.iter().map(|name| format!("{layer}/{name}"));
        let arrays = paths.map(|path| match self.constants.any(&path) {
            Some(array) => Ok(array.to_owned()),
            None => Err(format!("it has no {path}")),
        });
        arrays.collect()
    }

    /// The table that ids are looked up in.
    pub fn embedding(&self) -> Option<&Constant> {
        super::embedding(&self.graph, &self.constants)
    }

    /// A recurrent layer's arrays, in Keras's layout.
    ///
    /// # Errors
    /// The graph has no such layer.
    pub fn recurrent(&self, layer: &str) -> Result<Vec<ArrayD<f32>>, String> {
        let kernel = format!("{layer}/kernel");
        let node = self
            .graph
            .node
            .iter()
            .find(|node| node.input.get(1) == Some(&kernel));
        let node = node.ok_or_else(|| format!("it has no {kernel}"))?;
        Ok(recurrent::read(node, &self.constants)?.weights)
    }
}
