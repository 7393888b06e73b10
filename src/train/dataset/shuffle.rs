//! Shuffles that a seed repeats for ever: the generator and the way from its words to an order are both written down here.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Puts values in an order that depends on the seed and their number alone: ChaCha8, then Fisher and Yates from the back.
pub fn shuffle<T>(values: &mut [T], seed: u64) {
    let mut words = ChaCha8Rng::seed_from_u64(seed);
    for last in (1..values.len()).rev() {
        values.swap(last, below(&mut words, last as u64 + 1) as usize);
    }
}

/// A number under `bound`, each as likely as the next; `bound` is at least 1.
fn below(words: &mut ChaCha8Rng, bound: u64) -> u64 {
    let uneven = u64::MAX - u64::MAX % bound;
    loop {
        let word = words.next_u64();
        if word < uneven {
            return word % bound;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_stays_and_the_seed_alone_decides_the_order() {
        let shuffled = |seed| {
            let mut values: Vec<usize> = (0..1000).collect();
            shuffle(&mut values, seed);
            values
        };
        assert_eq!(shuffled(7), shuffled(7));
        assert_ne!(shuffled(7), shuffled(8));
        let mut sorted = shuffled(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn no_order_of_three_is_favoured() {
        let mut counts = std::collections::BTreeMap::new();
        for seed in 0..6000 {
            let mut values = [0, 1, 2];
            shuffle(&mut values, seed);
            *counts.entry(values).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), 6);
        assert!(
            counts.values().all(|n| (850..1150).contains(n)),
            "{counts:?}"
        );
    }
}
