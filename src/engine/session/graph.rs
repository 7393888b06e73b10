//! A graph of ours with our operators in the place of ONNX's: in memory alone, the file keeps the standard ones.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use prost::Message as _;

use super::operator::{DOMAIN, PADDED_LSTM};
use crate::onnx::{Attribute, Element, Graph, Model, Node, OperatorSet, Tensor};

/// A graph whose LSTMs are ours wherever they can be.
pub(super) struct Rewritten<'a> {
    pub onnx: Cow<'a, [u8]>,
    /// Nothing in it reads pads: a row costs what it has ids, however long those beside it are.
    pub ragged: bool,
}

/// The graph to run in the place of another. A file that holds more than our messages know stays as it is.
pub(super) fn with_our_operators(onnx: &[u8]) -> Rewritten<'_> {
    rewritten(onnx).unwrap_or(Rewritten::unchanged(onnx))
}

impl<'a> Rewritten<'a> {
    /// A graph as it is.
    pub fn unchanged(onnx: &'a [u8]) -> Self {
        Self {
            onnx: Cow::Borrowed(onnx),
            ragged: false,
        }
    }
}

fn rewritten(onnx: &[u8]) -> Option<Rewritten<'_>> {
    let mut model = Model::decode(onnx).ok()?;
    if model.encode_to_vec() != onnx || replace(model.graph.as_mut()?) == 0 {
        return None;
    }
    let trim = model.metadata_props.iter().find(|p| p.key == "trim")?;
    let (masked, table) = (trim.value == "masked", trim.value == "table");
    let graph = model.graph.as_mut()?;
    if table {
        leave_pads_out(graph);
    }
    let ragged = graph.node.iter().all(|node| match &*node.op_type {
        "GRU" | "RNN" => false,
        "LSTM" => masked && node.domain == DOMAIN,
        _ => true,
    });
    model.opset_import.push(OperatorSet {
        domain: DOMAIN.to_owned(),
        version: 1,
    });
    Some(Rewritten {
        onnx: Cow::Owned(model.encode_to_vec()),
        ragged,
    })
}

/// Gives LSTMs that begin with the state after as many pads as the batch lacks the states after every number of them, so that each
/// row begins at its own first id.
fn leave_pads_out(graph: &mut Graph) {
    let mut begins = Vec::new();
    {
        let found = Finder::new(graph);
        for (at, node) in graph.node.iter().enumerate() {
            let ours = node.op_type == "LSTM" && node.domain == DOMAIN && node.input.len() == 7;
            if ours
                && node.input[4].is_empty()
                && let Some(state) = found.after_pads(&node.input[5])
                && let Some(cell) = found.after_pads(&node.input[6])
            {
                begins.push((at, [state.to_owned(), cell.to_owned()]));
            }
        }
    }
    for (at, [state, cell]) in begins {
        let node = &mut graph.node[at];
        PADDED_LSTM.clone_into(&mut node.op_type);
        node.input.truncate(4);
        node.input.extend(["lengths".to_owned(), state, cell]);
    }
    forget_unused(graph);
}

/// What values of a graph come from.
struct Finder<'a> {
    nodes: HashMap<&'a str, &'a Node>,
    constants: HashMap<&'a str, &'a Tensor>,
}

impl<'a> Finder<'a> {
    fn new(graph: &'a Graph) -> Self {
        let outputs = |node: &'a Node| node.output.iter().map(move |name| (&**name, node));
        Self {
            nodes: graph.node.iter().flat_map(outputs).collect(),
            constants: graph.initializer.iter().map(|t| (&*t.name, t)).collect(),
        }
    }

    /// The operands of the operator that a value comes from, where it is that one.
    fn operands(&self, value: &str, operator: &str) -> Option<[&'a str; 2]> {
        let node = self.nodes.get(value)?;
        let [first, second] = &node.input[..] else {
            return None;
        };
        let known = node.op_type == operator && node.domain.is_empty();
        known.then_some([first, second])
    }

    /// The table `[maxlen, 1, units]` of which a value is the row for maxlen minus the batch's steps, repeated: what the exporter
    /// writes.
    fn after_pads(&self, value: &str) -> Option<&'a str> {
        let [row, _] = self.operands(value, "Expand")?;
        let [table, pads] = self.operands(row, "Gather")?;
        let [maxlen, time] = self.operands(pads, "Sub")?;
        let [shape, axis] = self.operands(time, "Gather")?;
        let shape = self.nodes.get(shape)?;
        let of_ids = shape.op_type == "Shape" && shape.input == ["ids"];
        let rows = *self.constants.get(table)?.dims.first()?;
        let due = of_ids && self.is(axis, 1) && self.is(maxlen, rows);
        due.then_some(table)
    }
}

impl Finder<'_> {
    /// Whether a value is a constant that holds one whole number and no other than this.
    fn is(&self, value: &str, number: i64) -> bool {
        let constant = self.constants.get(value);
        constant.is_some_and(|c| {
            c.data_type == Element::Int64 as i32 && c.raw_data == number.to_le_bytes()
        })
    }
}

/// Takes out what nothing reads any more.
fn forget_unused(graph: &mut Graph) {
    let mut read: HashSet<String> = graph.output.iter().map(|o| o.name.clone()).collect();
    // Nodes come after those that they read.
    let mut at = graph.node.len();
    while at > 0 {
        at -= 1;
        if graph.node[at].output.iter().any(|name| read.contains(name)) {
            read.extend(graph.node[at].input.iter().cloned());
        } else {
            graph.node.remove(at);
        }
    }
    graph
        .initializer
        .retain(|tensor| read.contains(&tensor.name));
}

fn replace(graph: &mut Graph) -> usize {
    let Graph {
        node, initializer, ..
    } = graph;
    let constants: HashSet<&str> = initializer.iter().map(|t| t.name.as_str()).collect();
    let mut replaced = 0;
    for node in node {
        let known = node.input.len() <= 7 && node.output.len() <= 2;
        let constant = node.input.len() >= 4
            && node.input[1..4]
                .iter()
                .all(|name| constants.contains(&**name));
        if is_standard(node) && known && constant && node.attribute.iter().all(is_known) {
            DOMAIN.clone_into(&mut node.domain);
            replaced += 1;
        }
    }
    replaced
}

fn is_standard(node: &Node) -> bool {
    node.op_type == "LSTM" && node.domain.is_empty()
}

/// Whether our operator does what an attribute asks for.
fn is_known(attribute: &Attribute) -> bool {
    match (&*attribute.name, &attribute.s) {
        ("hidden_size", _) => true,
        ("direction", Some(direction)) => {
            [&b"forward"[..], b"bidirectional"].contains(&direction.as_slice())
        }
        _ => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bundle::{Bundle, Trim, folder};
    use crate::engine::rows::{Layout, Rows};
    use crate::engine::session::{Device, Runtime, Session, SessionOptions};
    use crate::recipe::Recipe;
    use crate::text::{PaddingSpec, Side};
    use crate::train::export::export;
    use crate::train::network::Network;

    fn lstms(onnx: &[u8]) -> Vec<String> {
        let graph = Model::decode(onnx).unwrap().graph.unwrap();
        let lstms = graph.node.into_iter().filter(|n| n.op_type == "LSTM");
        lstms.map(|node| node.domain).collect()
    }

    #[test]
    fn the_shipped_models_answer_the_same_with_our_operators() {
        for name in ["imdb", "naver"] {
            let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
            let bundle = Bundle::load(&folder::resolve(&models, name).unwrap()).unwrap();
            let ours = lstms(&with_our_operators(&bundle.onnx).onnx);
            assert!(!ours.is_empty() && ours.iter().all(|domain| domain == DOMAIN));
            assert!(lstms(&bundle.onnx).iter().all(String::is_empty));
            let mut rows = Rows::default();
            let golden = bundle.golden.iter().map(|row| row.ids.as_slice());
            Layout::of(&bundle.manifest).fill(golden, &mut rows);
            let [theirs, ours] =
                [true, false].map(|standard| logits(&bundle.onnx, &rows, standard));
            for (theirs, ours) in theirs.iter().zip(&ours) {
                assert!((theirs - ours).abs() < 1e-5, "{name}: {theirs} and {ours}");
            }
        }
    }

    /// A network whose rows have pads before them, as it is exported: a recipe and the numbers that it would begin to train with.
    fn padded(layers: &str) -> Vec<u8> {
        let course = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/recipes/course-naver.toml");
        let text = std::fs::read_to_string(&course).unwrap();
        let (before, rest) = text.split_once("[[layers]]").unwrap();
        let (_, after) = rest.split_once("[fit]").unwrap();
        let text = format!("{before}{layers}\n[fit]{after}");
        let recipe = Recipe::parse(&text, "a test").unwrap();
        let network = Network::<f32>::build(&recipe.layers, 40, 20, 5);
        export(&network, Side::Pre).unwrap().onnx
    }

    const TWO_LSTMS: &str = r#"
        [[layers]]
        kind = "embedding"
        units = 4
        [[layers]]
        kind = "lstm"
        units = 8
        return_sequences = true
        [[layers]]
        kind = "lstm"
        units = 5
        [[layers]]
        kind = "dense"
        units = 1
        activation = "sigmoid"
    "#;

    fn logits(onnx: &[u8], rows: &Rows, standard: bool) -> Vec<f32> {
        let options = SessionOptions {
            device: Device::Cpu,
            standard,
        };
        let mut session = Session::open(&Runtime::load().unwrap(), onnx, options).unwrap();
        session.run(&rows.ids, rows.shape, &rows.lengths).unwrap()
    }

    #[test]
    fn rows_of_every_length_answer_as_where_all_pads_are_read() {
        let pooled = TWO_LSTMS.replace(
            "units = 5",
            "units = 5\nreturn_sequences = true\n[[layers]]\nkind = \"global_max_average_pooling\"",
        );
        let mixed = TWO_LSTMS.replacen("\"lstm\"", "\"gru\"", 1);
        for (layers, ragged) in [(TWO_LSTMS, true), (&pooled, true), (&mixed, false)] {
            let onnx = padded(layers);
            let rewritten = with_our_operators(&onnx);
            let graph = Model::decode(&*rewritten.onnx).unwrap().graph.unwrap();
            assert_eq!(rewritten.ragged, ragged, "{layers}");
            assert!(graph.node.iter().any(|node| node.op_type == PADDED_LSTM));
            let texts: Vec<Vec<i64>> = [7, 20, 1, 0, 13, 20, 2]
                .iter()
                .map(|&length| (0..length).map(|at| 1 + (at * 7 + length) % 39).collect())
                .collect();
            let padding = PaddingSpec {
                maxlen: 20,
                padding: Side::Pre,
                truncating: Side::Pre,
                value: 0,
            };
            let layout = Layout::new(Trim::Table, padding);
            let mut rows = Rows::default();
            // With a row as long as any, and without.
            for texts in [&texts[..], &texts[2..5]] {
                layout.fill(texts.iter().map(Vec::as_slice), &mut rows);
                let [theirs, ours] = [true, false].map(|standard| logits(&onnx, &rows, standard));
                for (theirs, ours) in theirs.iter().zip(&ours) {
                    assert!(
                        (theirs - ours).abs() < 1e-5,
                        "{theirs} and {ours}: {layers}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_shipped_models_read_no_pads() {
        for name in ["imdb", "naver"] {
            let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
            let bundle = Bundle::load(&folder::resolve(&models, name).unwrap()).unwrap();
            assert!(with_our_operators(&bundle.onnx).ragged, "{name}");
        }
    }

    #[test]
    fn states_that_are_not_those_after_pads_stay_as_they_are() {
        let model = Model::decode(&*padded(TWO_LSTMS)).unwrap();
        assert!(with_our_operators(&model.encode_to_vec()).ragged);
        // Another operator where the pads are counted, another number, another input whose steps those are.
        let changes: [fn(&mut Node); 3] = [
            |node| {
                if node.op_type == "Sub" {
                    node.op_type = "Add".to_owned();
                }
            },
            |node| {
                if node.op_type == "Sub" {
                    node.input[0] = "int_1".to_owned();
                }
            },
            |node| {
                if node.op_type == "Shape" {
                    node.input[0] = "lengths".to_owned();
                }
            },
        ];
        for change in changes {
            let mut model = model.clone();
            let nodes = &mut model.graph.as_mut().unwrap().node;
            nodes.iter_mut().for_each(change);
            let changed = model.encode_to_vec();
            let rewritten = with_our_operators(&changed);
            assert!(!rewritten.ragged);
            let graph = Model::decode(&*rewritten.onnx).unwrap().graph.unwrap();
            assert!(graph.node.iter().all(|node| node.op_type != PADDED_LSTM));
        }
    }

    #[test]
    fn an_lstm_with_what_ours_does_not_know_stays_as_it_is() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/naver/2/model.onnx");
        let onnx = std::fs::read(models).unwrap();
        let mut model = Model::decode(&*onnx).unwrap();
        for node in &mut model.graph.as_mut().unwrap().node {
            if node.op_type == "LSTM" {
                node.attribute.push(Attribute::int("input_forget", 1));
            }
        }
        let changed = model.encode_to_vec();
        assert_eq!(with_our_operators(&changed).onnx, changed);
        // Field 1000 is not ours: what it says would be lost.
        let unknown = [&*onnx, &[0xc2, 0x3e, 0x01, 0x78]].concat();
        assert_eq!(with_our_operators(&unknown).onnx, unknown);
    }
}
