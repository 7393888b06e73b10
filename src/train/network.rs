//! Recipe to layers: the weights of a network, what it answers, and its gradients.

use ndarray::ArrayD;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::init;
use super::layers::{Backward, Context, Operation, Saved, Shape, operation};
use super::layout::Layout;
use super::real::Real;
use crate::recipe::LayerRecipe;

/// A stack of layers, `f32` to train and `f64` to prove.
#[derive(Clone, Debug)]
pub struct Network<R> {
    /// Input to output.
    pub layers: Vec<Layer<R>>,
    /// The length of a padded row.
    pub maxlen: usize,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer<R> {
    /// Its name as Keras numbers them: `lstm`, `lstm_1`, ...
    pub name: String,
    /// What the recipe says.
    pub recipe: LayerRecipe,
    /// In the order and layout of Keras's `get_weights()`: embedding `[rows, units]`; lstm `[inputs, 4 units]`,
    /// `[units, 4 units]`, `[4 units]` with gates i, f, c, o; dense `[inputs, units]`, `[units]`; nothing elsewhere.
    pub weights: Vec<ArrayD<R>>,
}

/// Rows that one task computes together, so that a task's work is large enough to be worth handing out.
const ROWS_PER_TASK: usize = 64;

impl<R: Real> Network<R> {
    /// A network with Keras's default initial weights, drawn from `seed`; `rows` are the embedding's.
    pub fn build(layers: &[LayerRecipe], rows: usize, maxlen: usize, seed: u64) -> Self {
        let mut noise = init::generator(seed);
        let mut names = std::collections::BTreeMap::new();
        let mut shape = Shape {
            steps: Some(maxlen),
            features: rows,
        };
        let layers = layers
            .iter()
            .map(|recipe| {
                let kind = kind(recipe);
                let seen = names.entry(kind).or_insert(0usize);
                let name = if *seen == 0 {
                    kind.to_owned()
                } else {
                    format!("{kind}_{seen}")
                };
                *seen += 1;
                let weights = init::weights(recipe, shape.features, &mut noise);
                shape = output_shape::<R>(recipe, shape);
                Layer {
                    name,
                    recipe: recipe.clone(),
                    weights,
                }
            })
            .collect();
        Self { layers, maxlen }
    }

    /// The same network in the other precision.
    pub fn cast<S: Real>(&self) -> Network<S> {
        let layers = self.layers.iter().map(|layer| Layer {
            name: layer.name.clone(),
            recipe: layer.recipe.clone(),
            weights: layer
                .weights
                .iter()
                .map(|w| w.mapv(|x| S::from_f64(x.to_f64())))
                .collect(),
        });
        Network {
            layers: layers.collect(),
            maxlen: self.maxlen,
        }
    }

    /// The shape after each layer; the first entry is the embedding's output.
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shape = Shape {
            steps: Some(self.maxlen),
            features: self.rows(),
        };
        self.layers
            .iter()
            .map(|layer| {
                shape = output_shape::<R>(&layer.recipe, shape);
                shape
            })
            .collect()
    }

    /// The number of weights.
    pub fn parameters(&self) -> usize {
        self.layers
            .iter()
            .flat_map(|l| &l.weights)
            .map(ArrayD::len)
            .sum()
    }

    /// The weights that training leaves as they are, at the front of all: those of a frozen embedding.
    pub fn frozen(&self) -> usize {
        let embedding = self.layers[0].recipe.embedding();
        usize::from(embedding.is_some_and(|embedding| !embedding.trainable))
    }

    /// The embedding's rows: every id must be below.
    pub fn rows(&self) -> usize {
        self.layers[0].weights[0].shape()[0]
    }

    /// The logit of each row, the dense layer's output before its sigmoid. Rows are as the network reads them: of any
    /// length of at least 1 where steps are masked, else padded to `maxlen`. Runs on the current rayon pool; the answer
    /// of a row does not depend on the others.
    ///
    /// # Panics
    /// If a row is empty or holds an id that the embedding has no row for.
    pub fn logits(&self, rows: &[&[i64]]) -> Vec<R> {
        let operations = self.operations();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by_key(|&row| rows[row].len());
        let tasks: Vec<Vec<(usize, R)>> = order
            .par_chunks(ROWS_PER_TASK)
            .map_init(Workspace::default, |workspace, chunk| {
                let row = |at: usize| rows[chunk[at]];
                let shares_pads = operations.shares_pads(false);
                workspace.layout.set(chunk.len(), row, shares_pads);
                self.forward(&operations, workspace, None);
                let logits = workspace.outputs.last().expect("a network has layers");
                workspace
                    .layout
                    .order
                    .iter()
                    .zip(logits)
                    .map(|(&at, logit)| (chunk[at], *logit))
                    .collect()
            })
            .collect();
        let mut logits = vec![R::ZERO; rows.len()];
        for (row, logit) in tasks.into_iter().flatten() {
            logits[row] = logit;
        }
        logits
    }

    /// What each layer but the embedding computes.
    pub fn operations(&self) -> Operations<R> {
        let shapes = self.shapes();
        let last = self.layers.len() - 1;
        let above = self.layers.iter().enumerate().skip(1);
        Operations {
            layers: above
                .map(|(at, layer)| operation(&layer.recipe, shapes[at - 1], at == last).0)
                .collect(),
            own_pads: OwnPads::of(&self.layers, &shapes),
        }
    }

    /// Fills `workspace.outputs` for the rows laid out in it.
    pub fn forward(
        &self,
        operations: &Operations<R>,
        workspace: &mut Workspace<R>,
        mut noise: Option<&mut ChaCha8Rng>,
    ) {
        let Workspace {
            layout,
            apart,
            outputs,
            spread,
            saved,
            ..
        } = workspace;
        outputs.resize_with(self.layers.len(), Vec::new);
        saved.resize_with(self.layers.len(), Saved::default);
        let table = self.layers[0].weights[0]
            .as_slice()
            .expect("weights are in standard layout");
        let units = self.layers[0].weights[0].shape()[1];
        outputs[0].clear();
        for &id in &layout.ids {
            let at = usize::try_from(id).expect("ids are not negative") * units;
            outputs[0].extend_from_slice(&table[at..at + units]);
        }
        let spreads = operations.spreads(noise.is_some());
        if spreads.is_some() {
            apart.set_apart(layout);
        }
        for (at, operation) in operations.layers.iter().enumerate() {
            let (below, above) = outputs.split_at_mut(at + 1);
            if spreads == Some(at) {
                layout.spread(&below[at], spread);
            }
            let mut context = Context {
                layout: layout_at(at, spreads, layout, apart),
                weights: &self.layers[at + 1].weights,
                noise: noise.as_deref_mut(),
            };
            let input = match spreads == Some(at) {
                true => &*spread,
                false => &below[at],
            };
            operation.forward(&mut context, input, &mut saved[at + 1], &mut above[0]);
        }
    }

    /// Fills `workspace.weight_gradients` and `workspace.embedding_gradient` from the gradient by each logit, in the
    /// layout's order, after [`Self::forward`].
    pub fn backward(
        &self,
        operations: &Operations<R>,
        workspace: &mut Workspace<R>,
        by_logit: &[R],
    ) {
        let Workspace {
            layout,
            apart,
            outputs,
            spread,
            saved,
            weight_gradients,
            gradient,
            spare,
        } = workspace;
        let spreads = operations.spreads(true);
        weight_gradients.resize_with(self.layers.len(), Vec::new);
        // They change places at every layer but the one that rows are spread for: so each is in the same place at every step, and
        // grows only once.
        if (operations.layers.len() - usize::from(spreads.is_some())) % 2 == 1 {
            std::mem::swap(gradient, spare);
        }
        gradient.clear();
        gradient.extend_from_slice(by_logit);
        for (at, operation) in operations.layers.iter().enumerate().rev() {
            let weights = &self.layers[at + 1].weights;
            weight_gradients[at + 1].resize_with(weights.len(), Vec::new);
            let pass = Backward {
                input: match spreads == Some(at) {
                    true => spread,
                    false => &outputs[at],
                },
                output: &outputs[at + 1],
                saved: &mut saved[at + 1],
                output_gradient: gradient,
                input_gradient: spare,
                weight_gradients: &mut weight_gradients[at + 1],
            };
            operation.backward(
                &Context {
                    layout: layout_at(at, spreads, layout, apart),
                    weights,
                    noise: None,
                },
                pass,
            );
            match spreads == Some(at) {
                true => layout.gather(spare, gradient),
                false => std::mem::swap(gradient, spare),
            }
        }
    }
}

/// How the rows lie that a layer reads, if from `spreads` on they lie apart.
fn layout_at<'a>(
    at: usize,
    spreads: Option<usize>,
    shared: &'a Layout,
    apart: &'a Layout,
) -> &'a Layout {
    match spreads.is_some_and(|first| first <= at) {
        true => apart,
        false => shared,
    }
}

/// What the layers above the embedding compute, in order.
pub struct Operations<R> {
    layers: Vec<Box<dyn Operation<R>>>,
    own_pads: OwnPads,
}

impl<R> Operations<R> {
    /// Whether rows that begin with pads read them alike, so that the pads need be read only once; `training` draws
    /// what is dropped.
    pub fn shares_pads(&self, training: bool) -> bool {
        self.own_pads.from(training) > 0
    }

    /// The first layer that reads each row's own pads, where those before it share them.
    fn spreads(&self, training: bool) -> Option<usize> {
        let at = self.own_pads.from(training);
        (0 < at && at < self.layers.len()).then_some(at)
    }
}

/// From which of the layers above the embedding on the pads at the front of rows are each row's own; up to there they are
/// all rows', and computed once.
#[derive(Clone, Copy)]
struct OwnPads {
    /// Always: there are none, or this layer reads rows from their end.
    always: usize,
    /// In training, where this layer drops something of each row.
    training: usize,
}

impl OwnPads {
    fn of<R>(layers: &[Layer<R>], shapes: &[Shape]) -> Self {
        // Layers that still see time.
        let over_time = layers[1..]
            .iter()
            .zip(shapes)
            .take_while(|(_, input)| input.steps.is_some())
            .map(|(layer, _)| &layer.recipe);
        let first = |own: &dyn Fn(&LayerRecipe) -> bool| {
            let at = over_time.clone().position(own);
            at.unwrap_or(usize::MAX)
        };
        if layers[0].recipe.embedding().is_some_and(|e| e.mask_zero) {
            return Self {
                always: 0,
                training: 0,
            };
        }
        Self {
            always: first(&|layer| {
                let recurrent = layer.recurrent();
                recurrent.is_some_and(|r| r.bidirectional.is_some() || r.go_backwards)
            }),
            training: first(&|layer| match layer {
                LayerRecipe::Dropout { .. } | LayerRecipe::SpatialDropout { .. } => true,
                _ => layer
                    .recurrent()
                    .is_some_and(|r| r.dropout > 0.0 || r.recurrent_dropout > 0.0),
            }),
        }
    }

    fn from(self, training: bool) -> usize {
        match training {
            true => self.always.min(self.training),
            false => self.always,
        }
    }
}

/// One shard's buffers, reused from step to step.
#[derive(Debug, Default)]
pub struct Workspace<R> {
    /// The rows.
    pub layout: Layout,
    /// The same where each has its own pads, for the layers from which on they have.
    apart: Layout,
    /// Each layer's output.
    pub outputs: Vec<Vec<R>>,
    /// The output below the first of those layers, as it reads it.
    spread: Vec<R>,
    saved: Vec<Saved<R>>,
    /// By layer and weight; the embedding's entry is empty.
    pub weight_gradients: Vec<Vec<Vec<R>>>,
    /// After backward: the gradient by the embedding's output, `[positions, units]`.
    pub gradient: Vec<R>,
    spare: Vec<R>,
}

fn output_shape<R: Real>(recipe: &LayerRecipe, input: Shape) -> Shape {
    match *recipe {
        LayerRecipe::Embedding(ref embedding) => Shape {
            steps: input.steps,
            features: embedding.units,
        },
        _ => operation::<R>(recipe, input, false).1,
    }
}

/// Keras's snake-case name of a layer's class.
pub fn kind(recipe: &LayerRecipe) -> &'static str {
    if recipe
        .recurrent()
        .is_some_and(|r| r.bidirectional.is_some())
    {
        return "bidirectional";
    }
    match recipe {
        LayerRecipe::Embedding(_) => "embedding",
        LayerRecipe::Lstm(_) => "lstm",
        LayerRecipe::Gru(_) => "gru",
        LayerRecipe::SimpleRnn(_) => "simple_rnn",
        LayerRecipe::Dense { .. } => "dense",
        LayerRecipe::Flatten {} => "flatten",
        LayerRecipe::Dropout { .. } => "dropout",
        LayerRecipe::SpatialDropout { .. } => "spatial_dropout1d",
        LayerRecipe::GlobalMaxPooling {} => "global_max_pooling1d",
        LayerRecipe::GlobalAveragePooling {} => "global_average_pooling1d",
        LayerRecipe::GlobalMaxAveragePooling {} => "global_max_average_pooling1d",
        LayerRecipe::AttentionPooling { .. } => "attention_pooling1d",
    }
}
