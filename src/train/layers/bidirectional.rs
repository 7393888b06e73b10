//! `Bidirectional` (Schuster and Paliwal 1997): one layer reads each row from its front, another from its end.

use super::{Backward, Context, Operation, Saved, sized, zeroed};
use crate::recipe::Merge;
use crate::train::real::Real;

/// Keras's `Bidirectional`; the weights are the forward layer's and then the backward one's.
pub struct Bidirectional<R> {
    /// Forward and backward; both read in the order that they are given.
    pub directions: [Box<dyn Operation<R>>; 2],
    /// Features in.
    pub inputs: usize,
    /// The size of each state.
    pub units: usize,
    /// Every step's output, or each row's last.
    pub return_sequences: bool,
    /// How two outputs become one.
    pub merge: Merge,
}

impl<R: Real> Operation<R> for Bidirectional<R> {
    fn forward(
        &self,
        context: &mut Context<'_, R>,
        input: &[R],
        saved: &mut Saved<R>,
        output: &mut Vec<R>,
    ) {
        saved.parts.resize_with(2, Saved::default);
        let Saved {
            values,
            positions,
            parts,
            ..
        } = saved;
        let [ahead, back, turned, _, _, _, back_as_read, _] = values;
        context.layout.reversed(positions);
        gather(input, positions, self.inputs, turned);
        let (weights, half) = (context.weights, context.weights.len() / 2);
        let sides = self.directions.iter().zip(parts);
        let of_each = [
            (&weights[..half], input, &mut *ahead),
            (&weights[half..], &*turned, &mut *back),
        ];
        for ((direction, saved), (weights, input, output)) in sides.zip(of_each) {
            let mut context = Context {
                layout: context.layout,
                weights,
                noise: context.noise.as_deref_mut(),
            };
            direction.forward(&mut context, input, saved, output);
        }
        if self.return_sequences {
            gather(back, positions, self.units, back_as_read);
            std::mem::swap(back, back_as_read);
        }
        output.clear();
        match self.merge {
            Merge::Concat => {
                let pairs = ahead
                    .chunks_exact(self.units)
                    .zip(back.chunks_exact(self.units));
                for (ahead, back) in pairs {
                    output.extend_from_slice(ahead);
                    output.extend_from_slice(back);
                }
            }
            Merge::Sum => output.extend(pairs(ahead, back).map(|(a, b)| a + b)),
            Merge::Mul => output.extend(pairs(ahead, back).map(|(a, b)| a * b)),
            Merge::Ave => {
                let half = R::from_f64(0.5);
                output.extend(pairs(ahead, back).map(|(a, b)| (a + b) * half));
            }
        }
    }

    fn backward(&self, context: &Context<'_, R>, pass: Backward<'_, R>) {
        let Saved {
            values,
            positions,
            parts,
            ..
        } = pass.saved;
        let [
            ahead,
            back,
            turned,
            by_ahead,
            by_back,
            scratch,
            back_as_read,
            _,
        ] = values;
        sized(by_ahead, ahead.len());
        sized(by_back, back.len());
        let gradient = &*pass.output_gradient;
        match self.merge {
            Merge::Concat => {
                let sides = by_ahead
                    .chunks_exact_mut(self.units)
                    .zip(by_back.chunks_exact_mut(self.units));
                for ((ahead, back), both) in sides.zip(gradient.chunks_exact(2 * self.units)) {
                    ahead.copy_from_slice(&both[..self.units]);
                    back.copy_from_slice(&both[self.units..]);
                }
            }
            Merge::Sum => {
                by_ahead.copy_from_slice(gradient);
                by_back.copy_from_slice(gradient);
            }
            Merge::Mul => {
                for (to, (gradient, other)) in by_ahead.iter_mut().zip(pairs(gradient, back)) {
                    *to = gradient * other;
                }
                for (to, (gradient, other)) in by_back.iter_mut().zip(pairs(gradient, ahead)) {
                    *to = gradient * other;
                }
            }
            Merge::Ave => {
                let half = R::from_f64(0.5);
                for to in [&mut *by_ahead, &mut *by_back] {
                    for (to, gradient) in to.iter_mut().zip(gradient) {
                        *to = *gradient * half;
                    }
                }
            }
        }
        if self.return_sequences {
            gather(by_back, positions, self.units, scratch);
            std::mem::swap(by_back, scratch);
        }
        gather(pass.input, positions, self.inputs, turned);
        let half = context.weights.len() / 2;
        let (ahead_weights, back_weights) = pass.weight_gradients.split_at_mut(half);
        let [ahead_saved, back_saved] = &mut parts[..] else {
            unreachable!("forward gave it two parts")
        };
        let run =
            |at: usize, saved, (input, output), by_output: &mut Vec<R>, by_input, by_weights| {
                let context = Context {
                    layout: context.layout,
                    weights: &context.weights[at * half..(at + 1) * half],
                    noise: None,
                };
                let pass = Backward {
                    input,
                    output,
                    saved,
                    output_gradient: by_output,
                    input_gradient: by_input,
                    weight_gradients: by_weights,
                };
                self.directions[at].backward(&context, pass);
            };
        let back = (&turned[..], &back_as_read[..]);
        run(1, back_saved, back, by_back, scratch, back_weights);
        run(
            0,
            ahead_saved,
            (pass.input, ahead),
            by_ahead,
            &mut *pass.input_gradient,
            ahead_weights,
        );
        let from_back = scratch.chunks_exact(self.inputs).zip(&*positions);
        for (values, &position) in from_back {
            let sums = &mut pass.input_gradient[position * self.inputs..][..self.inputs];
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += *value;
            }
        }
    }
}

fn pairs<'a, R: Real>(a: &'a [R], b: &'a [R]) -> impl Iterator<Item = (R, R)> + 'a {
    a.iter().copied().zip(b.iter().copied())
}

/// The steps of `from` `[positions, features]` at other positions.
pub(super) fn gather<R: Real>(from: &[R], positions: &[usize], features: usize, to: &mut Vec<R>) {
    zeroed(to, from.len());
    for (to, &position) in to.chunks_exact_mut(features).zip(positions) {
        to.copy_from_slice(&from[position * features..(position + 1) * features]);
    }
}
