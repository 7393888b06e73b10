//! Texts that nobody would write, for tests.

use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;

/// So many pieces of an alphabet, drawn one after another.
pub fn text(random: &mut ChaCha8Rng, alphabet: &[&str], pieces: usize) -> String {
    let drawn = (0..pieces).map(|_| alphabet.choose(random).copied().unwrap_or_default());
    drawn.collect()
}
