//! The arrays of floats that a graph holds.

use std::collections::HashMap;

use crate::onnx::{Graph, Node, Tensor};
use ndarray::{ArrayD, Axis};

/// Arrays by the name of the value.
#[derive(Clone, Debug, Default)]
pub(super) struct Constants(HashMap<String, ArrayD<f32>>);

impl Constants {
    /// The arrays of a graph, of constant nodes too, and of those that only hand them on.
    ///
    /// # Errors
    /// Weights lie in another file, or an array is damaged.
    pub fn of(graph: &Graph) -> Result<Self, String> {
        let mut constants = Self::default();
        constants.add(graph)?;
        Ok(constants)
    }

    /// The same with those of a loop's body, and with what the loop hands to it.
    ///
    /// # Errors
    /// As of [`Self::of`].
    pub fn within(&self, node: &Node, body: &Graph) -> Result<Self, String> {
        let mut constants = self.clone();
        for (given, inside) in node.input.iter().zip(&body.input) {
            if let Some(array) = self.0.get(given) {
                constants.0.insert(inside.name.clone(), array.clone());
            }
        }
        constants.add(body)?;
        Ok(constants)
    }

    /// The array that a value is.
    pub fn any(&self, name: &str) -> Option<&ArrayD<f32>> {
        self.0.get(name)
    }

    /// Whether a value is an array of floats that never changes.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The array of so many dimensions that a value is.
    pub fn get(&self, name: &str, dimensions: usize) -> Option<&ArrayD<f32>> {
        self.0.get(name).filter(|array| array.ndim() == dimensions)
    }

    /// How many numbers there are in arrays of two dimensions and more, and in vectors.
    pub fn numbers(&self) -> u64 {
        self.0.values().map(|array| array.len() as u64).sum()
    }

    fn add(&mut self, graph: &Graph) -> Result<(), String> {
        for tensor in &graph.initializer {
            self.insert(&tensor.name, tensor)?;
        }
        for node in &graph.node {
            let output = node.first_output();
            match node.op_type.as_str() {
                "Constant" => {
                    if let Some(tensor) = node.attribute("value").and_then(|a| a.t.as_ref()) {
                        self.insert(output, tensor)?;
                    }
                }
                "Identity" | "Squeeze" | "Split" => {
                    let from = node.input.first().and_then(|input| self.0.get(input));
                    for (name, array) in from.map(|from| handed_on(node, from)).unwrap_or_default()
                    {
                        self.0.insert(name, array);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn insert(&mut self, name: &str, tensor: &Tensor) -> Result<(), String> {
        /// `FLOAT`
        const FLOAT: i32 = 1;
        /// `EXTERNAL`
        const EXTERNAL: i32 = 1;
        if tensor.data_location == EXTERNAL {
            return Err(format!("the values of {name} lie in another file"));
        }
        if tensor.data_type != FLOAT {
            return Ok(());
        }
        let values = if tensor.raw_data.is_empty() {
            tensor.float_data.clone()
        } else {
            let (floats, _) = tensor.raw_data.as_chunks::<4>();
            floats
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()
        };
        let dims = tensor
            .dims
            .iter()
            .map(|&dim| usize::try_from(dim).unwrap_or(0));
        let array = ArrayD::from_shape_vec(dims.collect::<Vec<_>>(), values)
            .map_err(|error| format!("{name}: {error}"))?;
        self.0.insert(name.to_owned(), array);
        Ok(())
    }
}

/// What a node makes of a constant that it only cuts or reshapes.
fn handed_on(node: &Node, array: &ArrayD<f32>) -> Vec<(String, ArrayD<f32>)> {
    match node.op_type.as_str() {
        "Split" => {
            let parts = node.output.len().max(1);
            let axis = usize::try_from(node.int("axis", 0)).unwrap_or(usize::MAX);
            let Some(size) = array.shape().get(axis).filter(|size| *size % parts == 0) else {
                return Vec::new();
            };
            let parts = array.axis_chunks_iter(Axis(axis), (size / parts).max(1));
            let named = node.output.iter().cloned().zip(parts);
            named.map(|(name, part)| (name, part.to_owned())).collect()
        }
        "Squeeze" => {
            let mut squeezed = array.clone();
            for axis in (0..array.ndim())
                .rev()
                .filter(|axis| array.shape()[*axis] == 1)
            {
                squeezed = squeezed.index_axis_move(Axis(axis), 0);
            }
            vec![(node.first_output().to_owned(), squeezed)]
        }
        _ => vec![(node.first_output().to_owned(), array.clone())],
    }
}
