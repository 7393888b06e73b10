//! How the rows of one shard lie in memory: time-major, without the steps that need not be computed.
//!
//! Every step of every row has one position. Rows of uneven length (masked networks) are sorted, longest first, so that the
//! rows still running at a step are a prefix. Rows of one length that begin with pads share those: until a row's first
//! token its steps are the shard's one run of pads, which is the last of the positions of a step, and rows are sorted by
//! where they begin. In both cases the step before of place `r` is place `min(r, running - 1)` of the step before. A layer for
//! which the pads of rows differ, as it drops something of each or reads them from their end, has the rows [apart](Layout::set_apart).

use std::cmp::Reverse;
use std::ops::Range;

use super::layers::zeroed;
use super::real::Real;

/// Positions that a layer takes through all of its products together, so that they stay in the cache.
const CHUNK: usize = 256;

/// The positions of a shard's rows.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// `order[rank]` is the row's place in the caller's list.
    pub order: Vec<usize>,
    /// Lengths by rank, never rising.
    pub lengths: Vec<usize>,
    /// Positions of each step.
    pub running: Vec<usize>,
    /// The first position of each step, and the number of positions at the end.
    pub offsets: Vec<usize>,
    /// The id at each position.
    pub ids: Vec<i64>,
    /// The steps in order, cut where some 256 positions are reached: what fits the cache.
    pub chunks: Vec<Range<usize>>,
    /// The most positions of a chunk.
    pub longest_chunk: usize,
    starts: Vec<usize>,
    /// Pads at the front of each row of the caller's list.
    pads: Vec<usize>,
}

impl Layout {
    /// Lays `count` rows out anew, keeping the buffers. With `shares_pads`, where all rows must have one length, the id 0
    /// at the front of rows is laid out once for all of them.
    pub fn set<'a>(&mut self, count: usize, row: impl Fn(usize) -> &'a [i64], shares_pads: bool) {
        let pads = |row: &[i64]| match shares_pads {
            true => row.iter().take_while(|id| **id == 0).count(),
            false => 0,
        };
        self.pads.clear();
        self.pads.extend((0..count).map(|at| pads(row(at))));
        self.order.clear();
        self.order.extend(0..count);
        // By their place too, so that rows alike stay in order without the buffer of a stable sort.
        self.order
            .sort_unstable_by_key(|&at| (Reverse(row(at).len()), self.pads[at], at));
        self.lengths.clear();
        self.lengths
            .extend(self.order.iter().map(|&at| row(at).len()));
        self.starts.clear();
        self.starts
            .extend(self.order.iter().map(|&at| self.pads[at]));
        self.running.clear();
        self.offsets.clear();
        self.ids.clear();
        let steps = self.lengths.first().copied().unwrap_or(0);
        let (mut started, mut ended) = (0, count);
        for step in 0..steps {
            while ended > 0 && self.lengths[ended - 1] <= step {
                ended -= 1;
            }
            while started < count && self.starts[started] <= step {
                started += 1;
            }
            let own = started.min(ended);
            self.offsets.push(self.ids.len());
            self.ids
                .extend(self.order[..own].iter().map(|&at| row(at)[step]));
            if started < ended {
                self.ids.push(0);
            }
            self.running
                .push(self.ids.len() - self.offsets[self.offsets.len() - 1]);
        }
        self.offsets.push(self.ids.len());
        self.set_chunks();
    }

    /// Lays the rows of a layout whose rows share their pads out with the pads of each; they keep their order.
    pub fn set_apart(&mut self, shared: &Self) {
        self.order.clone_from(&shared.order);
        self.lengths.clone_from(&shared.lengths);
        self.running.clear();
        self.offsets.clear();
        self.offsets.push(0);
        for step in 0..shared.steps() {
            let running = shared.long(step);
            self.running.push(running);
            self.offsets.push(self.offsets[step] + running);
        }
        shared.spread(&shared.ids, &mut self.ids);
        self.set_chunks();
    }

    /// From what lies at each position, of rows that share their pads, to what lies at each of [`Self::set_apart`].
    pub fn spread<T: Copy>(&self, shared: &[T], apart: &mut Vec<T>) {
        let features = shared.len() / self.positions().max(1);
        apart.clear();
        for (step, rank) in self.places() {
            let at = self.position(step, rank) * features;
            apart.extend_from_slice(&shared[at..at + features]);
        }
    }

    /// The sum at each position over the rows that share it: the gradient of [`Self::spread`].
    pub fn gather<R: Real>(&self, apart: &[R], shared: &mut Vec<R>) {
        let features = apart.len() / self.lengths.iter().sum::<usize>().max(1);
        zeroed(shared, self.positions() * features);
        for ((step, rank), values) in self.places().zip(apart.chunks_exact(features)) {
            let at = self.position(step, rank) * features;
            for (sum, value) in shared[at..at + features].iter_mut().zip(values) {
                *sum += *value;
            }
        }
    }

    /// Each step of each row.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.steps()).flat_map(|step| (0..self.long(step)).map(move |rank| (step, rank)))
    }

    /// The rows that have a step, which are the first of all.
    fn long(&self, step: usize) -> usize {
        self.lengths.partition_point(|length| *length > step)
    }

    fn set_chunks(&mut self) {
        self.chunks.clear();
        self.longest_chunk = 0;
        let mut start = 0;
        for step in 1..=self.steps() {
            let positions = self.offsets[step] - self.offsets[start];
            if step == self.steps() || positions >= CHUNK {
                self.chunks.push(start..step);
                self.longest_chunk = self.longest_chunk.max(positions);
                start = step;
            }
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// The number of steps of the longest row.
    pub fn steps(&self) -> usize {
        self.running.len()
    }

    /// The number of positions.
    pub fn positions(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The position of a step that the row has.
    pub fn position(&self, step: usize, rank: usize) -> usize {
        self.offsets[step] + rank.min(self.running[step] - 1)
    }

    /// The position of a row's last step.
    pub fn last(&self, rank: usize) -> usize {
        self.position(self.lengths[rank] - 1, rank)
    }

    /// For each position that of the same row as far from its end; only where rows share no pads.
    pub fn reversed(&self, positions: &mut Vec<usize>) {
        positions.clear();
        for step in 0..self.steps() {
            let mirrored = (0..self.running[step])
                .map(|rank| self.offsets[self.lengths[rank] - 1 - step] + rank);
            positions.extend(mirrored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(rows: &[&[i64]], shares_pads: bool) -> Layout {
        let mut layout = Layout::default();
        layout.set(rows.len(), |at| rows[at], shares_pads);
        layout
    }

    #[test]
    fn every_step_of_every_row_has_one_position() {
        let layout = laid_out(&[&[1, 2], &[3, 4, 5, 6], &[7]], false);
        assert_eq!(layout.order, [1, 0, 2]);
        assert_eq!(layout.running, [3, 2, 1, 1]);
        assert_eq!(layout.ids, [3, 1, 7, 4, 2, 5, 6]);
        assert_eq!((layout.last(0), layout.last(1), layout.last(2)), (6, 4, 2));
    }

    #[test]
    fn pads_at_the_front_are_laid_out_once() {
        let rows: [&[i64]; 4] = [
            &[0, 0, 0, 1, 0],
            &[0, 2, 3, 4, 5],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 6, 7],
        ];
        let layout = laid_out(&rows, true);
        assert_eq!(layout.order, [1, 0, 3, 2]);
        assert_eq!(layout.running, [1, 2, 2, 4, 4]);
        assert_eq!(layout.ids, [0, 2, 0, 3, 0, 4, 1, 6, 0, 5, 0, 7, 0]);
        for (rank, &row) in layout.order.iter().enumerate() {
            let ids = (0..5).map(|step| layout.ids[layout.position(step, rank)]);
            assert_eq!(ids.collect::<Vec<_>>(), rows[row]);
        }
        assert_eq!(laid_out(&rows, false).positions(), 20);
        assert_eq!(laid_out(&[&[0, 0], &[0, 0]], true).ids, [0, 0]);
    }

    #[test]
    fn a_row_read_from_its_end_ends_where_it_began() {
        let layout = laid_out(&[&[1, 2], &[3, 4, 5, 6], &[7]], false);
        let mut reversed = Vec::new();
        layout.reversed(&mut reversed);
        let ids: Vec<i64> = reversed.iter().map(|&at| layout.ids[at]).collect();
        assert_eq!(ids, [6, 2, 7, 5, 1, 4, 3]);
    }
}
