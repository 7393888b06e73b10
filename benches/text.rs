//! Times text encoding: `cargo bench --bench text`, or beside Keras by `make bench`.
//!
//! With `generate FOLDER` it writes made-up reviews, with `time FILE word|char` it times one file of a text a line and
//! prints JSON; with neither it times made-up reviews of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use sentiment::text::{
    Encoder, EncoderSpec, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
use sentiment::train::init::generator;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(size as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["generate", folder] => {
            std::fs::create_dir_all(folder)?;
            let write = |name: &str, texts: Vec<String>| {
                std::fs::write(Path::new(folder).join(name), texts.join("\n") + "\n")
            };
            write("english.txt", english(10_000))?;
            write("korean.txt", korean(50_000))
        }
        ["time", file, level] => {
            let file = std::fs::read_to_string(file)?;
            let texts: Vec<&str> = file.split_terminator('\n').collect();
            let level = if level == "char" {
                Level::Char
            } else {
                Level::Word
            };
            println!("{}", time(&texts, level));
            Ok(())
        }
        _ => {
            for (name, texts, level) in [
                ("words", english(10_000), Level::Word),
                ("characters", korean(50_000), Level::Char),
            ] {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                println!("{name}: {}", time(&texts, level));
            }
            Ok(())
        }
    }
}

/// Seconds for fitting a vocabulary, encoding all texts, and encoding and padding them, and a digest of the padded rows.
fn time(texts: &[&str], level: Level) -> Value {
    let (num_words, maxlen) = match level {
        Level::Word => (Some(10_000), 350),
        Level::Char => (Some(2_500), 100),
    };
    let spec = EncoderSpec {
        text: TextSpec::default(),
        tokenizer: TokenizerSpec {
            level,
            num_words,
            oov: Some("<OOV>".to_owned()),
            ..TokenizerSpec::default()
        },
        padding: PaddingSpec {
            maxlen,
            padding: Side::Pre,
            truncating: Side::Pre,
            value: 0,
        },
    };
    let start = Instant::now();
    let encoder = Encoder::fit(spec, texts.iter().copied()).expect("texts have tokens");
    let fit = start.elapsed().as_secs_f64();
    let mut ids = Vec::with_capacity(1 << 16);
    encoder.encode(texts[0], Moment::Serve, &mut ids);

    let counted = || {
        (
            ALLOCATIONS.load(Ordering::Relaxed),
            BYTES.load(Ordering::Relaxed),
        )
    };
    let (before, mut tokens) = (counted(), 0);
    let mut all = || {
        let encoded = texts
            .iter()
            .map(|text| encoder.encode(text, Moment::Serve, &mut ids).total);
        tokens = encoded.sum();
    };
    all();
    let after = counted();
    let encode = median(&mut all);

    let start = Instant::now();
    let mut rows = Vec::with_capacity(texts.len() * maxlen);
    for text in texts {
        encoder.encode(text, Moment::Serve, &mut ids);
        encoder.pad(&ids, maxlen, &mut rows);
    }
    let pad = start.elapsed().as_secs_f64();

    let threads = median(|| {
        let totals = texts.par_chunks(64).map_init(Vec::new, |ids, chunk| {
            let encoded = chunk
                .iter()
                .map(|text| encoder.encode(text, Moment::Serve, ids).total);
            encoded.sum::<usize>()
        });
        assert_eq!(tokens, totals.sum::<usize>());
    });

    let mut digest = Sha256::new();
    for id in &rows {
        digest.update((*id as i32).to_le_bytes());
    }
    let digest: String = digest
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    json!({
        "texts": texts.len(), "tokens": tokens, "fit_s": fit, "encode_s": encode, "encode_and_pad_s": pad,
        "encode_all_threads_s": threads, "threads": rayon::current_num_threads(), "ids_sha256": digest,
        "allocations": after.0 - before.0, "bytes_allocated": after.1 - before.1,
    })
}

/// Seconds, the median of nine turns: one is over too soon to be a measure on a machine that does other things.
fn median(mut turn: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..9)
        .map(|_| {
            let start = Instant::now();
            turn();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[4]
}

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

/// Paragraphs of made-up words with the lengths, the punctuation and the vocabulary's size of English film reviews.
fn english(count: usize) -> Vec<String> {
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
        for _ in 0..(180.0 * spread.exp()) as usize + 10 {
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
fn korean(count: usize) -> Vec<String> {
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
