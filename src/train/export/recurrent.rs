//! Recurrent layers as ONNX's LSTM, GRU and RNN: the only file that knows ONNX's gate order.

use ndarray::ArrayD;

use super::graph::Value;
use super::layers::Writer;
use super::pads::Carried;
use crate::bundle::Trim;
use crate::onnx::{Attribute, Element};
use crate::recipe::{Activation, Merge, Recurrent};
use crate::train::network::Layer;

/// One of ONNX's recurrent operators.
pub(super) struct Operator {
    name: &'static str,
    /// ONNX's gates by their place in Keras's order.
    gates: &'static [usize],
    /// Whether Keras has a bias for the recurrent product too; ONNX always has.
    inner_bias: bool,
}

impl Operator {
    /// i, o, f, c of i, f, c, o.
    pub const LSTM: Self = Self {
        name: "LSTM",
        gates: &[0, 3, 1, 2],
        inner_bias: false,
    };
    /// z, r, h as in Keras.
    pub const GRU: Self = Self {
        name: "GRU",
        gates: &[0, 1, 2],
        inner_bias: true,
    };
    /// With one bias, as in Keras.
    pub const GRU_RESET_BEFORE: Self = Self {
        name: "GRU",
        gates: &[0, 1, 2],
        inner_bias: false,
    };
    /// `SimpleRNN`.
    pub const RNN: Self = Self {
        name: "RNN",
        gates: &[0],
        inner_bias: false,
    };
}

impl Writer<'_> {
    /// The operator over one direction or both, and what becomes of its outputs.
    pub(super) fn recurrent(
        &mut self,
        layer: &Layer<f32>,
        recipe: &Recurrent,
        operator: &Operator,
        carried: &Carried,
    ) {
        let (name, units) = (&layer.name, recipe.units);
        let directions = layer.weights.len() / 3;
        let wide = operator.gates.len() * units;
        let inputs = layer.weights[0].shape()[0];
        let sides = || layer.weights.chunks_exact(3);
        let kernel = sides().flat_map(|side| by_gate(&side[0], operator, units));
        let recurrent = sides().flat_map(|side| by_gate(&side[1], operator, units));
        let bias = sides().flat_map(|side| biases(&side[2], operator, units));
        let kernel = self.graph.floats(
            &format!("{name}/kernel"),
            &[directions, wide, inputs],
            kernel,
        );
        let recurrent = self.graph.floats(
            &format!("{name}/recurrent_kernel"),
            &[directions, wide, units],
            recurrent,
        );
        let bias = self
            .graph
            .floats(&format!("{name}/bias"), &[directions, 2 * wide], bias);
        let lengths = match self.trim {
            Trim::Masked => {
                let lengths = "lengths".to_owned();
                let int32 = Attribute::int("to", Element::Int32 as i64);
                self.graph.node("Cast", &[&lengths], vec![int32])
            }
            Trim::Table | Trim::None => Value::new(),
        };
        let mut operands = vec![self.value.clone(), kernel, recurrent, bias, lengths];
        if let Carried::States { output, cell } = carried {
            operands.push(self.initial_state(name, "output", (units, output)));
            if let Some(cell) = cell {
                operands.push(self.initial_state(name, "cell", (units, cell)));
            }
        }
        let operands: Vec<&Value> = operands.iter().collect();
        let answer = format!("{name}/answer");
        let outputs = if recipe.return_sequences {
            vec![answer.clone()] // [time, directions, batch, units]
        } else {
            vec![Value::new(), answer.clone()] // [directions, batch, units]
        };
        let mut attributes = vec![Attribute::int("hidden_size", units as i64)];
        if directions == 2 {
            attributes.push(Attribute::string("direction", "bidirectional"));
        } else if recipe.go_backwards {
            attributes.push(Attribute::string("direction", "reverse"));
        }
        attributes.extend(activations(operator, recipe, directions));
        if operator.inner_bias {
            // Keras's reset_after: the reset gate acts on the recurrent product.
            attributes.push(Attribute::int("linear_before_reset", 1));
        }
        self.graph
            .push(operator.name, &operands, outputs, attributes);
        self.value = answer;
        self.merge(recipe);
    }

    /// `[time, directions, batch, units]`, or without time, to the layer's output.
    fn merge(&mut self, recipe: &Recurrent) {
        let axis = i64::from(recipe.return_sequences);
        let answer = self.value.clone();
        let reduced = match recipe.bidirectional {
            None => {
                let axes = self.graph.ints(&[axis]);
                self.value = self.graph.node("Squeeze", &[&answer, &axes], vec![]);
                return;
            }
            Some(Merge::Concat) => {
                let features = recipe.features() as i64;
                let shape = if recipe.return_sequences {
                    self.transpose(&[0, 2, 1, 3]);
                    vec![0, 0, features]
                } else {
                    self.transpose(&[1, 0, 2]);
                    vec![0, features]
                };
                let beside = self.value.clone();
                // A nought keeps the size that is there.
                let shape = self.graph.ints(&shape);
                self.value = self.graph.node("Reshape", &[&beside, &shape], vec![]);
                return;
            }
            Some(Merge::Sum) => "ReduceSum",
            Some(Merge::Mul) => "ReduceProd",
            Some(Merge::Ave) => "ReduceMean",
        };
        let drop = Attribute::int("keepdims", 0);
        self.value = if reduced == "ReduceSum" {
            let axes = self.graph.ints(&[axis]);
            self.graph.node(reduced, &[&answer, &axes], vec![drop])
        } else {
            // Before opset 18 only the sum takes its axes as an input.
            let axes = Attribute::ints("axes", &[axis]);
            self.graph.node(reduced, &[&answer], vec![axes, drop])
        };
    }
}

/// What squashes gates and states, where that is not what ONNX takes by itself.
fn activations(operator: &Operator, recipe: &Recurrent, directions: usize) -> Vec<Attribute> {
    let (new, gate, _) = recipe.arithmetic();
    if (new, gate) == (Activation::Tanh, Activation::Sigmoid) {
        return Vec::new();
    }
    let each = match operator.name {
        "LSTM" => vec![gate, new, new],
        "GRU" => vec![gate, new],
        _ => vec![new],
    };
    let all: Vec<Activation> = each.repeat(directions);
    let names: Vec<&str> = all
        .iter()
        .map(|activation| match activation {
            Activation::Linear => "Affine",
            Activation::Sigmoid => "Sigmoid",
            Activation::Relu => "Relu",
            Activation::Tanh => "Tanh",
            Activation::HardSigmoid | Activation::HardSigmoid3 => "HardSigmoid",
        })
        .collect();
    // A number for each of them that has one, in order.
    let lines: Vec<(f32, f32)> = all
        .iter()
        .filter_map(|activation| match activation {
            Activation::Linear => Some((1.0, 0.0)),
            _ => activation.straight().map(|alpha| (alpha as f32, 0.5)),
        })
        .collect();
    let mut attributes = vec![Attribute::strings("activations", &names)];
    if !lines.is_empty() {
        let (alpha, beta): (Vec<f32>, Vec<f32>) = lines.into_iter().unzip();
        attributes.push(Attribute::floats("activation_alpha", &alpha));
        attributes.push(Attribute::floats("activation_beta", &beta));
    }
    attributes
}

/// A `[inputs, gates units]` matrix of Keras as ONNX's `[gates units, inputs]`, gates in ONNX's order.
fn by_gate<'a>(
    matrix: &'a ArrayD<f32>,
    operator: &'a Operator,
    units: usize,
) -> impl Iterator<Item = f32> + 'a {
    let inputs = matrix.shape()[0];
    columns(operator, units)
        .flat_map(move |column| (0..inputs).map(move |row| matrix[[row, column]]))
}

/// The inputs' bias and then the recurrent product's, which is nothing where Keras has none.
fn biases<'a>(
    bias: &'a ArrayD<f32>,
    operator: &'a Operator,
    units: usize,
) -> impl Iterator<Item = f32> + 'a {
    (0..2).flat_map(move |which| {
        columns(operator, units).map(move |column| match (operator.inner_bias, which) {
            (true, which) => bias[[which, column]],
            (false, 0) => bias[[column]],
            (false, _) => 0.0,
        })
    })
}

fn columns(operator: &Operator, units: usize) -> impl Iterator<Item = usize> {
    let gates = operator.gates.iter();
    gates.flat_map(move |gate| (0..units).map(move |unit| gate * units + unit))
}
