//! What an LSTM is given: rows, and which of their steps count.

use std::ops::Range;

/// Rows to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequences<'a> {
    /// `[time, batch, inputs]`
    pub input: &'a [f32],
    /// Rows.
    pub batch: usize,
    /// The steps that are read.
    pub counted: Counted<'a>,
    /// The state and the cell before the first step, where they are not zero. `[directions, batch, units]`
    pub initial: [Option<&'a [f32]>; 2],
}

/// Which steps of each row are read. Rows cost no more than those where the longer ones come first.
#[derive(Clone, Copy, Debug)]
pub(super) enum Counted<'a> {
    /// All.
    All,
    /// So many at the beginning; answers behind them are zero. `[batch]`
    First(&'a [i32]),
    /// So many at the end, at least one. Those before them are pads, which are not read again. `[batch]`
    Last(&'a [i64], AfterPads<'a>),
}

/// What a row has come to after 0, 1, 2, ... pads, one for each number of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct AfterPads<'a> {
    /// `[maxlen, units]`
    pub state: &'a [f32],
    /// `[maxlen, units]`
    pub cell: &'a [f32],
}

impl Sequences<'_> {
    /// Whether the sizes go with so many steps, and states of so many numbers.
    pub fn fit(&self, time: usize, states: usize) -> bool {
        let units = states / self.batch.max(1);
        let counted = match self.counted {
            Counted::All => true,
            Counted::First(lengths) => lengths.len() == self.batch,
            Counted::Last(lengths, AfterPads { state, cell }) => {
                let read =
                    |&length: &i64| usize::try_from(length).is_ok_and(|n| (1..=time).contains(&n));
                lengths.len() == self.batch
                    && lengths.iter().all(read)
                    && state.len() >= time * units
                    && state.len() % units == 0
                    && state.len() == cell.len()
            }
        };
        let mut initial = self.initial.iter().flatten();
        self.batch > 0 && counted && initial.all(|values| values.len() == states)
    }
}

impl Counted<'_> {
    /// The steps of a row of so many that are read.
    pub fn steps(self, row: usize, time: usize) -> Range<usize> {
        match self {
            Self::All => 0..time,
            Self::First(lengths) => 0..usize::try_from(lengths[row]).unwrap_or(0).min(time),
            Self::Last(lengths, _) => {
                time.saturating_sub(usize::try_from(lengths[row]).unwrap_or(0))..time
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_do_not_go_with_the_rows_are_refused() {
        let (state, cell) = ([0.0; 6], [0.0; 6]);
        let fit = |lengths: &[i64], cell: &[f32]| {
            let after = AfterPads {
                state: &state,
                cell,
            };
            let rows = Sequences {
                input: &[0.0; 8],
                batch: 2,
                counted: Counted::Last(lengths, after),
                initial: [None; 2],
            };
            rows.fit(2, 4)
        };
        assert!(fit(&[2, 1], &cell));
        for lengths in [&[2][..], &[2, 0], &[2, 3], &[-1, 1]] {
            assert!(!fit(lengths, &cell), "{lengths:?}");
        }
        assert!(!fit(&[2, 1], &cell[1..]));
    }
}
