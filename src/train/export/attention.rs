//! Attention over time as standard operators.

use super::graph::Value;
use super::layers::{Order, Writer};
use super::pads::Carried;
use crate::bundle::Trim;
use crate::onnx::Attribute;
use crate::train::network::Layer;

impl Writer<'_> {
    /// Scores of all steps, a softmax over them, and the sum of the steps with those weights. Steps behind a row's length
    /// get the lowest score there is; what the pads that the rows lack would have added is one step more.
    pub(super) fn attention(&mut self, layer: &Layer<f32>, carried: &Carried) {
        let mut steps = self.value.clone();
        let mut scores = self.scores(layer);
        if self.trim == Trim::Masked {
            let mask = self.mask();
            let lowest = self.graph.floats(
                &format!("{}/lowest", layer.name),
                &[1],
                std::iter::once(f32::MIN),
            );
            scores = self.graph.node("Where", &[&mask, &scores, &lowest], vec![]);
        }
        let time = self.time_axis();
        if let Carried::Attended { weight, mean } = carried {
            let features = mean.len() / self.network.maxlen;
            let name = &layer.name;
            let weight = self.one_step((&format!("{name}/weight_of_pads"), 1, weight));
            let mean = self.one_step((&format!("{name}/mean_of_pads"), features, mean));
            let axis = || vec![Attribute::int("axis", time)];
            scores = self.graph.node("Concat", &[&weight, &scores], axis());
            steps = self.graph.node("Concat", &[&mean, &steps], axis());
        }
        let axis = Attribute::int("axis", time);
        let shares = self.graph.node("Softmax", &[&scores], vec![axis]);
        let weighted = self.graph.node("Mul", &[&steps, &shares], vec![]);
        let (axes, drop) = (self.graph.ints(&[time]), Attribute::int("keepdims", 0));
        self.value = self
            .graph
            .node("ReduceSum", &[&weighted, &axes], vec![drop]);
    }

    /// What each step says to the query: as long as the sequence and one feature wide.
    fn scores(&mut self, layer: &Layer<f32>) -> Value {
        let steps = self.value.clone();
        let [kernel, bias, query] = [(0, "kernel"), (1, "bias"), (2, "query")]
            .map(|(at, what)| self.weight(layer, at, what));
        let product = self.graph.node("MatMul", &[&steps, &kernel], vec![]);
        let sum = self.graph.node("Add", &[&product, &bias], vec![]);
        let said = self.graph.node("Tanh", &[&sum], vec![]);
        self.graph.node("MatMul", &[&said, &query], vec![])
    }

    /// The table's row for the pads that the rows lack, as a step of every row.
    fn one_step(&mut self, (name, features, table): (&str, usize, &Vec<f64>)) -> Value {
        // Before the first pad there is no weight, which the runtime's softmax takes as a number alone.
        let table = table.iter().map(|value| value.max(f64::from(f32::MIN)));
        let step = self.after_pads(name, (features, &table.collect())); // [1, 1, features]
        let repeat = self.repeat();
        let steps = self.graph.node("Expand", &[&step, &repeat], vec![]); // [1, batch, features]
        match self.order {
            Order::TimeMajor => steps,
            Order::BatchMajor => {
                let perm = Attribute::ints("perm", &[1, 0, 2]);
                self.graph.node("Transpose", &[&steps], vec![perm])
            }
        }
    }
}
