//! Times text encoding: `cargo bench --bench text`, or beside Keras by `make bench`.
//!
//! With `generate FOLDER` it writes made-up reviews, with `time FILE word|char` it times one file of a text a line and
//! prints JSON; with neither it times made-up reviews of its own.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

mod made_up;

use made_up::{english, korean};
use rayon::prelude::*;
use sentiment::text::{
    Encoder, EncoderSpec, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
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
            write("english.txt", english(10_000, None))?;
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
                ("words", english(10_000, None), Level::Word),
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
