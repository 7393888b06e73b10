//! Times optimiser steps: `cargo bench --bench train`, or beside Keras and PyTorch by `make bench`.
//!
//! - `arrays NETWORK BATCH COUNT OUT [TEXTS]` writes batches of padded rows as 32-bit integers, `[COUNT, BATCH, T]`: random ids,
//!   or texts (one a line) with batches drawn from length buckets, as many as the texts make; prints how many.
//! - `steps NETWORK BATCH ARRAYS THREADS STEPS` prints the seconds of so many steps on them, after a few that warm up.
//! - `shape ROWS UNITS HIDDEN T BATCH THREADS` prints the seconds of 100 steps of another size, scaled from 12 on random rows.
//! - `about` prints the instruction set.
//! - `peak THREADS` prints the GFLOP/s of large matrix products.
//! - Nothing, and it times both networks on random rows.

use std::path::Path;
use std::time::Instant;

use rand::RngExt;
use sentiment::recipe::{Activation, Embedding, FitRecipe, LayerRecipe, Recurrent};
use sentiment::text::{
    Encoder, EncoderSpec, Level, Moment, PaddingSpec, Side, TextSpec, TokenizerSpec,
};
use sentiment::train::batches::Drawing;
use sentiment::train::init::generator;
use sentiment::train::kernel::{View, product};
use sentiment::train::network::Network;
use sentiment::train::step::{Stepper, Target};
use sentiment::train::vector::instruction_set;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Embedding, two LSTM layers, a logit.
#[derive(Clone, Copy)]
struct Case {
    rows: usize,
    embedding: usize,
    hidden: [usize; 2],
    maxlen: usize,
}

const IMDB: Case = Case {
    rows: 10_000,
    embedding: 32,
    hidden: [64, 32],
    maxlen: 350,
};
const NAVER: Case = Case {
    rows: 2_500,
    embedding: 16,
    hidden: [64, 32],
    maxlen: 100,
};

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["arrays", network, batch, count, out] => {
            let case = case(network)?;
            let ids = random(case, batch.parse::<usize>()? * count.parse::<usize>()?);
            println!("{count}");
            write(Path::new(out), &ids)
        }
        ["arrays", network, batch, count, out, texts] => {
            let texts = std::fs::read_to_string(texts)?;
            let (case, batch) = (case(network)?, batch.parse::<usize>()?);
            let ids = encoded(case, &texts, (batch, count.parse()?))?;
            println!("{}", ids.len() / (batch * case.maxlen));
            write(Path::new(out), &ids)
        }
        ["steps", network, batch, arrays, threads, steps] => {
            let case = case(network)?;
            let bytes = std::fs::read(arrays)?;
            let ids = bytes.as_chunks().0.iter();
            let ids: Vec<i64> = ids.map(|id| i64::from(i32::from_le_bytes(*id))).collect();
            let (batch, steps) = (batch.parse()?, steps.parse()?);
            let seconds = pool(threads.parse()?)?.install(|| time(case, &ids, batch, steps));
            println!("{seconds}");
            Ok(())
        }
        ["about"] => {
            println!("{}", instruction_set());
            Ok(())
        }
        ["shape", rows, units, hidden, maxlen, batch, threads] => {
            let hidden = hidden.parse()?;
            let case = Case {
                rows: rows.parse()?,
                embedding: units.parse()?,
                hidden: [hidden, hidden / 2],
                maxlen: maxlen.parse()?,
            };
            let batch = batch.parse()?;
            let ids = random(case, 4 * batch);
            let seconds = pool(threads.parse()?)?.install(|| {
                let mut passes = [0; 3].map(|_| time(case, &ids, batch, 4));
                passes.sort_by(f64::total_cmp);
                passes[1]
            });
            println!("{seconds}");
            Ok(())
        }
        ["peak", threads] => {
            println!("{}", peak(threads.parse()?)?);
            Ok(())
        }
        [] => {
            for (name, case) in [("imdb", IMDB), ("naver", NAVER)] {
                for batch in [32, 128] {
                    let seconds = time(case, &random(case, 100 * batch), batch, 100);
                    println!("{name}, batch {batch}: {seconds:.2} s per 100 steps");
                }
            }
            Ok(())
        }
        _ => Err("arrays | steps | shape | about | peak: see the head of benches/train.rs".into()),
    }
}

fn case(name: &str) -> Result<Case, Failure> {
    match name {
        "imdb" => Ok(IMDB),
        "naver" => Ok(NAVER),
        other => Err(format!("no network {other:?}").into()),
    }
}

fn pool(threads: usize) -> Result<rayon::ThreadPool, Failure> {
    Ok(rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()?)
}

/// Rows without a pad.
fn random(case: Case, rows: usize) -> Vec<i64> {
    let mut noise = generator(7);
    let id = || noise.random_range(1..case.rows as i64);
    std::iter::repeat_with(id)
        .take(rows * case.maxlen)
        .collect()
}

/// Padded rows of texts, by words for the IMDB network and by characters for Naver's.
fn encoded(case: Case, texts: &str, (batch, count): (usize, usize)) -> Result<Vec<i64>, Failure> {
    let level = if case.maxlen == IMDB.maxlen {
        Level::Word
    } else {
        Level::Char
    };
    let spec = EncoderSpec {
        text: TextSpec::default(),
        tokenizer: TokenizerSpec {
            level,
            num_words: Some(case.rows),
            oov: Some("<OOV>".to_owned()),
            ..TokenizerSpec::default()
        },
        padding: PaddingSpec {
            maxlen: case.maxlen,
            padding: Side::Pre,
            truncating: Side::Pre,
            value: 0,
        },
    };
    let encoder = Encoder::fit(spec, texts.lines())?;
    let rows: Vec<Vec<i64>> = texts
        .lines()
        .map(|text| {
            let mut ids = Vec::new();
            encoder.encode(text, Moment::Train, &mut ids);
            ids
        })
        .collect();
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let drawing = Drawing {
        batch_size: batch,
        bucket: true,
        seed: 7,
    };
    let batches = drawing.epoch(0, &lengths).into_iter();
    let whole: Vec<_> = batches.filter(|b| b.len() == batch).take(count).collect();
    if whole.is_empty() {
        return Err(format!("a batch of {batch} needs more texts").into());
    }
    let mut ids = Vec::new();
    for row in whole.into_iter().flatten() {
        encoder.pad(&rows[row], case.maxlen, &mut ids);
    }
    Ok(ids)
}

fn write(path: &Path, ids: &[i64]) -> Result<(), Failure> {
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|id| (*id as i32).to_le_bytes())
        .collect();
    Ok(std::fs::write(path, bytes)?)
}

/// Seconds of so many steps as if they were 100, after a few that warm up: one batch after the other and again from the first.
fn time(case: Case, ids: &[i64], batch: usize, steps: usize) -> f64 {
    let layers = [
        LayerRecipe::Embedding(Embedding::new(case.embedding, false)),
        LayerRecipe::Lstm(Recurrent::new(case.hidden[0], true)),
        LayerRecipe::Lstm(Recurrent::new(case.hidden[1], false)),
        LayerRecipe::Dense {
            units: 1,
            activation: Activation::Sigmoid,
        },
    ];
    let rows = ids.chunks_exact(case.maxlen).enumerate();
    let targets: Vec<Target<'_>> = rows
        .map(|(at, ids)| Target {
            ids,
            label: f64::from(at as u32 % 2),
            weight: 1.0,
        })
        .collect();
    let network = Network::<f32>::build(&layers, case.rows, case.maxlen, 1);
    let mut stepper = Stepper::new(network, &FitRecipe::default());
    let batches: Vec<_> = targets.chunks_exact(batch).collect();
    let mut run = |steps| {
        for batch in batches.iter().cycle().take(steps) {
            stepper.step(batch, 1e-3);
        }
    };
    run(3);
    let start = Instant::now();
    run(steps);
    100.0 * start.elapsed().as_secs_f64() / steps as f64
}

/// GFLOP/s of products of 768 x 768 matrices, one on each thread.
fn peak(threads: usize) -> Result<f64, Failure> {
    const SIZE: usize = 768;
    const TIMES: usize = 24;
    let a = vec![0.5f32; SIZE * SIZE];
    let work = || {
        let mut out = vec![0.0f32; SIZE * SIZE];
        let view = || View::new(&a, SIZE, SIZE);
        (0..TIMES).for_each(|_| product(&mut out, view(), view(), false));
    };
    let mut rates: Vec<f64> = (0..5)
        .map(|_| {
            let start = Instant::now();
            std::thread::scope(|scope| {
                (0..threads).for_each(|_| {
                    scope.spawn(work);
                });
            });
            let operations = 2.0 * SIZE.pow(3) as f64 * (TIMES * threads) as f64;
            operations / start.elapsed().as_secs_f64() / 1e9
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    Ok(rates[2])
}
