//! A graph of another program, served as it is: what it takes and gives becomes what every graph of ours takes and gives.
//!
//! Its own nodes, constants and unknown fields stay as they are. In front of them `ids` become the type that the graph
//! takes; behind them a probability becomes the logit: what went into the sigmoid where that can be seen, else computed
//! back from the probability.

use std::collections::HashMap;

use prost::Message as _;

use super::rename;
use super::wire::{fields, put};
use crate::bundle::Trim;
use crate::import::stack::Head;
use crate::onnx::{Attribute, Element, Graph, Node, Property, Tensor, ValueInfo};

/// The names that every graph of ours has.
const OURS: [&str; 3] = ["ids", "lengths", "logit"];

/// What the outside has to know of an adopted graph.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adoption {
    /// The length of every row.
    pub maxlen: usize,
    /// Ids are below this.
    pub rows: usize,
    /// How the output is to be read.
    pub head: Head,
}

/// The file with `ids`, `lengths` and `logit`.
///
/// # Errors
/// The graph takes or gives something else than rows of ids and a probability.
pub(super) fn adopt(file: &[u8], read: &Graph, adoption: Adoption) -> Result<Vec<u8>, String> {
    let [input] = &free_inputs(read)[..] else {
        return Err(format!(
            "it has {} inputs, where one is needed",
            free_inputs(read).len()
        ));
    };
    let (element, _) = input.as_tensor().ok_or("its input is no tensor")?;
    let [output] = &read.output[..] else {
        return Err(format!(
            "it has {} outputs, where one is needed",
            read.output.len()
        ));
    };
    let named = |name: &str| rename::name(name, &OURS).into_owned();
    let cast = Node {
        input: vec!["ids".to_owned()],
        output: vec![named(&input.name)],
        name: "adopted_ids".to_owned(),
        op_type: "Cast".to_owned(),
        attribute: vec![Attribute::int("to", i64::from(element))],
        ..Node::default()
    };
    let mut tail = Tail::default();
    tail.logit(
        read,
        adoption.head,
        (&output.name, outputs(output)?),
        &named,
    );

    let mut model = Vec::with_capacity(file.len() + 1024);
    for field in fields(file)? {
        let Some(graph) = field.payload.filter(|_| field.number == 7) else {
            model.extend_from_slice(field.whole);
            continue;
        };
        let graph = rename::graph(graph, &OURS, rename::MOST_DEPTH)?;
        let mut adopted = Vec::with_capacity(graph.len() + 1024);
        put(&mut adopted, 1, &cast.encode_to_vec());
        for field in fields(&graph)? {
            let gone = field.number == 12
                || field.number == 11
                    && field
                        .payload
                        .is_some_and(|value| is_named(value, &named(&input.name)));
            if !gone {
                adopted.extend_from_slice(field.whole);
            }
        }
        for node in &tail.nodes {
            put(&mut adopted, 1, &node.encode_to_vec());
        }
        for constant in &tail.constants {
            put(&mut adopted, 5, &constant.encode_to_vec());
        }
        let ids = ValueInfo::tensor("ids", Element::Int64, &["batch", "time"]);
        let lengths = ValueInfo::tensor("lengths", Element::Int64, &["batch"]);
        let logit = ValueInfo::tensor("logit", Element::Float, &["batch"]);
        for (number, value) in [(11, ids), (11, lengths), (12, logit)] {
            put(&mut adopted, number, &value.encode_to_vec());
        }
        put(&mut model, 7, &adopted);
    }
    for (key, value) in [
        ("trim", Trim::None.to_string()),
        ("maxlen", adoption.maxlen.to_string()),
        ("rows", adoption.rows.to_string()),
    ] {
        let property = Property {
            key: key.to_owned(),
            value,
        };
        put(&mut model, 14, &property.encode_to_vec());
    }
    Ok(model)
}

/// The inputs that are not constants; old files list those too.
pub(super) fn free_inputs(graph: &Graph) -> Vec<&ValueInfo> {
    let constant = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    graph
        .input
        .iter()
        .filter(|input| !constant(&input.name))
        .collect()
}

fn is_named(value: &[u8], name: &str) -> bool {
    fields(value).is_ok_and(|fields| {
        let first = fields.iter().find(|field| field.number == 1);
        first.and_then(|field| field.payload) == Some(name.as_bytes())
    })
}

/// One number for each row, or two.
fn outputs(output: &ValueInfo) -> Result<usize, String> {
    let (element, sizes) = output.as_tensor().ok_or("its output is no tensor")?;
    if element != Element::Float as i32 {
        return Err("its output is not of floats".to_owned());
    }
    match sizes.get(1..).unwrap_or_default() {
        [] | [None] => Ok(1),
        [Some(count)] | [Some(count), Some(1)] if *count <= 2 => Ok(*count),
        sizes => Err(format!(
            "it answers {sizes:?} numbers for each row, where one or two are needed"
        )),
    }
}

/// The nodes behind the graph.
#[derive(Default)]
struct Tail {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Tail {
    fn logit(
        &mut self,
        graph: &Graph,
        head: Head,
        (output, count): (&str, usize),
        named: &dyn Fn(&str) -> String,
    ) {
        let last = producer(graph, output);
        let input = |node: &Node| named(node.input.first().map_or("", String::as_str));
        let column = |weights: [f32; 2]| match head.positive {
            0 => [weights[1], weights[0]],
            _ => weights,
        };
        let logit = match (count, last) {
            (1, Some(node)) if node.op_type == "Sigmoid" => input(node),
            (1, _) if head.logit => named(output),
            (1, _) => self.log_odds(named(output)),
            (_, Some(node)) if node.op_type == "Softmax" => {
                self.columns(input(node), column([-1.0, 1.0]))
            }
            _ => {
                let positive = self.columns(named(output), column([0.0, 1.0]));
                self.log_odds(positive)
            }
        };
        let flat = self.constant(
            "flat",
            Element::Int64,
            &[1],
            (-1_i64).to_le_bytes().to_vec(),
        );
        self.nodes.push(Node {
            input: vec![logit, flat],
            output: vec!["logit".to_owned()],
            name: "adopted_logit".to_owned(),
            op_type: "Reshape".to_owned(),
            ..Node::default()
        });
    }

    /// The weighted sum of two outputs.
    fn columns(&mut self, two: String, weights: [f32; 2]) -> String {
        let raw = weights
            .iter()
            .flat_map(|weight| weight.to_le_bytes())
            .collect();
        let weights = self.constant("columns", Element::Float, &[2, 1], raw);
        self.node("MatMul", &[two, weights])
    }

    /// `log(p / (1 - p))`, of probabilities that a float can tell from 0 and 1.
    fn log_odds(&mut self, probability: String) -> String {
        let mut float = |name: &str, value: f32| {
            self.constant(name, Element::Float, &[1], value.to_le_bytes().to_vec())
        };
        let least = float("least", 1e-30);
        let most = float("most", 1.0 - f32::EPSILON / 2.0);
        let one = float("one", 1.0);
        let probability = self.node("Max", &[probability, least]);
        let probability = self.node("Min", &[probability, most]);
        let other = self.node("Sub", &[one, probability.clone()]);
        let odds = self.node("Div", &[probability, other]);
        self.node("Log", &[odds])
    }

    fn node(&mut self, op: &str, inputs: &[String]) -> String {
        let output = format!("adopted_{}", self.nodes.len());
        self.nodes.push(Node {
            input: inputs.to_vec(),
            output: vec![output.clone()],
            name: format!("adopted_{op}_{}", self.nodes.len()),
            op_type: op.to_owned(),
            ..Node::default()
        });
        output
    }

    fn constant(
        &mut self,
        name: &str,
        element: Element,
        dims: &[i64],
        raw_data: Vec<u8>,
    ) -> String {
        let name = format!("adopted_{name}");
        self.constants.push(Tensor {
            dims: dims.to_vec(),
            data_type: element as i32,
            name: name.clone(),
            raw_data,
            ..Tensor::default()
        });
        name
    }
}

/// The node that computes a value, behind those that only hand it on; none where there is none or they go round in a circle.
fn producer<'a>(graph: &'a Graph, value: &str) -> Option<&'a Node> {
    let mut makers: HashMap<&str, &Node> = HashMap::new();
    for node in &graph.node {
        makers.extend(node.output.iter().map(|output| (output.as_str(), node)));
    }
    // A node is taken out, so that a circle ends.
    let mut node = makers.remove(value)?;
    while node.op_type == "Identity"
        && let Some(from) = node.input.first()
    {
        node = makers.remove(from.as_str())?;
    }
    Some(node)
}
