//! One optimiser step: a batch cut into fixed shards, their gradients summed in order.
//!
//! Shards hold [`SHARD_ROWS`] rows whatever the number of threads, so the sums are the same for any of them.

use std::cmp::Reverse;

use ndarray::ArrayD;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::adam::Adam;
use super::network::{Network, Operations, Workspace};
use super::real::Real;
use super::vector::{Kernel, Vector};
use crate::recipe::FitRecipe;

/// Rows of one shard.
pub const SHARD_ROWS: usize = 16;

/// A row with what it should have been.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The row as the network reads it.
    pub ids: &'a [i64],
    /// 1 for positive, 0 for negative.
    pub label: f64,
    /// Its weight in the loss.
    pub weight: f64,
}

/// What a step saw.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Mean weighted binary cross-entropy over the batch, before the update.
    pub loss: f64,
    /// Rows whose label the network had right.
    pub correct: usize,
    /// The gradients' global norm.
    pub gradient_norm: f64,
}

/// A network in training.
pub struct Stepper<R> {
    /// The weights.
    pub network: Network<R>,
    /// The optimiser.
    pub adam: Adam<R>,
    operations: Operations<R>,
    seed: u64,
    /// A batch's rows, longest first.
    order: Vec<usize>,
    shards: Vec<Shard<R>>,
    embedding: EmbeddingGradient<R>,
}

#[derive(Default)]
struct Shard<R> {
    workspace: Workspace<R>,
    by_logit: Vec<R>,
    loss: f64,
    correct: usize,
}

/// The embedding's gradient, whole, with the rows that are not zero.
#[derive(Default)]
struct EmbeddingGradient<R> {
    values: Vec<R>,
    touched: Vec<usize>,
}

impl<R: Real> Stepper<R> {
    /// Before the first step.
    pub fn new(network: Network<R>, fit: &FitRecipe) -> Self {
        let operations = network.operations();
        let table = network.layers[0].weights[0].len();
        let embedding = EmbeddingGradient {
            values: vec![R::ZERO; table],
            touched: Vec::new(),
        };
        Self {
            network,
            adam: Adam::new(fit),
            operations,
            seed: fit.seed,
            order: Vec::new(),
            shards: Vec::new(),
            embedding,
        }
    }

    /// Computes the gradients of one batch, on the current rayon pool.
    pub fn gradients(&mut self, batch: &[Target<'_>]) -> (f64, usize) {
        self.order.clear();
        self.order.extend(0..batch.len());
        // By their place too, so that rows alike stay in order without the buffer of a stable sort.
        self.order
            .sort_unstable_by_key(|&at| (Reverse(batch[at].ids.len()), at));
        let count = batch.len().div_ceil(SHARD_ROWS);
        if self.shards.len() < count {
            self.shards.resize_with(count, Shard::default);
        }
        let (network, operations, order) = (&self.network, &self.operations, &self.order);
        let (seed, step) = (self.seed, self.adam.steps() as u64);
        self.shards[..count]
            .par_iter_mut()
            .enumerate()
            .for_each(|(at, shard)| {
                let part = Part {
                    batch,
                    order,
                    at,
                    count,
                };
                let mut noise = ChaCha8Rng::seed_from_u64(seed ^ 0x6472_6f70_6f75_7421);
                noise.set_stream(step * 4096 + at as u64);
                shard.run(network, operations, part, &mut noise);
            });
        self.reduce(count);
        let shards = &self.shards[..count];
        (
            shards.iter().map(|s| s.loss).sum(),
            shards.iter().map(|s| s.correct).sum(),
        )
    }

    /// One step on one batch.
    pub fn step(&mut self, batch: &[Target<'_>], learning_rate: f64) -> Outcome {
        let (loss, correct) = self.gradients(batch);
        let frozen = self.network.frozen();
        let gradients = all_gradients(
            &self.embedding.values,
            &self.shards[0].workspace.weight_gradients,
        );
        let weights = self
            .network
            .layers
            .iter_mut()
            .flat_map(|layer| &mut layer.weights);
        let (weights, gradients) = (weights.skip(frozen), gradients.skip(frozen));
        let gradient_norm = self.adam.step(weights, gradients, learning_rate);
        Outcome {
            loss,
            correct,
            gradient_norm,
        }
    }

    /// What the layers over time computed in the last step.
    #[cfg(test)]
    pub fn positions(&self) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| shard.workspace.layout.positions()).sum()
    }

    /// The last batch's gradients, weight by weight as the network's layers have them; of a frozen one they are zero.
    pub fn last_gradients(&self) -> Vec<ArrayD<R>> {
        let gradients = all_gradients(
            &self.embedding.values,
            &self.shards[0].workspace.weight_gradients,
        );
        let weights = self.network.layers.iter().flat_map(|layer| &layer.weights);
        weights
            .zip(gradients)
            .map(|(w, g)| {
                ArrayD::from_shape_vec(w.raw_dim(), g.to_vec())
                    .expect("a gradient is shaped as its weight")
            })
            .collect()
    }

    /// Sums the shards' gradients, in order, into the first shard's and the embedding's.
    fn reduce(&mut self, count: usize) {
        let (first, rest) = self.shards[..count]
            .split_first_mut()
            .expect("a batch has rows");
        for shard in rest {
            let sums = first.workspace.weight_gradients.iter_mut().flatten();
            for (sum, part) in sums.zip(shard.workspace.weight_gradients.iter().flatten()) {
                R::vectorised(Sum { sum, part });
            }
        }
        if self.network.frozen() > 0 {
            return;
        }
        let units = self.network.layers[0].weights[0].shape()[1];
        let EmbeddingGradient { values, touched } = &mut self.embedding;
        for row in touched.drain(..) {
            values[row * units..(row + 1) * units].fill(R::ZERO);
        }
        for shard in &self.shards[..count] {
            let ids = &shard.workspace.layout.ids;
            touched.extend(ids.iter().map(|&id| id as usize));
            R::vectorised(SumRows {
                table: values,
                units,
                ids,
                parts: &shard.workspace.gradient,
            });
        }
        touched.sort_unstable();
        touched.dedup();
    }
}

/// Adds a weight's gradient of one shard to the sum. A plain loop, compiled for the instruction set it runs on, as is the next.
struct Sum<'a, R> {
    sum: &'a mut [R],
    part: &'a [R],
}

impl<R: Real> Kernel<R> for Sum<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, _: V::Token) {
        for (sum, part) in self.sum.iter_mut().zip(self.part) {
            *sum += *part;
        }
    }
}

/// Adds the gradient by each position's vector to its id's row of a table.
struct SumRows<'a, R> {
    table: &'a mut [R],
    units: usize,
    ids: &'a [i64],
    parts: &'a [R],
}

impl<R: Real> Kernel<R> for SumRows<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = R>>(self, _: V::Token) {
        let parts = self.parts.chunks_exact(self.units);
        for (&id, part) in self.ids.iter().zip(parts) {
            let row = id as usize * self.units;
            let sums = &mut self.table[row..row + self.units];
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum += *part;
            }
        }
    }
}

impl<R: Real> Shard<R> {
    fn run(
        &mut self,
        network: &Network<R>,
        operations: &Operations<R>,
        part: Part<'_>,
        noise: &mut ChaCha8Rng,
    ) {
        self.workspace.layout.set(
            part.rows(),
            |rank| part.target(rank).ids,
            operations.shares_pads(true),
        );
        network.forward(operations, &mut self.workspace, Some(noise));
        let logits = self.workspace.outputs.last().expect("a network has layers");
        (self.loss, self.correct) = (0.0, 0);
        self.by_logit.clear();
        for (&at, logit) in self.workspace.layout.order.iter().zip(logits) {
            let (target, logit) = (part.target(at), logit.to_f64());
            let share = target.weight / part.batch.len() as f64;
            self.loss += share * cross_entropy(logit, target.label);
            self.correct += usize::from((logit > 0.0) == (target.label > 0.5));
            let error = crate::sentiment::sigmoid(logit) - target.label;
            self.by_logit.push(R::from_f64(error * share));
        }
        network.backward(operations, &mut self.workspace, &self.by_logit);
    }
}

/// A shard's rows: every count-th of a batch's sorted ones, so that shards are alike in length.
#[derive(Clone, Copy)]
struct Part<'a> {
    batch: &'a [Target<'a>],
    order: &'a [usize],
    at: usize,
    count: usize,
}

impl<'a> Part<'a> {
    fn rows(self) -> usize {
        (self.order.len() - self.at).div_ceil(self.count)
    }

    fn target(self, rank: usize) -> &'a Target<'a> {
        &self.batch[self.order[self.at + rank * self.count]]
    }
}

fn all_gradients<'a, R>(
    embedding: &'a [R],
    above: &'a [Vec<Vec<R>>],
) -> impl Iterator<Item = &'a [R]> + Clone {
    std::iter::once(embedding).chain(above.iter().flatten().map(Vec::as_slice))
}

/// Binary cross-entropy from the logit, without overflow; infinite or NaN where the logit is.
pub fn cross_entropy(logit: f64, label: f64) -> f64 {
    let softplus = if logit > 0.0 {
        logit + (-logit).exp().ln_1p()
    } else {
        logit.exp().ln_1p()
    };
    softplus - label * logit
}
