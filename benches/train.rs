//! Times optimiser steps on random full-length rows: `cargo bench --bench train`, or beside Keras by `make bench`.
//!
//! With `imdb` or `naver` it times that network with batches of 32 and prints the seconds for 100 steps alone.

use std::time::Instant;

use rand::RngExt;
use sentiment::recipe::{FitRecipe, LayerRecipe, Recurrent};
use sentiment::train::init::generator;
use sentiment::train::network::Network;
use sentiment::train::step::{Stepper, Target};

struct Case {
    key: &'static str,
    name: &'static str,
    rows: usize,
    embedding: usize,
    maxlen: usize,
}

fn main() {
    let cases = [
        Case {
            key: "imdb",
            name: "imdb 10000x32, lstm 64, lstm 32, T=350",
            rows: 10_000,
            embedding: 32,
            maxlen: 350,
        },
        Case {
            key: "naver",
            name: "naver 2500x16, lstm 64, lstm 32, T=100",
            rows: 2_500,
            embedding: 16,
            maxlen: 100,
        },
    ];
    let key = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    if let Some(case) = cases.iter().find(|case| Some(case.key) == key.as_deref()) {
        println!("{}", time(case, 32));
        return;
    }
    for case in cases {
        for batch in [32, 128] {
            let seconds = time(&case, batch);
            println!(
                "{}, batch {batch}: {:.2} s per 100 steps",
                case.name, seconds
            );
        }
    }
}

/// Seconds for 100 steps, from the median of repeated single steps after a warm-up.
fn time(case: &Case, batch: usize) -> f64 {
    let layers = [
        LayerRecipe::Embedding {
            units: case.embedding,
            mask_zero: false,
        },
        LayerRecipe::Lstm(Recurrent::new(64, true)),
        LayerRecipe::Lstm(Recurrent::new(32, false)),
        LayerRecipe::Dense {
            units: 1,
            activation: sentiment::recipe::Activation::Sigmoid,
        },
    ];
    let mut noise = generator(7);
    let rows: Vec<Vec<i64>> = (0..batch)
        .map(|_| {
            (0..case.maxlen)
                .map(|_| noise.random_range(1..case.rows as i64))
                .collect()
        })
        .collect();
    let targets: Vec<Target<'_>> = rows
        .iter()
        .enumerate()
        .map(|(at, ids)| Target {
            ids,
            label: f64::from(at as u32 % 2),
            weight: 1.0,
        })
        .collect();
    let network = Network::<f32>::build(&layers, case.rows, case.maxlen, 1);
    let mut stepper = Stepper::new(network, &FitRecipe::default());
    let mut seconds: Vec<f64> = (0..25)
        .map(|_| {
            let start = Instant::now();
            stepper.step(&targets, 1e-3);
            start.elapsed().as_secs_f64()
        })
        .skip(5)
        .collect();
    seconds.sort_by(f64::total_cmp);
    100.0 * seconds[seconds.len() / 2]
}
