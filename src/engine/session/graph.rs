//! A graph of ours with our operators in the place of ONNX's: in memory alone, the file keeps the standard ones.

use std::borrow::Cow;
use std::collections::HashSet;

use prost::Message as _;

use super::operator::DOMAIN;
use crate::onnx::{Attribute, Graph, Model, Node, OperatorSet};

/// The bytes of a graph whose LSTMs are ours wherever they can be. A file that holds more than our messages know stays as it
/// is.
pub(super) fn with_our_operators(onnx: &[u8]) -> Cow<'_, [u8]> {
    rewritten(onnx).map_or(Cow::Borrowed(onnx), Cow::Owned)
}

fn rewritten(onnx: &[u8]) -> Option<Vec<u8>> {
    let mut model = Model::decode(onnx).ok()?;
    if model.encode_to_vec() != onnx || replace(model.graph.as_mut()?) == 0 {
        return None;
    }
    model.opset_import.push(OperatorSet {
        domain: DOMAIN.to_owned(),
        version: 1,
    });
    Some(model.encode_to_vec())
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
    use crate::bundle::{Bundle, folder};
    use crate::engine::rows::{Layout, Rows};
    use crate::engine::session::{Device, Runtime, Session, SessionOptions};

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
            let ours = lstms(&with_our_operators(&bundle.onnx));
            assert!(!ours.is_empty() && ours.iter().all(|domain| domain == DOMAIN));
            assert!(lstms(&bundle.onnx).iter().all(String::is_empty));
            let mut rows = Rows::default();
            let golden = bundle.golden.iter().map(|row| row.ids.as_slice());
            Layout::of(&bundle.manifest).fill(golden, &mut rows);
            let runtime = Runtime::load().unwrap();
            let [theirs, ours] = [true, false].map(|standard| {
                let options = SessionOptions {
                    device: Device::Cpu,
                    standard,
                };
                let mut session = Session::open(&runtime, &bundle.onnx, options).unwrap();
                session.run(&rows.ids, rows.shape, &rows.lengths).unwrap()
            });
            for (theirs, ours) in theirs.iter().zip(&ours) {
                assert!((theirs - ours).abs() < 1e-5, "{name}: {theirs} and {ours}");
            }
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
        assert_eq!(with_our_operators(&changed), changed);
        // Field 1000 is not ours: what it says would be lost.
        let unknown = [&*onnx, &[0xc2, 0x3e, 0x01, 0x78]].concat();
        assert_eq!(with_our_operators(&unknown), unknown);
    }
}
