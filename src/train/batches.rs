//! In which order an epoch visits its rows.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Batches whose rows are sorted by length together: large enough that rows of a batch are alike, small enough that
/// batches differ from epoch to epoch.
const BATCHES_PER_WINDOW: usize = 50;

/// How batches are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Drawing {
    /// Rows in a batch; the last one may have fewer.
    pub batch_size: usize,
    /// Rows of like length together.
    pub bucket: bool,
    /// With the epoch it decides the order.
    pub seed: u64,
}

impl Drawing {
    /// The batches of one epoch, as places in `lengths`; every row is in exactly one.
    pub fn epoch(self, epoch: usize, lengths: &[usize]) -> Vec<Vec<usize>> {
        let mut noise = ChaCha8Rng::seed_from_u64(self.seed ^ 0x6f72_6465_7221_2121);
        noise.set_stream(epoch as u64);
        let mut order: Vec<usize> = (0..lengths.len()).collect();
        order.shuffle(&mut noise);
        if !self.bucket {
            return order
                .chunks(self.batch_size)
                .map(<[usize]>::to_vec)
                .collect();
        }
        let mut batches: Vec<Vec<usize>> = Vec::new();
        for window in order.chunks_mut(self.batch_size * BATCHES_PER_WINDOW) {
            window.sort_by_key(|&row| lengths[row]);
            batches.extend(window.chunks(self.batch_size).map(<[usize]>::to_vec));
        }
        batches.shuffle(&mut noise);
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Vec<usize> {
        (0..1_003).map(|row| (row * 7919) % 211 + 1).collect()
    }

    #[test]
    fn every_row_is_visited_once_an_epoch() {
        for bucket in [false, true] {
            let drawing = Drawing {
                batch_size: 16,
                bucket,
                seed: 3,
            };
            let mut seen: Vec<usize> = drawing.epoch(0, &lengths()).into_iter().flatten().collect();
            assert_ne!(seen, (0..1_003).collect::<Vec<_>>());
            seen.sort_unstable();
            assert_eq!(seen, (0..1_003).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_differ_and_a_seed_repeats_them() {
        let drawing = Drawing {
            batch_size: 16,
            bucket: true,
            seed: 3,
        };
        assert_ne!(drawing.epoch(0, &lengths()), drawing.epoch(1, &lengths()));
        assert_eq!(drawing.epoch(1, &lengths()), drawing.epoch(1, &lengths()));
    }

    #[test]
    fn buckets_leave_a_tenth_of_the_padding() {
        let steps = |bucket| -> usize {
            let batches = Drawing {
                batch_size: 16,
                bucket,
                seed: 3,
            }
            .epoch(0, &lengths());
            let longest =
                |batch: &Vec<usize>| batch.iter().map(|&row| lengths()[row]).max().unwrap_or(0);
            batches
                .iter()
                .map(|batch| batch.len() * longest(batch))
                .sum()
        };
        let real: usize = lengths().iter().sum();
        assert!(10 * (steps(true) - real) < steps(false) - real);
    }
}
