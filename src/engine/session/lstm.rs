//! ONNX's LSTM forward, on the trainer's products, with nothing kept for backward.
//!
//! A row's answer does not depend on the rows beside it: each of its sums has one order.

use std::ops::Range;

use super::sequences::{Counted, Sequences};
use crate::train::kernel::{Left, Size, multiply, pack};
use crate::train::real::Real as _;
use crate::train::vector::{Kernel, Vector};

/// Rows times steps whose gates are computed from the inputs at once, so that they stay in a core's cache.
const CHUNK: usize = 256;

/// What an LSTM has learned, in ONNX's layout: gates in the order i, o, f, c.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weights<'a> {
    /// Features in.
    pub inputs: usize,
    /// The size of the state.
    pub units: usize,
    /// `[directions, 4 units, inputs]`
    pub kernel: &'a [f32],
    /// `[directions, 4 units, units]`
    pub recurrent: &'a [f32],
    /// Of the inputs' product and of the state's. `[directions, 2, 4 units]`
    pub bias: &'a [f32],
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Answers<'a> {
    /// Every state, zero behind a row's end. `[time, directions, batch, units]`
    pub every: Option<&'a mut [f32]>,
    /// Each row's last state. `[directions, batch, units]`
    pub last: Option<&'a mut [f32]>,
}

/// An LSTM, ready to run: forward, or forward and backward in time.
#[derive(Debug)]
pub(super) struct Lstm {
    inputs: usize,
    units: usize,
    directions: Vec<Direction>,
    rows: Vec<Range<usize>>,
    reached: Vec<usize>,
    read: Vec<f32>,
    gates: Vec<f32>,
    state: Vec<f32>,
    cell: Vec<f32>,
}

/// The weights of one direction, as products read them.
#[derive(Debug, Default)]
struct Direction {
    kernel: Vec<f32>,
    recurrent: Vec<f32>,
    bias: Vec<f32>,
}

impl Lstm {
    /// Packs weights whose sizes go together.
    pub fn new(weights: Weights<'_>) -> Self {
        let Weights { inputs, units, .. } = weights;
        let wide = 4 * units;
        let kernels = weights.kernel.chunks_exact(inputs * wide);
        let recurrents = weights.recurrent.chunks_exact(units * wide);
        let biases = weights.bias.chunks_exact(2 * wide);
        let directions = kernels
            .zip(recurrents)
            .zip(biases)
            .map(|((kernel, recurrent), bias)| {
                let (outer, inner) = bias.split_at(wide);
                let mut direction = Direction {
                    bias: outer.iter().zip(inner).map(|(a, b)| a + b).collect(),
                    ..Direction::default()
                };
                f32::vectorised(Pack {
                    weights: [kernel, recurrent],
                    rows: [inputs, units],
                    wide,
                    packed: [&mut direction.kernel, &mut direction.recurrent],
                });
                direction
            })
            .collect();
        Self {
            inputs,
            units,
            directions,
            rows: Vec::new(),
            reached: Vec::new(),
            read: Vec::new(),
            gates: Vec::new(),
            state: Vec::new(),
            cell: Vec::new(),
        }
    }

    /// Directions in time.
    pub fn directions(&self) -> usize {
        self.directions.len()
    }

    /// Reads `sequences`, whose sizes go with the weights and the answers.
    pub fn run(&mut self, sequences: Sequences<'_>, mut answers: Answers<'_>) {
        let Sequences { batch, counted, .. } = sequences;
        let units = self.units;
        let time = sequences.input.len() / (batch * self.inputs);
        self.gates.resize(CHUNK.max(batch) * 4 * units, 0.0);
        self.rows.clear();
        self.reached.clear();
        self.reached.resize(time, 0);
        for row in 0..batch {
            let steps = counted.steps(row, time);
            self.reached[steps.clone()].fill(row + 1);
            self.rows.push(steps);
        }
        let states = batch * units;
        for at in 0..self.directions.len() {
            self.begin(at, sequences);
            f32::vectorised(Pass {
                inputs: self.inputs,
                units,
                weights: &self.directions[at],
                place: (at, self.directions.len()),
                sequences,
                rows: &self.rows,
                reached: &self.reached,
                read: &mut self.read,
                gates: &mut self.gates,
                state: &mut self.state,
                cell: &mut self.cell,
                every: answers.every.as_deref_mut(),
            });
            if let Some(last) = answers.last.as_deref_mut() {
                last[at * states..][..states].copy_from_slice(&self.state);
            }
        }
    }

    /// States and cells as they are before the first step of each row.
    fn begin(&mut self, direction: usize, sequences: Sequences<'_>) {
        let (units, states) = (self.units, sequences.batch * self.units);
        let pads = match sequences.counted {
            Counted::Last(lengths, after) => {
                [Some((lengths, after.state)), Some((lengths, after.cell))]
            }
            Counted::All | Counted::First(_) => [None; 2],
        };
        let given = sequences.initial.into_iter().zip(pads);
        for (buffer, (initial, pads)) in [&mut self.state, &mut self.cell].into_iter().zip(given) {
            buffer.clear();
            match (pads, initial) {
                (Some((lengths, after)), _) => {
                    for &length in lengths {
                        let pads = after.len() / units - length as usize;
                        buffer.extend_from_slice(&after[pads * units..][..units]);
                    }
                }
                (None, Some(initial)) => {
                    buffer.extend_from_slice(&initial[direction * states..][..states]);
                }
                (None, None) => buffer.resize(states, 0.0),
            }
        }
    }
}

struct Pack<'a> {
    weights: [&'a [f32]; 2],
    rows: [usize; 2],
    wide: usize,
    packed: [&'a mut Vec<f32>; 2],
}

impl Kernel<f32> for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = f32>>(self, _: V::Token) {
        let [kernel, recurrent] = self.packed;
        pack::<V>(self.weights[0], (self.rows[0], self.wide), true, kernel);
        pack::<V>(self.weights[1], (self.rows[1], self.wide), true, recurrent);
    }
}

/// One direction over all steps.
struct Pass<'a> {
    inputs: usize,
    units: usize,
    weights: &'a Direction,
    /// Which direction of how many; the second reads from the end.
    place: (usize, usize),
    sequences: Sequences<'a>,
    /// The steps that count. `[batch]`
    rows: &'a [Range<usize>],
    /// At each step, the rows up to the last one of which it counts. `[time]`
    reached: &'a [usize],
    read: &'a mut Vec<f32>,
    /// `[CHUNK or batch, 4 units]`
    gates: &'a mut [f32],
    /// `[batch, units]`
    state: &'a mut [f32],
    cell: &'a mut [f32],
    every: Option<&'a mut [f32]>,
}

impl Kernel<f32> for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector<Item = f32>>(mut self, token: V::Token) {
        let wide = 4 * self.units;
        let mut done = 0;
        while done < self.reached.len() {
            let (together, rows) = self.chunk(done);
            self.read_inputs::<V>(token, done..done + together, rows);
            let mut from = 0;
            for nth in done..done + together {
                let step = self.step_read(nth);
                let reached = self.reached[step];
                let size = Size {
                    rows: reached,
                    k: self.units,
                    n: wide,
                };
                let gates = &mut self.gates[from * wide..][..reached * wide];
                let states = Left::Rows(&self.state[..reached * self.units]);
                multiply::<V>(token, gates, states, &self.weights.recurrent, size, true);
                self.step::<V>(token, step, from * wide);
                from += reached;
            }
            done += together;
        }
    }
}

impl Pass<'_> {
    /// The step that is read after so many others.
    #[inline(always)]
    fn step_read(&self, nth: usize) -> usize {
        match self.place.0 {
            0 => nth,
            _ => self.reached.len() - 1 - nth,
        }
    }

    /// How many more steps' gates are computed together, and how many rows of gates those are.
    #[inline(always)]
    fn chunk(&self, done: usize) -> (usize, usize) {
        let (mut steps, mut rows) = (0, 0);
        while done + steps < self.reached.len() {
            let reached = self.reached[self.step_read(done + steps)];
            if steps > 0 && rows + reached > CHUNK {
                break;
            }
            rows += reached;
            steps += 1;
        }
        (steps, rows)
    }

    /// What the inputs of some steps add to the gates, for the rows that are reached, one step's behind another's in the order in
    /// which they are read.
    #[inline(always)]
    fn read_inputs<V: Vector<Item = f32>>(
        &mut self,
        token: V::Token,
        steps: Range<usize>,
        rows: usize,
    ) {
        let Sequences { input, batch, .. } = self.sequences;
        let inputs = self.inputs;
        let size = Size {
            rows,
            k: inputs,
            n: 4 * self.units,
        };
        let whole = rows == steps.len() * batch && self.place.0 == 0;
        let read = if whole {
            &input[steps.start * batch * inputs..][..rows * inputs]
        } else {
            self.read.clear();
            for nth in steps {
                let step = self.step_read(nth);
                let reached = self.reached[step] * inputs;
                self.read
                    .extend_from_slice(&input[step * batch * inputs..][..reached]);
            }
            &self.read[..]
        };
        let gates = &mut self.gates[..rows * size.n];
        let kernel = &self.weights.kernel;
        multiply::<V>(token, gates, Left::Rows(read), kernel, size, false);
    }

    /// The cell on every row at a time, whose gates lie from a place on.
    #[inline(always)]
    fn step<V: Vector<Item = f32>>(&mut self, token: V::Token, time: usize, from: usize) {
        let (units, batch) = (self.units, self.sequences.batch);
        let (at, directions) = self.place;
        for row in 0..batch {
            let states = row * units..(row + 1) * units;
            let counts = self.rows[row].contains(&time);
            if counts {
                let gates = &self.gates[from + row * 4 * units..][..4 * units];
                let state = &mut self.state[states.clone()];
                advance::<V>(
                    token,
                    gates,
                    &self.weights.bias,
                    &mut self.cell[states.clone()],
                    state,
                );
            }
            if let Some(every) = self.every.as_deref_mut() {
                let answer =
                    &mut every[((time * directions + at) * batch + row) * units..][..units];
                match self.sequences.counted {
                    _ if counts => answer.copy_from_slice(&self.state[states]),
                    Counted::Last(_, after) => {
                        let pads = after.state.len() / units - self.reached.len() + time + 1;
                        answer.copy_from_slice(&after.state[pads * units..][..units]);
                    }
                    Counted::All | Counted::First(_) => answer.fill(0.0),
                }
            }
        }
    }
}

/// One step of one row. The gates' logistic functions and hyperbolic tangents share their denominators: two divisions where
/// there would be five. Exponents are cut where the functions are flat, so that no product of three overflows.
#[inline(always)]
fn advance<V: Vector<Item = f32>>(
    token: V::Token,
    gates: &[f32],
    bias: &[f32],
    cell: &mut [f32],
    state: &mut [f32],
) {
    let units = state.len();
    let one = V::splat(token, 1.0);
    let minus_one = V::splat(token, -std::f32::consts::LOG2_E);
    let minus_two = V::splat(token, -2.0 * std::f32::consts::LOG2_E);
    let mut j = 0;
    while j < units {
        let of_in = at_gate::<V>(token, gates, bias, (0, j))
            .mul(token, minus_one)
            .exp2_within(token, FLAT);
        let of_out = at_gate::<V>(token, gates, bias, (1, j))
            .mul(token, minus_one)
            .exp2_within(token, FLAT);
        let of_forget = at_gate::<V>(token, gates, bias, (2, j))
            .mul(token, minus_one)
            .exp2_within(token, FLAT);
        let of_new = at_gate::<V>(token, gates, bias, (3, j))
            .mul(token, minus_two)
            .exp2_within(token, FLAT);
        let old = V::load(token, &cell[j..]);
        let taken_in = one.add(token, of_in).mul(token, one.add(token, of_new));
        let kept = one.add(token, of_forget);
        let new = one.sub(token, of_new).mul(token, kept);
        let next = old
            .mul_add(token, taken_in, new)
            .div(token, kept.mul(token, taken_in));
        next.store(token, &mut cell[j..]);
        let of_next = next.mul(token, minus_two).exp2_within(token, FLAT);
        let shown = one.add(token, of_out).mul(token, one.add(token, of_next));
        one.sub(token, of_next)
            .div(token, shown)
            .store(token, &mut state[j..]);
        j += V::LANES;
    }
}

/// What goes into a gate's units from one of them on. A closure would not be compiled for the instruction set.
#[inline(always)]
fn at_gate<V: Vector<Item = f32>>(
    token: V::Token,
    gates: &[f32],
    bias: &[f32],
    (gate, unit): (usize, usize),
) -> V {
    let units = gates.len() / 4;
    let (from, end) = (gate * units + unit, (gate + 1) * units);
    V::load(token, &gates[from..end]).add(token, V::load(token, &bias[from..end]))
}

/// Beyond ± this, in powers of two, the logistic function and the hyperbolic tangent are flat to 1e-12.
const FLAT: f32 = 40.4;

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::super::sequences::AfterPads;
    use super::*;
    use crate::train::vector::on_every_set;

    struct Case {
        sizes: [usize; 5],
        masked: bool,
        initial: bool,
    }

    /// ONNX's definition, one number at a time, in double precision: every state, the last ones, and every cell.
    fn by_definition(
        weights: Weights<'_>,
        rows: Sequences<'_>,
        directions: usize,
    ) -> [Vec<f64>; 3] {
        let Weights { inputs, units, .. } = weights;
        let (batch, wide) = (rows.batch, 4 * units);
        let time = rows.input.len() / (batch * inputs);
        let mut every = vec![0.0; time * directions * batch * units];
        let mut cells = every.clone();
        let mut last = vec![0.0; directions * batch * units];
        for (direction, row) in (0..directions).flat_map(|d| (0..batch).map(move |b| (d, b))) {
            let steps = rows.counted.steps(row, time).end;
            let from = (direction * batch + row) * units;
            let [mut state, mut cell] = rows.initial.map(|initial| {
                (0..units)
                    .map(|unit| initial.map_or(0.0, |values| f64::from(values[from + unit])))
                    .collect::<Vec<f64>>()
            });
            for step in 0..steps {
                let at = if direction == 0 {
                    step
                } else {
                    steps - 1 - step
                };
                let gate = |gate: usize, unit: usize| {
                    let line = direction * wide + gate * units + unit;
                    let bias = weights.bias[direction * 2 * wide + gate * units + unit];
                    let inner = weights.bias[(direction * 2 + 1) * wide + gate * units + unit];
                    let mut sum = f64::from(bias) + f64::from(inner);
                    for i in 0..inputs {
                        let x = rows.input[(at * batch + row) * inputs + i];
                        sum += f64::from(weights.kernel[line * inputs + i]) * f64::from(x);
                    }
                    for (i, value) in state.iter().enumerate() {
                        sum += f64::from(weights.recurrent[line * units + i]) * value;
                    }
                    sum
                };
                let sigmoid = crate::sentiment::sigmoid;
                let next: Vec<[f64; 2]> = (0..units)
                    .map(|unit| {
                        let new = sigmoid(gate(0, unit)) * gate(3, unit).tanh();
                        let next = sigmoid(gate(2, unit)) * cell[unit] + new;
                        [next, sigmoid(gate(1, unit)) * next.tanh()]
                    })
                    .collect();
                for (unit, [next, shown]) in next.into_iter().enumerate() {
                    (cell[unit], state[unit]) = (next, shown);
                    let place = ((at * directions + direction) * batch + row) * units + unit;
                    (every[place], cells[place]) = (shown, next);
                }
            }
            last[from..from + units].copy_from_slice(&state);
        }
        [every, last, cells]
    }

    fn check(case: &Case) {
        let [inputs, units, directions, batch, time] = case.sizes;
        let mut noise = ChaCha8Rng::seed_from_u64(7);
        let mut draw = |count: usize, scale: f32| -> Vec<f32> {
            (0..count)
                .map(|_| scale * (noise.random::<f32>() - 0.5))
                .collect()
        };
        let wide = 4 * units;
        let (kernel, recurrent) = (
            draw(directions * wide * inputs, 2.0),
            draw(directions * wide * units, 1.0),
        );
        let (bias, input) = (
            draw(directions * 2 * wide, 2.0),
            draw(time * batch * inputs, 4.0),
        );
        let initial = [0; 2].map(|_| draw(directions * batch * units, 2.0));
        let lengths: Vec<i32> = (0..batch).map(|row| 1 + (row * 3 % time) as i32).collect();
        let weights = Weights {
            inputs,
            units,
            kernel: &kernel,
            recurrent: &recurrent,
            bias: &bias,
        };
        let rows = Sequences {
            input: &input,
            batch,
            counted: match case.masked {
                true => Counted::First(&lengths),
                false => Counted::All,
            },
            initial: initial
                .each_ref()
                .map(|values| case.initial.then_some(&values[..])),
        };
        let mut every = vec![9.0; time * directions * batch * units];
        let mut last = vec![9.0; directions * batch * units];
        let mut lstm = Lstm::new(weights);
        assert_eq!(lstm.directions(), directions);
        lstm.run(
            rows,
            Answers {
                every: Some(&mut every),
                last: Some(&mut last),
            },
        );
        let [every_due, last_due, _] = by_definition(weights, rows, directions);
        for (found, due) in [(&every, every_due), (&last, last_due)] {
            assert_eq!(found.len(), due.len());
            for (found, due) in found.iter().zip(due) {
                let found = f64::from(*found);
                assert!(
                    (found - due).abs() < 2e-6,
                    "{found} where {due} is due: {:?}",
                    case.sizes
                );
            }
        }
    }

    #[test]
    fn every_size_direction_mask_and_first_state_answers_as_onnx_defines() {
        for sizes in [
            [16, 64, 1, 9, 40],
            [3, 5, 2, 4, 7],
            [1, 1, 1, 1, 1],
            [7, 33, 2, 300, 3],
            [32, 16, 1, 1, 300],
        ] {
            for (masked, initial) in [(false, false), (true, false), (false, true), (true, true)] {
                let case = Case {
                    sizes,
                    masked,
                    initial,
                };
                on_every_set::run(|| check(&case));
            }
        }
    }

    /// An LSTM and rows of pads with some ids at their ends; what it answers where it reads the pads, and where it begins behind
    /// them.
    fn check_pads(lengths: &[i64]) {
        const MAXLEN: usize = 13;
        const INPUTS: usize = 5;
        const UNITS: usize = 9;
        let mut noise = ChaCha8Rng::seed_from_u64(3);
        let mut draw = |count: usize| -> Vec<f32> {
            (0..count).map(|_| noise.random_range(-0.5..0.5)).collect()
        };
        let batch = lengths.len();
        let longest = lengths.iter().max().map_or(1, |&most| most as usize);
        let (kernel, recurrent) = (draw(4 * UNITS * INPUTS), draw(4 * UNITS * UNITS));
        let (bias, pad) = (draw(8 * UNITS), draw(INPUTS));
        let weights = Weights {
            inputs: INPUTS,
            units: UNITS,
            kernel: &kernel,
            recurrent: &recurrent,
            bias: &bias,
        };
        let pads = Sequences {
            input: &pad.repeat(MAXLEN - 1),
            batch: 1,
            counted: Counted::All,
            initial: [None; 2],
        };
        let [states, _, cells] = by_definition(weights, pads, 1);
        let [state, cell] = [states, cells].map(|after| -> Vec<f32> {
            let before = [0.0; UNITS].into_iter();
            before.chain(after).map(|value| value as f32).collect()
        });
        let mut whole = pad.repeat(MAXLEN * batch);
        for (row, &length) in lengths.iter().enumerate() {
            for step in MAXLEN - length as usize..MAXLEN {
                whole[(step * batch + row) * INPUTS..][..INPUTS].copy_from_slice(&draw(INPUTS));
            }
        }
        let rows = Sequences {
            input: &whole,
            batch,
            counted: Counted::All,
            initial: [None; 2],
        };
        let [every_due, last_due, _] = by_definition(weights, rows, 1);
        let mut every = vec![9.0; longest * batch * UNITS];
        let mut last = vec![9.0; batch * UNITS];
        let answers = Answers {
            every: Some(&mut every),
            last: Some(&mut last),
        };
        let after = AfterPads {
            state: &state,
            cell: &cell,
        };
        let trimmed = Sequences {
            input: &whole[(MAXLEN - longest) * batch * INPUTS..],
            counted: Counted::Last(lengths, after),
            ..rows
        };
        assert!(trimmed.fit(longest, batch * UNITS));
        Lstm::new(weights).run(trimmed, answers);
        let every_due = &every_due[(MAXLEN - longest) * batch * UNITS..];
        for (found, due) in [(&every[..], every_due), (&last, &last_due)] {
            assert_eq!(found.len(), due.len());
            for (found, due) in found.iter().zip(due) {
                let found = f64::from(*found);
                assert!(
                    (found - due).abs() < 2e-6,
                    "{found} where {due} is due: {lengths:?}"
                );
            }
        }
    }

    #[test]
    fn rows_that_begin_behind_their_pads_answer_as_if_they_had_read_them() {
        for lengths in [
            &[13, 9, 9, 4, 1][..],
            &[1, 7, 3, 7, 2, 5, 1, 6, 2],
            &[4],
            &[1, 1],
        ] {
            on_every_set::run(|| check_pads(lengths));
        }
        // More gates than are computed at once, of rows that end one after another.
        let many: Vec<i64> = (0..90).map(|row| 13 - row / 8).collect();
        on_every_set::run(|| check_pads(&many));
    }

    #[test]
    fn gates_far_out_saturate_and_a_nan_stays() {
        let (kernel, recurrent, bias) = ([1.0; 4], [0.0; 4], [0.0; 8]);
        let mut lstm = Lstm::new(Weights {
            inputs: 1,
            units: 1,
            kernel: &kernel,
            recurrent: &recurrent,
            bias: &bias,
        });
        for (input, due) in [(1e30, 1_f32.tanh()), (-1e30, 0.0), (f32::NAN, f32::NAN)] {
            let mut last = [9.0];
            let rows = Sequences {
                input: &[input],
                batch: 1,
                counted: Counted::All,
                initial: [None; 2],
            };
            let answers = Answers {
                every: None,
                last: Some(&mut last),
            };
            lstm.run(rows, answers);
            let near = (last[0] - due).abs() < 1e-6;
            assert!(
                near || last[0].is_nan() && due.is_nan(),
                "{input}: {last:?}"
            );
        }
    }
}
