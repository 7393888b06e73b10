//! A graph under construction: nodes and constants with names of their own.

use crate::onnx::{
    Attribute, Element, Graph, IR_VERSION, Model, Node, OPSET, OperatorSet, Property, Tensor,
    ValueInfo,
};
use prost::Message as _;

/// The name of a value: an input, a constant or what a node answered.
pub type Value = String;

/// Nodes so far.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Builder {
    /// A node with one output.
    pub fn node(&mut self, op: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let output = format!("{}_{}", op.to_lowercase(), self.nodes.len());
        self.push(op, inputs, vec![output.clone()], attributes);
        output
    }

    /// A node with outputs of the caller's naming; an empty name leaves one out.
    pub fn push(
        &mut self,
        op: &str,
        inputs: &[&Value],
        output: Vec<Value>,
        attribute: Vec<Attribute>,
    ) {
        self.nodes.push(Node {
            input: inputs.iter().map(|&input| input.clone()).collect(),
            output,
            name: format!("{op}_{}", self.nodes.len()),
            op_type: op.to_owned(),
            attribute,
            domain: String::new(),
        });
    }

    /// A constant of floats.
    pub fn floats(
        &mut self,
        name: &str,
        dims: &[usize],
        values: impl Iterator<Item = f32>,
    ) -> Value {
        let raw = values.flat_map(f32::to_le_bytes).collect();
        self.constant(name, Element::Float, dims, raw)
    }

    /// A constant of whole numbers, one of a value however often it is asked for.
    pub fn ints(&mut self, values: &[i64]) -> Value {
        let numbers: Vec<String> = values.iter().map(i64::to_string).collect();
        let name = format!("int_{}", numbers.join("_").replace('-', "minus"));
        if self.constants.iter().any(|constant| constant.name == name) {
            return name;
        }
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&name, Element::Int64, &[values.len()], raw)
    }

    /// A single whole number without dimensions.
    pub fn scalar(&mut self, value: i64) -> Value {
        let name = format!("scalar_{value}");
        if self.constants.iter().any(|constant| constant.name == name) {
            return name;
        }
        self.constant(&name, Element::Int64, &[], value.to_le_bytes().to_vec())
    }

    fn constant(
        &mut self,
        name: &str,
        element: Element,
        dims: &[usize],
        raw_data: Vec<u8>,
    ) -> Value {
        self.constants.push(Tensor {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: element as i32,
            name: name.to_owned(),
            raw_data,
            ..Tensor::default()
        });
        name.to_owned()
    }

    /// The file.
    pub fn finish(
        self,
        inputs: Vec<ValueInfo>,
        outputs: Vec<ValueInfo>,
        properties: &[(&str, String)],
    ) -> Vec<u8> {
        let metadata_props = properties
            .iter()
            .map(|(key, value)| Property {
                key: (*key).to_owned(),
                value: value.clone(),
            })
            .collect();
        Model {
            ir_version: IR_VERSION,
            producer_name: env!("CARGO_PKG_NAME").to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(Graph {
                node: self.nodes,
                name: "sentiment".to_owned(),
                initializer: self.constants,
                input: inputs,
                output: outputs,
            }),
            opset_import: vec![OperatorSet {
                domain: String::new(),
                version: OPSET,
            }],
            metadata_props,
        }
        .encode_to_vec()
    }
}
