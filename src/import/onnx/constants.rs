//! The arrays of floats that a graph holds.

use std::collections::HashMap;

use ndarray::ArrayD;

use super::message::{Graph, Tensor};

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

    /// The same with those of a graph inside of this one.
    ///
    /// # Errors
    /// As of [`Self::of`].
    pub fn within(&self, inner: &Graph) -> Result<Self, String> {
        let mut constants = self.clone();
        constants.add(inner)?;
        Ok(constants)
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
                "Identity" => {
                    let from = node.input.first().and_then(|input| self.0.get(input));
                    if let Some(array) = from.cloned() {
                        self.0.insert(output.to_owned(), array);
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
