//! Which texts make a batch: what fits, and what pays.
//!
//! A run costs about as much as its longest text's steps times one row more than it has: the steps themselves cost as much as a
//! row. So a text joins where it makes a real step of the batch no dearer than it is without it: a few texts may differ much in
//! length, for then the shared steps are worth the padding, and many must be nearly alike. Where pads cost nothing, every text goes
//! with every other.

/// A text that could join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Its place in the queue.
    pub at: usize,
    /// The steps that it takes.
    pub steps: usize,
    /// Part of a bulk request.
    pub bulk: bool,
}

/// What fits into one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    /// Most rows.
    pub rows: usize,
    /// Most rows times steps, so that one batch does not keep the others waiting; a batch of one row may be longer.
    pub steps: usize,
    /// Pads cost nothing, and are not among the steps; they take room all the same.
    pub ragged: bool,
}

/// Rows times the longest row's steps, over the steps that count, in a batch whose pads cost nothing.
const ROOM: usize = 2;

/// A batch as it grows.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    longest: usize,
    /// Steps that are not padding.
    real: usize,
}

impl Shape {
    fn with(self, steps: usize) -> Self {
        Self {
            rows: self.rows + 1,
            longest: self.longest.max(steps),
            real: self.real + steps,
        }
    }

    fn cost(self) -> usize {
        self.longest * (self.rows + 1)
    }

    /// Whether a real step of it costs no more than one of the other.
    fn pays(self, other: Self) -> bool {
        self.cost() * other.real <= other.cost() * self.real
    }
}

impl Reach {
    /// Leaves the first candidate and those that go with it, in the order of their places: the nearest in length before others,
    /// and no text of a bulk request before a single one.
    pub fn choose(self, candidates: &mut Vec<Candidate>) {
        let Some((&mut first, others)) = candidates.split_first_mut() else {
            return;
        };
        let apart = |other: &Candidate| match self.ragged {
            true => 0,
            false => other.steps.abs_diff(first.steps),
        };
        others.sort_unstable_by_key(|other| (other.bulk, apart(other), other.at));
        let mut shape = Shape {
            rows: 0,
            longest: 0,
            real: 0,
        }
        .with(first.steps);
        let mut oldest = true;
        candidates.retain(|candidate| {
            if std::mem::take(&mut oldest) {
                return true;
            }
            let larger = shape.with(candidate.steps);
            let area = larger.rows * larger.longest;
            let joins = larger.rows <= self.rows
                && match self.ragged {
                    true => larger.real <= self.steps && area <= ROOM * self.steps,
                    false => area <= self.steps && larger.pays(shape),
                };
            if joins {
                shape = larger;
            }
            joins
        });
        candidates.sort_unstable_by_key(|chosen| chosen.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: Reach = Reach {
        rows: 64,
        steps: 8_192,
        ragged: false,
    };

    fn chosen(reach: Reach, lengths: &[usize], bulk: &[usize]) -> Vec<usize> {
        let mut candidates: Vec<_> = (0..lengths.len())
            .map(|at| Candidate {
                at,
                steps: lengths[at],
                bulk: bulk.contains(&at),
            })
            .collect();
        reach.choose(&mut candidates);
        candidates.iter().map(|chosen| chosen.at).collect()
    }

    #[test]
    fn two_texts_go_together_until_one_is_twice_as_long() {
        assert_eq!(chosen(REACH, &[80, 40], &[]), [0, 1]);
        assert_eq!(chosen(REACH, &[40, 80], &[]), [0, 1]);
        assert_eq!(chosen(REACH, &[80, 39], &[]), [0]);
        assert_eq!(chosen(REACH, &[39, 80], &[]), [0]);
    }

    #[test]
    fn the_more_there_are_the_more_they_are_alike() {
        // Eight of one length take none that is a sixth shorter, which one alone would.
        let mut lengths = vec![60; 8];
        lengths.push(50);
        assert_eq!(chosen(REACH, &lengths, &[]), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(chosen(REACH, &[60, 50], &[]), [0, 1]);
    }

    #[test]
    fn lengths_of_every_kind_make_batches_of_little_padding() {
        // The oldest, and where it stands among others: 64 texts of 6 to 100 steps.
        let lengths: Vec<usize> = (0..64).map(|at| 6 + (at * 37 + 11) % 95).collect();
        let batch = chosen(REACH, &lengths, &[]);
        let longest = batch.iter().map(|&at| lengths[at]).max().unwrap_or(0);
        let real: usize = batch.iter().map(|&at| lengths[at]).sum();
        assert!(batch.len() >= 4, "{batch:?}");
        assert!(real * 10 >= longest * batch.len() * 8, "{batch:?}");
    }

    #[test]
    fn a_batch_is_bounded_in_rows_and_in_rows_times_steps() {
        let few = Reach { rows: 3, ..REACH };
        assert_eq!(chosen(few, &[5; 9], &[]), [0, 1, 2]);
        let narrow = Reach {
            steps: 1_000,
            ..REACH
        };
        assert_eq!(chosen(narrow, &[300, 300, 300, 300], &[]), [0, 1, 2]);
        assert_eq!(chosen(narrow, &[2_000, 2_000], &[]), [0]);
        assert!(chosen(narrow, &[], &[]).is_empty());
    }

    #[test]
    fn where_pads_cost_nothing_the_oldest_go_whatever_their_lengths() {
        let ragged = Reach {
            rows: 4,
            steps: 100,
            ragged: true,
        };
        assert_eq!(chosen(ragged, &[9, 40, 1, 30, 9, 2], &[]), [0, 1, 2, 3]);
        assert_eq!(chosen(ragged, &[9, 40, 1, 30, 9, 2], &[2]), [0, 1, 3, 4]);
        // No more steps than that together, and no more than twice that with the pads.
        assert_eq!(chosen(ragged, &[40, 40, 30, 20], &[]), [0, 1, 3]);
        assert_eq!(chosen(ragged, &[90, 1, 1, 1], &[]), [0, 1]);
        assert_eq!(chosen(ragged, &[200, 1], &[]), [0]);
    }

    #[test]
    fn singles_go_before_bulk_though_they_are_less_alike() {
        let few = Reach { rows: 2, ..REACH };
        assert_eq!(chosen(few, &[50, 50, 40], &[1]), [0, 2]);
    }
}
