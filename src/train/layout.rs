//! How the rows of one shard lie in memory: time-major, without the steps that do not exist.
//!
//! Rows are sorted by length, longest first, so the rows still running at step `t` are a prefix, and every step of every
//! row has one position: `offset[t] + rank`. Rows of one length (unmasked networks) are the plain `[time, batch]` matrix.

use std::ops::Range;

/// The positions of a shard's rows.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// `order[rank]` is the row's place in the caller's list.
    pub order: Vec<usize>,
    /// Lengths by rank, never rising.
    pub lengths: Vec<usize>,
    /// Rows running at each step.
    pub running: Vec<usize>,
    /// The first position of each step, and the number of positions at the end.
    pub offsets: Vec<usize>,
    /// The id at each position.
    pub ids: Vec<i64>,
}

impl Layout {
    /// Lays `rows` out anew, keeping the buffers.
    pub fn set<'a>(&mut self, rows: impl ExactSizeIterator<Item = &'a [i64]> + Clone) {
        let lengths: Vec<usize> = rows.clone().map(<[i64]>::len).collect();
        self.order.clear();
        self.order.extend(0..lengths.len());
        self.order
            .sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
        self.lengths.clear();
        self.lengths
            .extend(self.order.iter().map(|&row| lengths[row]));
        let steps = self.lengths.first().copied().unwrap_or(0);
        self.running.clear();
        self.offsets.clear();
        let mut running = self.lengths.len();
        let mut offset = 0;
        for step in 0..steps {
            while self.lengths[running - 1] <= step {
                running -= 1;
            }
            self.running.push(running);
            self.offsets.push(offset);
            offset += running;
        }
        self.offsets.push(offset);
        self.ids.clear();
        self.ids.resize(offset, 0);
        let rows: Vec<&[i64]> = rows.collect();
        for (rank, &row) in self.order.iter().enumerate() {
            for (step, id) in rows[row].iter().enumerate() {
                self.ids[self.offsets[step] + rank] = *id;
            }
        }
    }

    /// The steps in order, as many together as have `positions` or, the last of them, take it past that.
    pub fn chunks(&self, positions: usize) -> impl DoubleEndedIterator<Item = Range<usize>> {
        let mut chunks = Vec::new();
        let mut start = 0;
        for step in 1..=self.steps() {
            if step == self.steps() || self.offsets[step] - self.offsets[start] >= positions {
                chunks.push(start..step);
                start = step;
            }
        }
        chunks.into_iter()
    }

    /// The most positions that one of [`Layout::chunks`] has.
    pub fn longest(&self, positions: usize) -> usize {
        let sizes = self
            .chunks(positions)
            .map(|steps| self.offsets[steps.end] - self.offsets[steps.start]);
        sizes.max().unwrap_or(0)
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// The number of steps of the longest row.
    pub fn steps(&self) -> usize {
        self.running.len()
    }

    /// The number of steps of all rows together.
    pub fn positions(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }

    /// The position of a row's last step.
    pub fn last(&self, rank: usize) -> usize {
        self.offsets[self.lengths[rank] - 1] + rank
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_of_every_row_has_one_position() {
        let rows: [&[i64]; 3] = [&[1, 2], &[3, 4, 5, 6], &[7]];
        let mut layout = Layout::default();
        layout.set(rows.iter().copied());
        assert_eq!(layout.order, [1, 0, 2]);
        assert_eq!(layout.running, [3, 2, 1, 1]);
        assert_eq!(layout.ids, [3, 1, 7, 4, 2, 5, 6]);
        assert_eq!((layout.last(0), layout.last(1), layout.last(2)), (6, 4, 2));
    }
}
