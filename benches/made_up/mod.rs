//! Reviews that nobody wrote, for benchmarks that anyone can run.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sentiment::train::init::generator;

/// Picks places from 0 with Zipf's frequencies.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(len: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=len).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    fn pick(&self, noise: &mut ChaCha8Rng) -> usize {
        let at = noise.random_range(0.0..1.0) * self.0.last().copied().unwrap_or(0.0);
        self.0.partition_point(|sum| *sum < at)
    }
}

/// Paragraphs of made-up words with the punctuation and the vocabulary's size of English film reviews, of so many words or
/// with such reviews' lengths.
pub fn english(count: usize, words_each: Option<usize>) -> Vec<String> {
    const ONSETS: [&str; 16] = [
        "", "b", "c", "d", "f", "l", "m", "n", "p", "r", "s", "t", "th", "st", "w", "tr",
    ];
    const RESTS: [&str; 16] = [
        "a", "e", "i", "o", "an", "er", "in", "ing", "ed", "al", "e", "es", "ion", "y", "ent", "ou",
    ];
    let mut noise = generator(11);
    let words: Vec<String> = (0..80_000usize)
        .map(|rank| {
            let syllables = 1 + usize::from(rank > 200) + usize::from(rank > 9_000);
            let mut word: String = (0..syllables)
                .flat_map(|_| {
                    [
                        ONSETS[noise.random_range(0..16)],
                        RESTS[noise.random_range(0..16)],
                    ]
                })
                .collect();
            match rank % 499 {
                1 => word.push_str("'s"),
                2 if rank > 3_000 => word.push('é'),
                _ => {}
            }
            word
        })
        .collect();
    let zipf = Zipf::new(words.len(), 1.15);
    let text = |noise: &mut ChaCha8Rng| {
        let mut text = String::new();
        let mut first = true;
        let spread: f64 = noise.random_range(-1.0..1.0) + noise.random_range(-1.0..1.0);
        for _ in 0..words_each.unwrap_or((180.0 * spread.exp()) as usize + 10) {
            let word = &words[zipf.pick(noise)];
            if first {
                text.extend(word.chars().flat_map(char::to_uppercase).take(1));
                text.extend(word.chars().skip(1));
            } else {
                text.push_str(word);
            }
            let end = noise.random_range(0..200);
            first = end < 12;
            text.push_str(match end {
                0 => ".<br /><br />",
                1 => "! ",
                2..12 => ". ",
                12..24 => ", ",
                24 => " - ",
                25 => " (",
                _ => " ",
            });
        }
        text
    };
    (0..count).map(|_| text(&mut noise)).collect()
}

/// Lines of made-up words with the lengths and the number of characters of Korean shop reviews.
pub fn korean(count: usize) -> Vec<String> {
    let mut noise = generator(12);
    let zipf = Zipf::new(2_000, 1.0);
    let syllables: Vec<char> = (0..2_000)
        .map(|rank: u32| char::from_u32(0xac00 + rank * 7919 % 11_172).expect("a Hangul syllable"))
        .collect();
    let text = |noise: &mut ChaCha8Rng| {
        let mut text = String::new();
        for _ in 0..noise.random_range(1..20) {
            for _ in 0..noise.random_range(1..6) {
                text.push(syllables[zipf.pick(noise)]);
            }
            text.push_str(match noise.random_range(0..20) {
                0 => "ㅋㅋ ",
                1 => "!! ",
                2 => ".. ",
                3 => " 10",
                4 => " OK ",
                _ => " ",
            });
        }
        text
    };
    (0..count).map(|_| text(&mut noise)).collect()
}
