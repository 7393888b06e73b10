//! Recurrent operators back to Keras's arrays: LSTM, GRU, RNN, and the loops that a converter writes where it has no better.

use ndarray::{ArrayD, Axis, concatenate};

use super::constants::{Constant, Constants};
use super::recognise::{added, slab};
use crate::onnx::{Graph, Node};
use crate::recipe::{Activation, LayerRecipe, Merge, Recurrent};

/// A recurrent layer.
pub(super) struct Read {
    /// Keras's name of its kind.
    pub name: &'static str,
    /// Its sizes.
    pub recurrent: Recurrent,
    /// Kernel, recurrent kernel and bias of each direction.
    pub weights: Vec<ArrayD<f32>>,
    make: fn(Recurrent) -> LayerRecipe,
}

impl Read {
    /// The layer.
    pub fn recipe(&self) -> LayerRecipe {
        (self.make)(self.recurrent.clone())
    }
}

/// Reads an operator.
///
/// # Errors
/// It computes something that no layer of ours does, or its weights are not constants.
pub(super) fn read(node: &Node, constants: &Constants<'_>) -> Result<Read, String> {
    if node.op_type == "Loop" {
        let body = node.attribute("body").and_then(|body| body.g.as_ref());
        let body = body.ok_or("it has a loop without a body")?;
        return in_loop(body, &constants.within(node, body)?);
    }
    let (name, kind): (_, fn(Recurrent) -> LayerRecipe) = match node.op_type.as_str() {
        "LSTM" => ("lstm", LayerRecipe::Lstm),
        "GRU" => ("gru", LayerRecipe::Gru),
        _ => ("simple_rnn", LayerRecipe::SimpleRnn),
    };
    let refused = |what: &str| Err(format!("it has an {} {what}", node.op_type));
    let text = |attribute: &str| node.attribute(attribute)?.s.as_deref();
    let (directions, go_backwards) = match text("direction") {
        None | Some(b"forward") => (1, false),
        Some(b"bidirectional") => (2, false),
        Some(_) => (1, true),
    };
    if node.attribute("clip").is_some() || node.int("input_forget", 0) != 0 {
        return refused("that clips or couples its gates");
    }
    let Some([activation, recurrent_activation]) = activations(node, directions) else {
        return refused("with other activations");
    };
    let reset_before = name == "gru" && node.int("linear_before_reset", 0) == 0;
    // Weights may come without a bias.
    let input = |at: usize, dims: usize| {
        let name = node.input.get(at).filter(|name| !name.is_empty())?;
        constants.get(name, dims)
    };
    let (Some(kernel), Some(recurrent)) = (input(1, 3), input(2, 3)) else {
        return refused("whose weights are not constants");
    };
    let units = recurrent.shape()[2];
    let gates = recurrent.shape()[1] / units.max(1);
    let bias = match node.input.get(3).filter(|name| !name.is_empty()) {
        None => ArrayD::zeros(vec![directions, 2 * gates * units]),
        Some(name) => match constants.get(name, 2) {
            Some(bias) => bias.to_owned(),
            None => return refused("whose bias is not constant"),
        },
    };
    let order = keras_order(name);
    let wide = gates * units;
    if order.len() != gates
        || kernel.shape()[..2] != [directions, wide]
        || recurrent.shape()[..2] != [directions, wide]
        || bias.shape() != [directions, 2 * wide]
    {
        return refused("of unknown sizes");
    }
    let mut weights = Vec::new();
    for side in 0..directions {
        for matrix in [kernel, recurrent] {
            let matrix = reordered(&slab(matrix, side), order, units)?;
            weights.push(matrix.t().as_standard_layout().to_owned());
        }
        let bias = bias.index_axis(Axis(0), side); // [2 * gates * units]
        let (outer, inner) = bias.split_at(Axis(0), gates * units);
        let outer = reordered(&outer.to_owned(), order, units)?;
        let inner = reordered(&inner.to_owned(), order, units)?;
        weights.push(match name {
            "gru" if !reset_before => stacked(&outer, &inner)?,
            _ => outer + inner,
        });
    }
    Ok(Read {
        name,
        recurrent: Recurrent {
            bidirectional: (directions == 2).then_some(Merge::Concat),
            activation: activation.filter(|found| *found != Activation::Tanh),
            recurrent_activation: recurrent_activation
                .filter(|found| *found != Activation::Sigmoid),
            reset_after: reset_before.then_some(false),
            go_backwards,
            ..Recurrent::new(units, false)
        },
        weights,
        make: kind,
    })
}

/// What squashes the new state and the gates, where an operator names it; none where it is nothing of ours.
fn activations(node: &Node, directions: usize) -> Option<[Option<Activation>; 2]> {
    let Some(given) = node.attribute("activations") else {
        return Some([None, None]);
    };
    let numbers = |attribute: &str| node.attribute(attribute).map(|found| found.floats.clone());
    let mut alpha = numbers("activation_alpha").unwrap_or_default().into_iter();
    let mut beta = numbers("activation_beta").unwrap_or_default().into_iter();
    let mut found = Vec::new();
    for name in &given.strings {
        found.push(match name.as_slice() {
            b"Tanh" => Activation::Tanh,
            b"Sigmoid" => Activation::Sigmoid,
            b"Relu" => Activation::Relu,
            b"Affine" => match (alpha.next().unwrap_or(1.0), beta.next().unwrap_or(0.0)) {
                (1.0, 0.0) => Activation::Linear,
                _ => return None,
            },
            b"HardSigmoid" => {
                let line = (alpha.next().unwrap_or(0.2), beta.next().unwrap_or(0.5));
                let ours = [Activation::HardSigmoid, Activation::HardSigmoid3];
                ours.into_iter().find(|ours| {
                    let alpha = ours.straight().unwrap_or_default();
                    line.1 == 0.5 && (f64::from(line.0) - alpha).abs() < 1e-6
                })?
            }
            _ => return None,
        });
    }
    let one = &found[..found.len() / directions];
    let (squash, new) = match (node.op_type.as_str(), one) {
        ("LSTM", [gate, new, again]) if new == again => (Some(*gate), *new),
        ("GRU", [gate, new]) => (Some(*gate), *new),
        ("RNN", [new]) => (None, *new),
        _ => return None,
    };
    // Both directions are of one making.
    let alike = found.chunks_exact(one.len()).all(|other| other == one);
    alike.then_some([Some(new), squash])
}

/// Keras's gates by their place in ONNX's order.
fn keras_order(name: &str) -> &'static [usize] {
    match name {
        "lstm" => &[0, 2, 3, 1],
        "gru" => &[0, 1, 2],
        _ => &[0],
    }
}

/// The gates along the first axis in another order.
fn reordered(array: &ArrayD<f32>, order: &[usize], units: usize) -> Result<ArrayD<f32>, String> {
    let gates: Vec<_> = order
        .iter()
        .map(|gate| array.slice_axis(Axis(0), (gate * units..(gate + 1) * units).into()))
        .collect();
    concatenate(Axis(0), &gates).map_err(|error| error.to_string())
}

fn stacked(outer: &ArrayD<f32>, inner: &ArrayD<f32>) -> Result<ArrayD<f32>, String> {
    ndarray::stack(Axis(0), &[outer.view(), inner.view()]).map_err(|error| error.to_string())
}

/// A step of Keras inside of a loop: two products, of the input and of the state.
fn in_loop(body: &Graph, constants: &Constants<'_>) -> Result<Read, String> {
    let mut products: Vec<(&Node, &Constant)> = Vec::new();
    for node in &body.node {
        if node.op_type == "MatMul"
            && let Some(matrix) = node.input.get(1).and_then(|name| constants.get(name, 2))
        {
            products.push((node, matrix));
        }
    }
    let [first, second] = products[..] else {
        return Err(format!("it has a loop with {} products", products.len()));
    };
    let (outer, inner) = match reads_state(body, constants, first.0) {
        true => (second, first),
        false => (first, second),
    };
    let (units, wide) = (inner.1.shape()[0], inner.1.shape()[1]);
    let bias =
        |product: &Node| added(body, constants, product.first_output()).map(|bias| bias.to_owned());
    let none = || ArrayD::zeros(vec![wide]);
    let outer_bias = bias(outer.0).unwrap_or_else(none);
    let inner_bias = bias(inner.0);
    let (name, make, bias): (_, fn(Recurrent) -> LayerRecipe, _) = match wide / units.max(1) {
        1 => ("simple_rnn", LayerRecipe::SimpleRnn, outer_bias),
        3 => {
            let inner_bias = inner_bias.unwrap_or_else(none);
            ("gru", LayerRecipe::Gru, stacked(&outer_bias, &inner_bias)?)
        }
        gates => return Err(format!("it has a loop with {gates} gates")),
    };
    Ok(Read {
        name,
        recurrent: Recurrent::new(units, false),
        weights: vec![outer.1.to_owned(), inner.1.to_owned(), bias],
        make,
    })
}

/// Whether a product's input is what the step before handed on, behind nodes that scale or rename it.
fn reads_state(body: &Graph, constants: &Constants<'_>, product: &Node) -> bool {
    let Some(mut value) = product.input.first() else {
        return false;
    };
    // Nodes that read each other in a circle lead nowhere.
    for _ in 0..body.node.len() {
        if body.input.iter().any(|input| input.name == *value) && !constants.has(value) {
            return true;
        }
        let from = body.node.iter().find(|node| node.output.contains(value));
        match from {
            Some(node) if ["Identity", "Mul", "Cast"].contains(&node.op_type.as_str()) => {
                match node.input.first() {
                    Some(input) => value = input,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}
