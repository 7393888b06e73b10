//! A training step takes nothing from the allocator once its buffers have grown, and a text that is answered next to nothing.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sentiment::bundle::Bundle;
use sentiment::engine::session::{Device, Runtime};
use sentiment::engine::{Engine, EngineSettings, Terms};
use sentiment::recipe::{Activation, Embedding, FitRecipe, LayerRecipe, Merge, Recurrent};
use sentiment::train::network::Network;
use sentiment::train::step::{Stepper, Target};

struct Counting;

thread_local! {
    /// Of this thread alone: others do other things.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the allocator's contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Rows of uneven length, some with pads in front.
fn rows(padded: bool) -> Vec<Vec<i64>> {
    let row = |at: i64| -> Vec<i64> {
        let length = if padded { 12 } else { 1 + at % 12 };
        let pads = if padded { at % 9 } else { 0 };
        let id = |step: i64| (1 + (at * 5 + step * 3) % 29) * i64::from(step >= pads);
        (0..length).map(id).collect()
    };
    (0..40).map(row).collect()
}

fn embedding(mask_zero: bool) -> LayerRecipe {
    LayerRecipe::Embedding(Embedding::new(8, mask_zero))
}

const LOGIT: LayerRecipe = LayerRecipe::Dense {
    units: 1,
    activation: Activation::Sigmoid,
};

/// Not the products of `gemm` (dense layers over time, recurrent ones with other activations), which takes its scratch anew.
#[test]
fn a_step_allocates_nothing_after_the_first() {
    let dropped = Recurrent {
        dropout: 0.2,
        recurrent_dropout: 0.2,
        ..Recurrent::new(6, true)
    };
    let both_ways = Recurrent {
        bidirectional: Some(Merge::Concat),
        ..Recurrent::new(6, true)
    };
    let masked = vec![
        embedding(true),
        LayerRecipe::SpatialDropout { rate: 0.1 },
        LayerRecipe::Lstm(dropped),
        LayerRecipe::Gru(both_ways),
        LayerRecipe::GlobalMaxAveragePooling {},
        LayerRecipe::Dropout { rate: 0.2 },
        LOGIT,
    ];
    let frozen = vec![
        LayerRecipe::Embedding(Embedding {
            trainable: false,
            ..Embedding::new(8, true)
        }),
        LayerRecipe::Lstm(Recurrent::new(6, false)),
        LOGIT,
    ];
    let unmasked = vec![
        embedding(false),
        LayerRecipe::Lstm(Recurrent::new(20, true)),
        LayerRecipe::SimpleRnn(Recurrent::new(6, false)),
        LOGIT,
    ];
    let spread = vec![
        embedding(false),
        LayerRecipe::Lstm(Recurrent::new(20, true)),
        LayerRecipe::Dropout { rate: 0.2 },
        LayerRecipe::Lstm(Recurrent::new(6, false)),
        LOGIT,
    ];
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    for (layers, padded) in [
        (masked, false),
        (frozen, false),
        (unmasked, true),
        (spread, true),
    ] {
        let rows = rows(padded);
        let targets: Vec<Target<'_>> = rows
            .iter()
            .enumerate()
            .map(|(at, ids)| Target {
                ids,
                label: f64::from(at as u32 % 2),
                weight: 1.0,
            })
            .collect();
        let fit = FitRecipe {
            global_clipnorm: Some(1.0),
            ..FitRecipe::default()
        };
        let mut stepper = Stepper::new(Network::<f32>::build(&layers, 30, 12, 1), &fit);
        let counts: Vec<usize> = pool.install(|| {
            // An epoch of batches that are unlike in size and length, three times.
            let batches = [
                &targets[..],
                &targets[5..18],
                &targets[30..],
                &targets[20..21],
            ];
            let mut counts = Vec::with_capacity(3);
            for _ in 0..3 {
                let before = ALLOCATIONS.get();
                for batch in batches {
                    stepper.step(batch, 1e-3);
                }
                counts.push(ALLOCATIONS.get() - before);
            }
            counts
        });
        assert!(counts[0] > 0, "nothing was counted");
        assert_eq!(counts[1..], [0; 2], "{counts:?}, {layers:?}");
    }
}

/// What a text that is answered takes from the allocator at most: its ids, its ticket, its job, the way back, the run's names, shapes
/// and logits.
const OF_A_TEXT: usize = 40;

#[test]
fn a_text_takes_a_few_pieces_of_memory_however_long_it_is_and_however_many_came_before() {
    let bundle = Bundle::load(Path::new("models/naver/2")).unwrap();
    let settings = EngineSettings {
        device: Device::Cpu,
        threads: 1,
        max_batch: 4,
        queue: 4,
    };
    let runtime = Runtime::load().unwrap();
    let engine = Engine::start(&runtime, Arc::new(bundle), settings, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let ask = |text: &str| {
        let before = ALLOCATIONS.get();
        let asks = vec![engine.encode(text).unwrap()];
        let places = engine.reserve(1).unwrap();
        let terms = Terms {
            deadline: Some(Instant::now() + Duration::from_secs(3600)),
            bulk: false,
        };
        let ticket = engine.submit(asks, places, terms).pop().unwrap();
        runtime.block_on(engine.answer(ticket)).unwrap();
        ALLOCATIONS.get() - before
    };
    let long = "배송이 빨라요 ".repeat(200);
    // Until the buffers have grown, and so many texts have found nobody else that they are run where they are counted.
    for _ in 0..20 {
        ask(&long);
        ask("좋아요");
    }
    for text in ["좋아요", "배송이 빨라요", &long] {
        let counts: Vec<usize> = (0..10).map(|_| ask(text)).collect();
        assert!(counts[0] > 0, "nothing was counted");
        let most = counts.iter().max();
        assert!(most <= Some(&OF_A_TEXT), "{counts:?}");
        eprintln!("{counts:?}");
    }
}
