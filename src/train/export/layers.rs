//! Each kind of layer as ONNX operators; `recurrent` has those that carry a state.

use super::graph::{Builder, Value};
use super::pads::{self, Carried};
use super::recurrent::Operator;
use crate::bundle::Trim;
use crate::onnx::{Attribute, Element, ValueInfo};
use crate::recipe::{Activation, LayerRecipe};
use crate::train::network::{Layer, Network};

/// The file of a network that fits together.
pub fn write(network: &Network<f32>, trim: Trim) -> Vec<u8> {
    let carried = match trim {
        Trim::Table => pads::carried(network, 0),
        Trim::Masked | Trim::None => Vec::new(),
    };
    let mut writer = Writer::start(network, trim);
    for (at, layer) in network.layers.iter().enumerate() {
        let last = at + 1 == network.layers.len();
        writer.layer(layer, carried.get(at).unwrap_or(&Carried::Nothing), last);
    }
    writer.finish()
}

/// Whether steps or rows come first while there is time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    TimeMajor,  // [time, batch, features], as ONNX's recurrent operators have it
    BatchMajor, // [batch, time, features]
}

pub(super) struct Writer<'a> {
    pub(super) network: &'a Network<f32>,
    pub(super) trim: Trim,
    pub(super) graph: Builder,
    pub(super) order: Order,
    /// What the last layer answered; over time or not.
    pub(super) value: Value,
    over_time: bool,
    /// `[1, batch, 1]`, the shape over which initial states are repeated, once a layer asked for it.
    repeat: Option<Value>,
    /// How many pads the trimmed rows lack, `[1]`, once a layer asked for it.
    pads: Option<Value>,
    /// Which steps are real, as long as the sequence and one feature wide, once a layer asked for it.
    mask: Option<Value>,
    rows: usize,
}

impl<'a> Writer<'a> {
    fn start(network: &'a Network<f32>, trim: Trim) -> Self {
        let mut writer = Self {
            network,
            trim,
            graph: Builder::default(),
            order: Order::BatchMajor,
            value: "ids".to_owned(),
            over_time: true,
            repeat: None,
            pads: None,
            mask: None,
            rows: 0,
        };
        if network
            .layers
            .iter()
            .any(|layer| layer.recipe.recurrent().is_some())
        {
            // Here a step is one number; behind the embedding it would be many to move.
            writer.order = Order::TimeMajor;
            writer.transpose(&[1, 0]);
        }
        writer
    }

    fn layer(&mut self, layer: &Layer<f32>, carried: &Carried, last: bool) {
        match layer.recipe {
            LayerRecipe::Embedding(_) => self.embedding(layer),
            LayerRecipe::Lstm(ref recurrent) => {
                self.recurrent(layer, recurrent, &Operator::LSTM, carried);
            }
            LayerRecipe::Gru(ref recurrent) => {
                let operator = match recurrent.arithmetic().2 {
                    true => &Operator::GRU,
                    false => &Operator::GRU_RESET_BEFORE,
                };
                self.recurrent(layer, recurrent, operator, carried);
            }
            LayerRecipe::SimpleRnn(ref recurrent) => {
                self.recurrent(layer, recurrent, &Operator::RNN, carried);
            }
            // The last activation is a sigmoid, and what goes into it is the logit.
            LayerRecipe::Dense { activation, .. } => {
                self.dense(layer, if last { Activation::Linear } else { activation });
            }
            LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => {}
            LayerRecipe::Flatten {} => self.flatten(),
            LayerRecipe::GlobalMaxPooling {} => self.value = self.max(layer, carried),
            LayerRecipe::GlobalAveragePooling {} => self.value = self.average(layer, carried),
            LayerRecipe::GlobalMaxAveragePooling {} => {
                let max = self.max(layer, carried);
                let average = self.average(layer, carried);
                let axis = Attribute::int("axis", 1);
                self.value = self.graph.node("Concat", &[&max, &average], vec![axis]);
            }
            LayerRecipe::AttentionPooling { .. } => self.attention(layer, carried),
        }
        if !matches!(
            layer.recipe,
            LayerRecipe::Embedding(_)
                | LayerRecipe::Dense { .. }
                | LayerRecipe::Dropout { .. }
                | LayerRecipe::SpatialDropout { .. }
        ) {
            let recurrent = layer.recipe.recurrent();
            self.over_time = recurrent.is_some_and(|recurrent| recurrent.return_sequences);
        }
    }

    fn embedding(&mut self, layer: &Layer<f32>) {
        let table = self.weight(layer, 0, "embeddings");
        self.rows = layer.weights[0].shape()[0];
        let ids = self.value.clone();
        self.value = self.graph.node("Gather", &[&table, &ids], vec![]);
    }

    /// The state after as many pads as the rows lack, for every row: `[1, batch, units]`.
    pub(super) fn initial_state(
        &mut self,
        name: &str,
        what: &str,
        table: (usize, &Vec<f64>),
    ) -> Value {
        let state = self.after_pads(&format!("{name}/{what}_after_pads"), table); // [1, 1, units]
        let repeat = self.repeat();
        self.graph.node("Expand", &[&state, &repeat], vec![])
    }

    /// The row of a `[maxlen, features]` table for the pads that the rows lack, as `[1, 1, features]`.
    pub(super) fn after_pads(
        &mut self,
        name: &str,
        (features, table): (usize, &Vec<f64>),
    ) -> Value {
        let values = table.iter().map(|&value| value as f32);
        let table = self
            .graph
            .floats(name, &[self.network.maxlen, 1, features], values);
        let pads = self.pads();
        self.graph.node("Gather", &[&table, &pads], vec![])
    }

    fn dense(&mut self, layer: &Layer<f32>, activation: Activation) {
        let kernel = self.weight(layer, 0, "kernel");
        let bias = self.weight(layer, 1, "bias");
        let input = self.value.clone();
        self.value = if self.over_time {
            let product = self.graph.node("MatMul", &[&input, &kernel], vec![]);
            self.graph.node("Add", &[&product, &bias], vec![])
        } else {
            self.graph.node("Gemm", &[&input, &kernel, &bias], vec![])
        };
        let op = match activation {
            Activation::Linear => return,
            Activation::Sigmoid => "Sigmoid",
            Activation::Relu => "Relu",
            Activation::Tanh => "Tanh",
            Activation::HardSigmoid | Activation::HardSigmoid3 => "HardSigmoid",
        };
        let sum = self.value.clone();
        let line = activation.straight().map(|alpha| {
            let alpha = Attribute::float("alpha", alpha as f32);
            vec![alpha, Attribute::float("beta", 0.5)]
        });
        self.value = self.graph.node(op, &[&sum], line.unwrap_or_default());
    }

    fn flatten(&mut self) {
        if self.order == Order::TimeMajor {
            self.transpose(&[1, 0, 2]);
        }
        let value = self.value.clone();
        let axis = Attribute::int("axis", 1);
        self.value = self.graph.node("Flatten", &[&value], vec![axis]); // [batch, maxlen * features]
    }

    fn max(&mut self, layer: &Layer<f32>, carried: &Carried) -> Value {
        let mut steps = self.value.clone();
        if self.trim == Trim::Masked {
            let mask = self.mask();
            let lowest = self.graph.floats("lowest", &[1], std::iter::once(f32::MIN));
            steps = self.graph.node("Where", &[&mask, &steps, &lowest], vec![]);
        }
        let (axis, drop) = (self.time_axis(), Attribute::int("keepdims", 0));
        let max = self.graph.node(
            "ReduceMax",
            &[&steps],
            vec![Attribute::ints("axes", &[axis]), drop],
        );
        let Carried::Pooled { max: table, .. } = carried else {
            return max;
        };
        let before = self.pooled_before(layer, "max", table);
        self.graph.node("Max", &[&max, &before], vec![])
    }

    fn average(&mut self, layer: &Layer<f32>, carried: &Carried) -> Value {
        let mut steps = self.value.clone();
        if self.trim == Trim::Masked {
            let mask = self.mask();
            let zero = self.graph.floats("nought", &[1], std::iter::once(0.0));
            steps = self.graph.node("Where", &[&mask, &steps, &zero], vec![]);
        }
        let axis = self.time_axis();
        let axis = self.graph.ints(&[axis]);
        let drop = Attribute::int("keepdims", 0);
        let mut sum = self.graph.node("ReduceSum", &[&steps, &axis], vec![drop]);
        if let Carried::Pooled { sum: table, .. } = carried {
            let before = self.pooled_before(layer, "sum", table);
            sum = self.graph.node("Add", &[&sum, &before], vec![]);
        }
        let count = match self.trim {
            Trim::Masked => {
                let (lengths, one) = ("lengths".to_owned(), self.graph.ints(&[1]));
                self.graph.node("Unsqueeze", &[&lengths, &one], vec![]) // [batch, 1]
            }
            Trim::Table | Trim::None => self.graph.ints(&[self.network.maxlen as i64]),
        };
        let float = Attribute::int("to", Element::Float as i64);
        let count = self.graph.node("Cast", &[&count], vec![float]);
        self.graph.node("Div", &[&sum, &count], vec![])
    }

    /// What pooling saw in the pads that the rows lack: `[1, features]`.
    fn pooled_before(&mut self, layer: &Layer<f32>, what: &str, table: &Vec<f64>) -> Value {
        let features = table.len() / self.network.maxlen;
        let name = format!("{}/{what}_of_pads", layer.name);
        let row = self.after_pads(&name, (features, table));
        let first = self.graph.ints(&[0]);
        self.graph.node("Squeeze", &[&row, &first], vec![])
    }

    /// Which steps are before the row's length: `[time, batch, 1]` or `[batch, time, 1]`.
    pub(super) fn mask(&mut self) -> Value {
        if let Some(mask) = &self.mask {
            return mask.clone();
        }
        let (lengths, time) = ("lengths".to_owned(), self.size(1));
        let (zero, one) = (self.graph.scalar(0), self.graph.scalar(1));
        let first = self.graph.ints(&[0]);
        let end = self.graph.node("Squeeze", &[&time, &first], vec![]);
        let steps = self.graph.node("Range", &[&zero, &end, &one], vec![]); // [time]
        let (steps_axes, lengths_axes) = match self.order {
            Order::TimeMajor => ([1, 2], [0, 2]),
            Order::BatchMajor => ([0, 2], [1, 2]),
        };
        let steps_axes = self.graph.ints(&steps_axes);
        let lengths_axes = self.graph.ints(&lengths_axes);
        let steps = self.graph.node("Unsqueeze", &[&steps, &steps_axes], vec![]);
        let lengths = self
            .graph
            .node("Unsqueeze", &[&lengths, &lengths_axes], vec![]);
        let mask = self.graph.node("Less", &[&steps, &lengths], vec![]);
        self.mask.insert(mask).clone()
    }

    pub(super) fn repeat(&mut self) -> Value {
        if let Some(repeat) = &self.repeat {
            return repeat.clone();
        }
        let (one, batch) = (self.graph.ints(&[1]), self.size(0));
        let axis = Attribute::int("axis", 0);
        let repeat = self.graph.node("Concat", &[&one, &batch, &one], vec![axis]);
        self.repeat.insert(repeat).clone()
    }

    fn pads(&mut self) -> Value {
        if let Some(pads) = &self.pads {
            return pads.clone();
        }
        let maxlen = self.graph.ints(&[self.network.maxlen as i64]);
        let time = self.size(1);
        let pads = self.graph.node("Sub", &[&maxlen, &time], vec![]);
        self.pads.insert(pads).clone()
    }

    /// The number of rows (0) or steps (1), `[1]`.
    fn size(&mut self, axis: i64) -> Value {
        let (ids, axis) = ("ids".to_owned(), self.graph.ints(&[axis]));
        let shape = self.graph.node("Shape", &[&ids], vec![]);
        self.graph.node("Gather", &[&shape, &axis], vec![])
    }

    pub(super) fn time_axis(&self) -> i64 {
        match self.order {
            Order::TimeMajor => 0,
            Order::BatchMajor => 1,
        }
    }

    pub(super) fn transpose(&mut self, axes: &[i64]) {
        let value = self.value.clone();
        let perm = Attribute::ints("perm", axes);
        self.value = self.graph.node("Transpose", &[&value], vec![perm]);
    }

    pub(super) fn weight(&mut self, layer: &Layer<f32>, at: usize, what: &str) -> Value {
        let weight = &layer.weights[at];
        let name = format!("{}/{what}", layer.name);
        self.graph
            .floats(&name, weight.shape(), weight.iter().copied())
    }

    fn finish(mut self) -> Vec<u8> {
        let one = self.graph.ints(&[1]);
        let logits = self.value.clone(); // [batch, 1]
        self.graph.push(
            "Squeeze",
            &[&logits, &one],
            vec!["logit".to_owned()],
            vec![],
        );
        self.graph.finish(
            vec![
                ValueInfo::tensor("ids", Element::Int64, &["batch", "time"]),
                ValueInfo::tensor("lengths", Element::Int64, &["batch"]),
            ],
            vec![ValueInfo::tensor("logit", Element::Float, &["batch"])],
            &[
                ("trim", self.trim.to_string()),
                ("maxlen", self.network.maxlen.to_string()),
                ("rows", self.rows.to_string()),
            ],
        )
    }
}
