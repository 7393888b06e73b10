//! Words between ASCII separators to ids, without a copy of any word.
//!
//! The lower-cased text is looked at 64 bytes at a time: where its separators are is a number with a bit for each byte. A
//! word of at most 15 bytes is a number too, with its length in the topmost byte, and a table of such numbers answers.

use std::cell::RefCell;

use hashbrown::HashMap;

use super::lower::lower_into;
use super::tokenizer::TokenizerConfig;
use super::vocabulary::CUT;

const BLOCK: usize = 64;
const SHORT: usize = 15;

#[derive(Debug)]
pub(super) struct Words {
    lower: bool,
    /// The first byte of each run of separators, and how many follow.
    separators: Vec<(u8, u8)>,
    short: ShortWords,
    long: HashMap<Box<[u8]>, i64>,
}

/// Words lie in the order in which they came, the frequent ones close together where a processor's cache keeps them; what
/// is spread by hashes is only where they lie.
#[derive(Debug)]
struct ShortWords {
    /// A power of two of places, more than half of them 0; a word's is at its hash or follows it.
    places: Vec<u32>,
    /// The first is no word.
    words: Vec<u128>,
    ids: Vec<i64>,
}

thread_local! {
    static LOWERED: RefCell<String> = const { RefCell::new(String::new()) };
    static NUMBERS: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
}

impl Words {
    /// None where words do not end at single ASCII characters. Words without an id may be left out of `words`.
    pub(super) fn new<'a>(
        config: &TokenizerConfig,
        words: impl Iterator<Item = (&'a str, i64)>,
    ) -> Option<Self> {
        if config.split.len() != 1 || !config.split.is_ascii() || !config.filters.is_ascii() {
            return None;
        }
        let (short, long): (Vec<_>, Vec<_>) = words
            .filter(|(word, _)| !word.is_empty())
            .partition(|(word, _)| word.len() <= SHORT);
        Some(Self {
            lower: config.lower,
            separators: runs(config.filters.bytes().chain(config.split.bytes())),
            short: ShortWords::new(&short)?,
            long: long
                .into_iter()
                .map(|(w, id)| (w.as_bytes().into(), id))
                .collect(),
        })
    }

    /// Appends each word's id or [`CUT`].
    pub(super) fn append(&self, text: &str, ids: &mut Vec<i64>) {
        LOWERED.with_borrow_mut(|lowered| {
            lowered.clear();
            if self.lower {
                lower_into(text, lowered);
            } else {
                lowered.push_str(text);
            }
            let len = lowered.len();
            // A whole number of blocks and a word's number past the text.
            lowered.extend(std::iter::repeat_n('\0', BLOCK + 16 + BLOCK - len % BLOCK));
            let bytes = lowered.as_bytes();
            NUMBERS.with_borrow_mut(|numbers| {
                let count = self.split(bytes, len, numbers);
                let numbers = &numbers[..count];
                ids.extend(numbers.iter().map(|number| self.id(bytes, *number)));
            });
        });
    }

    /// Finds the words in the first `len` of `bytes`. Looking them up is a pass of its own, so that waiting for memory
    /// for one word does not wait for the end of another.
    fn split(&self, bytes: &[u8], len: usize, numbers: &mut Vec<u128>) -> usize {
        if numbers.len() < len / 2 + 2 {
            numbers.resize(len / 2 + 2, 0);
        }
        let (mut start, mut count) = (0, 0);
        for (at, block) in (0..=len).step_by(BLOCK).zip(bytes.as_chunks::<BLOCK>().0) {
            let mut ends = self.ends(block);
            if len - at < BLOCK {
                // The text's end is a word's end, and nothing is past it.
                ends = ends & ((1 << (len - at)) - 1) | 1 << (len - at);
            }
            while ends != 0 {
                let end = at + ends.trailing_zeros() as usize;
                numbers[count] = number(bytes, start, end);
                count += usize::from(end > start);
                start = end + 1;
                ends &= ends - 1;
            }
        }
        count
    }

    /// A bit for each separator.
    fn ends(&self, block: &[u8; BLOCK]) -> u64 {
        let mut flags = [0u8; BLOCK];
        for (first, more) in &self.separators {
            for (flag, byte) in flags.iter_mut().zip(block) {
                *flag |= u8::from(byte.wrapping_sub(*first) <= *more);
            }
        }
        let mut ends = 0;
        for (at, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
            // Moves the lowest bit of each byte to the topmost byte, the first byte's lowest.
            let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
            ends |= bits << (8 * at);
        }
        ends
    }

    #[inline]
    fn id(&self, bytes: &[u8], number: u128) -> i64 {
        if number >> 120 > SHORT as u128 {
            let (start, end) = (number as u32 as usize, (number >> 32) as u32 as usize);
            return self.long.get(&bytes[start..end]).copied().unwrap_or(CUT);
        }
        self.short.id(number)
    }
}

impl ShortWords {
    /// None for more words than a place can tell apart.
    fn new(short: &[(&str, i64)]) -> Option<Self> {
        u32::try_from(short.len()).ok()?;
        let mut words = Self {
            places: vec![0; (short.len() * 2 + 1).next_power_of_two()],
            words: vec![0],
            ids: vec![CUT],
        };
        for (text, id) in short {
            let mut bytes = [0; 16];
            bytes[..text.len()].copy_from_slice(text.as_bytes());
            let word = number(&bytes, 0, text.len());
            let at = words.find(word);
            words.places[at] = words.words.len() as u32;
            words.words.push(word);
            words.ids.push(*id);
        }
        Some(words)
    }

    #[inline]
    fn id(&self, word: u128) -> i64 {
        self.ids[self.places[self.find(word)] as usize]
    }

    /// The place of the word, or the empty one where it would be.
    #[inline]
    fn find(&self, word: u128) -> usize {
        let low = word as u64 ^ 0x9e37_79b9_7f4a_7c15;
        let high = (word >> 64) as u64 ^ 0xd1b5_4a32_d192_ed03;
        let mixed = u128::from(low) * u128::from(high);
        let mut at = (mixed ^ (mixed >> 64)) as usize;
        loop {
            at &= self.places.len() - 1;
            let here = self.places[at];
            // One branch, for a word that is there as for one that is not.
            if (self.words[here as usize] == word) | (here == 0) {
                return at;
            }
            at += 1;
        }
    }
}

/// A short word's bytes with their number, a long word's place.
#[inline]
fn number(bytes: &[u8], start: usize, end: usize) -> u128 {
    let len = end - start;
    if len > SHORT {
        return 255 << 120 | (end as u128) << 32 | start as u128;
    }
    let around: &[u8; 16] = bytes[start..]
        .first_chunk()
        .expect("the text is followed by more");
    u128::from_le_bytes(*around) & KEPT[len & SHORT] | (len as u128) << 120
}

/// The bits of a word by its length.
const KEPT: [u128; SHORT + 1] = {
    let (mut kept, mut len) = ([0; SHORT + 1], 1);
    while len <= SHORT {
        kept[len] = kept[len - 1] << 8 | 0xff;
        len += 1;
    }
    kept
};

fn runs(bytes: impl Iterator<Item = u8>) -> Vec<(u8, u8)> {
    let mut bytes: Vec<u8> = bytes.collect();
    bytes.sort_unstable();
    bytes.dedup();
    let runs = bytes.chunk_by(|a, b| a + 1 == *b);
    runs.map(|run| (run[0], run.len() as u8 - 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(text: &str, vocabulary: &[&str]) -> Vec<i64> {
        let config = TokenizerConfig::default();
        let words = Words::new(&config, vocabulary.iter().copied().zip(1..));
        let mut ids = Vec::new();
        words.expect("ASCII").append(text, &mut ids);
        ids
    }

    #[test]
    fn words_are_told_apart_by_their_length_and_not_by_what_follows() {
        let words = ["a", "a\0", "\0", "abcdefghijklmno", "abcdefghijklmnop"];
        assert_eq!(ids("a a\0 \0 A\0\0", &words), [1, 2, 3, CUT]);
        assert_eq!(ids("abcdefghijklmno,abcdefghijklmnop", &words), [4, 5]);
    }

    #[test]
    fn words_are_found_wherever_blocks_end() {
        for spaces in 0..200 {
            let text = format!("{}good,bad{}", " ".repeat(spaces), "!".repeat(spaces));
            assert_eq!(ids(&text, &["bad", "good"]), [2, 1], "{spaces}");
        }
        assert_eq!(ids("", &["bad"]), [0; 0]);
    }
}
