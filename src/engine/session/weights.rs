//! What sessions of one graph hold together.

use std::sync::Arc;

use ort::value::{DynValue, Tensor};
use prost::Message as _;

use crate::onnx::{Element, Model};

/// Bytes from which on a tensor is worth sharing: embeddings are larger, and little else is.
const LARGE: usize = 256 << 10;

/// A graph's large tensors, once for all of its sessions on CPUs; each would have its own otherwise.
#[derive(Clone, Debug, Default)]
pub struct Weights(Vec<(String, Arc<DynValue>)>);

impl Weights {
    /// Those of a graph; none of what cannot be read, about which opening a session says more.
    pub fn of(onnx: &[u8]) -> Self {
        let graph = Model::decode(onnx).ok().and_then(|model| model.graph);
        let tensors = graph.into_iter().flat_map(|graph| graph.initializer);
        let shared = tensors.filter_map(|tensor| {
            let bytes = &tensor.raw_data;
            if tensor.data_type != Element::Float as i32 || bytes.len() < LARGE {
                return None;
            }
            let (numbers, rest) = bytes.as_chunks();
            let numbers: Vec<f32> = numbers.iter().copied().map(f32::from_le_bytes).collect();
            let sizes = tensor.dims.iter().map(|&size| usize::try_from(size));
            let sizes = sizes.collect::<Result<Vec<_>, _>>().ok()?;
            let fit = rest.is_empty() && sizes.iter().product::<usize>() == numbers.len();
            let value = fit.then(|| Tensor::from_array((sizes, numbers)))?.ok()?;
            Some((tensor.name, Arc::new(value.into_dyn())))
        });
        Self(shared.collect())
    }

    /// By name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<DynValue>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bundle::Bundle;
    use crate::engine::session::{Device, Runtime, Session, SessionOptions};

    #[test]
    fn sessions_that_share_weights_answer_as_those_with_their_own() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/naver/2");
        let onnx = Bundle::load(&folder).unwrap().onnx;
        let weights = Weights::of(&onnx);
        assert!(weights.iter().count() >= 1);
        let runtime = Runtime::load().unwrap();
        let options = SessionOptions {
            device: Device::Cpu,
            standard: false,
        };
        let answer = |weights: &Weights| {
            let mut session = Session::open_with(&runtime, &onnx, options, weights).unwrap();
            let logits = session.run(&[5, 6, 7, 8, 9, 0], (2, 3), &[3, 2]).unwrap();
            logits.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        let own = answer(&Weights::default());
        let shared = [answer(&weights), answer(&weights)];
        assert_eq!(shared, [own.clone(), own]);
        // They are what is read, and not what lies in the file.
        let zero = weights.iter().map(|(name, value)| {
            let sizes = value.shape().to_vec();
            let count = sizes.iter().product::<i64>() as usize;
            let zero = Tensor::from_array((sizes, vec![0.0_f32; count])).unwrap();
            (name.to_owned(), Arc::new(zero.into_dyn()))
        });
        assert_ne!(answer(&Weights(zero.collect())), shared[0]);
    }

    #[test]
    fn a_tensor_that_is_not_what_it_says_is_not_shared() {
        let tensor = |dims: Vec<i64>, bytes: usize| crate::onnx::Tensor {
            dims,
            data_type: Element::Float as i32,
            name: "w".to_owned(),
            raw_data: vec![0; bytes],
            ..Default::default()
        };
        let count = |tensor| {
            let graph = crate::onnx::Graph {
                initializer: vec![tensor],
                ..Default::default()
            };
            let model = Model {
                graph: Some(graph),
                ..Default::default()
            };
            Weights::of(&model.encode_to_vec()).iter().count()
        };
        assert_eq!(count(tensor(vec![256, 256], LARGE)), 1);
        for other in [
            tensor(vec![256, 255], LARGE),
            tensor(vec![-1, -65_536], LARGE),
            tensor(vec![65_536], LARGE + 1),
            tensor(vec![10], 40),
        ] {
            assert_eq!(count(other), 0);
        }
        assert_eq!(Weights::of(b"no graph").iter().count(), 0);
    }
}
