//! The arrays of floats that a graph holds.

use std::collections::HashMap;

use crate::onnx::{Graph, Node, Tensor};
use ndarray::{ArcArray, Axis, IxDyn};

/// An array of a file. Values that only hand it on or cut it share its numbers: many names may stand for one array.
pub(super) type Constant = ArcArray<f32, IxDyn>;

/// Arrays by the name of the value, of a graph and of those around it.
#[derive(Debug, Default)]
pub(super) struct Constants<'a> {
    own: HashMap<String, Constant>,
    around: Option<&'a Self>,
    numbers: u64,
}

impl<'a> Constants<'a> {
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
    pub fn within(&'a self, node: &Node, body: &Graph) -> Result<Self, String> {
        let mut constants = Self {
            around: Some(self),
            ..Self::default()
        };
        for (given, inside) in node.input.iter().zip(&body.input) {
            if let Some(array) = self.any(given) {
                constants.own.insert(inside.name.clone(), array.clone());
            }
        }
        constants.add(body)?;
        Ok(constants)
    }

    /// The array that a value is.
    pub fn any(&self, name: &str) -> Option<&Constant> {
        let around = || self.around.and_then(|around| around.any(name));
        self.own.get(name).or_else(around)
    }

    /// Whether a value is an array of floats that never changes.
    pub fn has(&self, name: &str) -> bool {
        self.any(name).is_some()
    }

    /// The array of so many dimensions that a value is.
    pub fn get(&self, name: &str, dimensions: usize) -> Option<&Constant> {
        self.any(name).filter(|array| array.ndim() == dimensions)
    }

    /// How many numbers the file holds.
    pub fn numbers(&self) -> u64 {
        self.numbers
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
                    let from = node.input.first().and_then(|input| self.any(input));
                    let named = from.map(|from| handed_on(node, from));
                    self.own.extend(named.unwrap_or_default());
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
        if values.is_empty() {
            // Its other sizes may be anything.
            return Ok(());
        }
        self.numbers += values.len() as u64;
        let array = Constant::from_shape_vec(dims.collect::<Vec<_>>(), values)
            .map_err(|error| format!("{name}: {error}"))?;
        self.own.insert(name.to_owned(), array);
        Ok(())
    }
}

/// What a node makes of a constant that it only cuts or reshapes.
fn handed_on(node: &Node, array: &Constant) -> Vec<(String, Constant)> {
    match node.op_type.as_str() {
        "Split" => {
            let parts = node.output.len().max(1);
            let axis = usize::try_from(node.int("axis", 0)).unwrap_or(usize::MAX);
            let Some(size) = array.shape().get(axis).filter(|size| *size % parts == 0) else {
                return Vec::new();
            };
            let each = size / parts;
            let named = node.output.iter().cloned().enumerate();
            named
                .map(|(at, name)| {
                    let mut part = array.clone();
                    part.slice_axis_inplace(Axis(axis), (at * each..(at + 1) * each).into());
                    (name, part)
                })
                .collect()
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
