//! `keras.datasets.imdb.load_data`: ranks to ids, and its shuffle.

use super::error::TextError;

/// The arguments of `load_data` that change ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImdbArguments {
    /// Ids from here on are cut; none or 0 keeps all below the largest.
    pub num_words: Option<i64>,
    /// Ids below this are cut.
    pub skip_top: i64,
    /// Sequences of this length or longer are left out.
    pub maxlen: Option<usize>,
    /// Put before every sequence.
    pub start_char: Option<i64>,
    /// Stands for what was cut; without it that is left out.
    pub oov_char: Option<i64>,
    /// Added to every rank.
    pub index_from: i64,
}

impl Default for ImdbArguments {
    fn default() -> Self {
        Self {
            num_words: None,
            skip_top: 0,
            maxlen: None,
            start_char: Some(1),
            oov_char: Some(2),
            index_from: 3,
        }
    }
}

/// One part of the data set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The sequences that were kept.
    pub sequences: Vec<Vec<i64>>,
    /// The places in the input that the labels come from.
    pub kept: Vec<usize>,
}

impl ImdbArguments {
    /// The training and the test part as `load_data` returns them, without its shuffle.
    ///
    /// # Errors
    /// `ValueError` where `maxlen` leaves nothing, or where a largest id is needed and a sequence is empty; also Keras
    /// 2.15's own broadcast error where neither `start_char` nor `index_from` nor `maxlen` turned its arrays into lists.
    pub fn encode(&self, train: &[Vec<i64>], test: &[Vec<i64>]) -> Result<(Part, Part), TextError> {
        let (mut train, mut test) = (self.shifted(train), self.shifted(test));
        if let Some(maxlen) = self.maxlen.filter(|maxlen| *maxlen != 0) {
            for part in [&mut train, &mut test] {
                part.kept.retain(|at| part.sequences[*at].len() < maxlen);
                part.sequences.retain(|ids| ids.len() < maxlen);
            }
            if train.sequences.is_empty() || test.sequences.is_empty() {
                return Err(TextError::Value(format!(
                    "After filtering for sequences shorter than maxlen={maxlen}, no sequence was kept. Increase maxlen."
                )));
            }
        } else if self.start_char.is_none() && self.index_from == 0 {
            (train.sequences, test.sequences) = added(&train.sequences, &test.sequences)?;
        }
        let sequences = || train.sequences.iter().chain(&test.sequences);
        let limit = match self.num_words.filter(|n| *n != 0) {
            Some(limit) => Some(limit),
            None if sequences().any(Vec::is_empty) => None,
            None => sequences().flatten().max().copied(),
        };
        let limit =
            limit.ok_or_else(|| TextError::Value("max() arg is an empty sequence".into()))?;
        for ids in train.sequences.iter_mut().chain(&mut test.sequences) {
            *ids = ids.iter().filter_map(|id| self.cut(*id, limit)).collect();
        }
        Ok((train, test))
    }

    fn shifted(&self, part: &[Vec<i64>]) -> Part {
        let shift = |ranks: &Vec<i64>| {
            self.start_char
                .into_iter()
                .chain(ranks.iter().map(|r| r.saturating_add(self.index_from)))
                .collect()
        };
        Part {
            sequences: part.iter().map(shift).collect(),
            kept: (0..part.len()).collect(),
        }
    }

    fn cut(&self, id: i64, limit: i64) -> Option<i64> {
        if (self.skip_top..limit).contains(&id) {
            Some(id)
        } else {
            self.oov_char
        }
    }

    /// The ids of one text from its tokens' ranks; `None` stands for a token without a rank, which becomes `unknown`.
    pub fn encode_text(
        &self,
        ranks: impl IntoIterator<Item = Option<i64>>,
        unknown: Option<i64>,
    ) -> Vec<i64> {
        let limit = self.num_words.filter(|n| *n != 0).unwrap_or(i64::MAX);
        let start = self.start_char.and_then(|start| self.cut(start, limit));
        let words = ranks.into_iter().filter_map(|rank| match rank {
            Some(rank) => self.cut(rank.saturating_add(self.index_from), limit),
            None => unknown,
        });
        start.into_iter().chain(words).collect()
    }
}

type Sequences = Vec<Vec<i64>>;

/// What numpy makes of `x_train + x_test` where both are still arrays of lists: an element-wise sum.
fn added(train: &[Vec<i64>], test: &[Vec<i64>]) -> Result<(Sequences, Sequences), TextError> {
    let (n, m) = (train.len(), test.len());
    if n != m && n != 1 && m != 1 {
        let message =
            format!("operands could not be broadcast together with shapes ({n},) ({m},) ");
        return Err(TextError::Value(message));
    }
    let len = if n == 1 { m } else { n };
    let mut sums: Vec<Vec<i64>> = (0..len)
        .map(|at| {
            [
                &train[if n == 1 { 0 } else { at }][..],
                &test[if m == 1 { 0 } else { at }],
            ]
            .concat()
        })
        .collect();
    let rest = sums.split_off(n.min(len));
    Ok((sums, rest))
}

/// `indices = numpy.arange(len); numpy.random.RandomState(seed).shuffle(indices)`: the Mersenne Twister of Matsumoto and
/// Nishimura 1998 with numpy's masked rejection.
pub fn shuffled_indices(len: usize, seed: u32) -> Vec<usize> {
    let mut twister = Twister::new(seed);
    let mut indices: Vec<usize> = (0..len).collect();
    for at in (1..len).rev() {
        indices.swap(at, twister.at_most(at as u64) as usize);
    }
    indices
}

const STATE: usize = 624;

struct Twister {
    state: [u32; STATE],
    next: usize,
}

impl Twister {
    fn new(seed: u32) -> Self {
        let mut state = [0u32; STATE];
        state[0] = seed;
        for at in 1..STATE {
            let before = state[at - 1];
            state[at] = 1_812_433_253u32
                .wrapping_mul(before ^ (before >> 30))
                .wrapping_add(at as u32);
        }
        Self { state, next: STATE }
    }

    fn word(&mut self) -> u32 {
        if self.next == STATE {
            for at in 0..STATE {
                let y =
                    (self.state[at] & 0x8000_0000) | (self.state[(at + 1) % STATE] & 0x7fff_ffff);
                let mixed = (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[at] = self.state[(at + 397) % STATE] ^ mixed;
            }
            self.next = 0;
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// numpy's `random_interval`: uniform in `0..=max`.
    fn at_most(&mut self, max: u64) -> u64 {
        let mask = u64::MAX >> max.leading_zeros().min(63);
        loop {
            let value = if max <= u64::from(u32::MAX) {
                u64::from(self.word())
            } else {
                (u64::from(self.word()) << 32) | u64::from(self.word())
            };
            if value & mask <= max {
                return value & mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shuffle_is_numpys() {
        // numpy 1.26.4: i = numpy.arange(12); numpy.random.RandomState(113).shuffle(i)
        assert_eq!(
            shuffled_indices(12, 113),
            [4, 3, 9, 8, 1, 0, 11, 7, 6, 10, 2, 5]
        );
        let long = shuffled_indices(25_000, 113);
        assert_eq!(long[..5], [7798, 13226, 18078, 793, 17499]);
        assert_eq!(long[24_997..], [22690, 4828, 14501]);
    }
}
