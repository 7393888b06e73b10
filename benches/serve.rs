//! What `make bench-serve` times the server against: `cargo bench --bench serve -- COMMAND`.
//!
//! - `prepare FOLDER` writes the course's two networks with random weights as bundles, and made-up reviews for them.
//! - `runtime BUNDLE TEXTS THREADS` runs ONNX Runtime in this process, a session a thread, on the ids of the texts sorted by
//!   length, and prints JSON: texts a second by batch size, and the microseconds of one text alone.
//! - `handler ADDRESS` is an axum handler that reads and writes the service's JSON and does nothing between.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

mod made_up;

use axum::routing::post;
use axum::{Json, Router};
use sentiment::bundle::{self, Bundle, Draft, GoldenRow, Metrics, TrainingRecord, Trim};
use sentiment::engine::session::{Runtime, Session, SessionError, SessionOptions};
use sentiment::recipe::Recipe;
use sentiment::sentiment::Calibration;
use sentiment::text::{Encoder, Moment};
use sentiment::train::export::export;
use sentiment::train::network::Network;
use sentiment::train::summary::summary;
use serde::{Deserialize, Serialize};
use serde_json::json;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["prepare", folder] => prepare(Path::new(folder)),
        ["runtime", bundle, texts, threads] => {
            runtime(Path::new(bundle), Path::new(texts), threads.parse()?)
        }
        ["handler", address] => handler(address),
        // Run by `cargo bench` with the others, where there is nothing to compare with.
        [] => Ok(()),
        _ => Err("prepare FOLDER | runtime BUNDLE TEXTS THREADS | handler ADDRESS".into()),
    }
}

fn prepare(folder: &Path) -> Result<(), Failure> {
    let models = folder.join("models");
    if models.is_dir() {
        std::fs::remove_dir_all(&models)?;
    }
    for (recipe, texts) in [
        ("course-naver", made_up::korean(20_000)),
        ("course-imdb-lstm", made_up::english(4_000, Some(200))),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("models/recipes")
            .join(format!("{recipe}.toml"));
        std::fs::create_dir_all(folder)?;
        std::fs::write(
            folder.join(format!("{recipe}.txt")),
            texts.join("\n") + "\n",
        )?;
        publish(&models, Recipe::load(&path)?, &texts)?;
    }
    Ok(())
}

/// The recipe's network as it is before training; what it costs is the same.
fn publish(models: &Path, recipe: Recipe, texts: &[String]) -> Result<(), Failure> {
    let encoder = Encoder::fit(recipe.encoder_spec(), texts.iter().map(String::as_str))?;
    let padding = &recipe.padding;
    let network = Network::<f32>::build(&recipe.layers, encoder.rows(), padding.maxlen, 1);
    let proof = network.cast::<f64>();
    let exported = export(&network, padding.padding)?;
    let golden = texts.iter().take(4).map(|text| {
        let (mut ids, mut row) = (Vec::new(), Vec::new());
        encoder.encode(text, Moment::Serve, &mut ids);
        encoder.pad(&ids, padding.maxlen, &mut row);
        let logit = proof.logits(&[&row])[0];
        GoldenRow {
            text: text.clone(),
            ids,
            logit,
        }
    });
    let draft = Draft {
        seed: 1,
        trim: exported.trim,
        rows: encoder.rows(),
        layers: summary(&network),
        training: TrainingRecord::default(),
        metrics: Metrics::default(),
        calibration: Calibration { temperature: 1.0 },
        onnx: exported.onnx,
        tokenizer: encoder.to_json(),
        history: "{\"epochs\":[]}\n".to_owned(),
        curves: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n".to_owned(),
        golden: golden.collect(),
        recipe,
    };
    bundle::write(models, draft)?;
    Ok(())
}

/// Some rows of like length, as the runtime takes them.
struct Batch {
    ids: Vec<i64>,
    shape: (usize, usize),
    lengths: Vec<i64>,
}

fn runtime(bundle: &Path, texts: &Path, threads: usize) -> Result<(), Failure> {
    let bundle = Bundle::load(bundle)?;
    let texts = std::fs::read_to_string(texts)?;
    let mut encoded: Vec<Vec<i64>> = texts
        .lines()
        .map(|text| {
            let mut ids = Vec::new();
            bundle.encoder.encode(text, Moment::Serve, &mut ids);
            ids
        })
        .filter(|ids| !ids.is_empty())
        .collect();
    let library = Runtime::load()?;
    let alone = alone(&library, &bundle, &texts)?;
    encoded.sort_by_key(Vec::len);
    let [standard, ours] = [true, false].map(|standard| {
        let options = SessionOptions {
            standard,
            ..SessionOptions::default()
        };
        let open = || Session::open(&library, &bundle.onnx, options);
        let mut by_batch = serde_json::Map::new();
        for size in [1, 4, 8, 16, 32, 64] {
            let batches: Vec<Batch> = encoded
                .chunks(size)
                .map(|rows| lay(&bundle, rows))
                .collect();
            by_batch.insert(size.to_string(), json!(rate(&open, &batches, threads)?));
        }
        Ok::<_, Failure>(by_batch)
    });
    println!(
        "{}",
        json!({ "texts_per_s": standard?, "ours_per_s": ours?, "alone_us": alone, "threads": threads })
    );
    Ok(())
}

/// Texts a second of so many threads, each with a session.
fn rate(
    open: &(impl Fn() -> Result<Session, SessionError> + Sync),
    batches: &[Batch],
    threads: usize,
) -> Result<f64, Failure> {
    const SECONDS: Duration = Duration::from_secs(2);
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Result<(), Failure> {
                    let mut session = open()?;
                    while start.elapsed() < SECONDS {
                        // A stride that visits every batch, long ones and short ones mixed.
                        let at = next.fetch_add(1, Ordering::Relaxed).wrapping_mul(7_919);
                        let batch = &batches[at % batches.len()];
                        session.run(&batch.ids, batch.shape, &batch.lengths)?;
                        done.fetch_add(batch.lengths.len(), Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| "a thread panicked".to_owned())?)
    })?;
    Ok(done.into_inner() as f64 / start.elapsed().as_secs_f64())
}

/// Median microseconds of encoding and running one text.
fn alone(library: &Runtime, bundle: &Bundle, texts: &str) -> Result<f64, Failure> {
    let mut session = Session::open(library, &bundle.onnx, SessionOptions::default())?;
    let mut times = Vec::new();
    let mut rows = [Vec::new()];
    for text in texts.lines().take(2_000) {
        let start = Instant::now();
        bundle.encoder.encode(text, Moment::Serve, &mut rows[0]);
        let row = lay(bundle, &rows);
        session.run(&row.ids, row.shape, &row.lengths)?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn lay(bundle: &Bundle, rows: &[Vec<i64>]) -> Batch {
    let time = match bundle.manifest.trim {
        Trim::None => bundle.manifest.recipe.padding.maxlen,
        Trim::Table | Trim::Masked => rows.iter().map(Vec::len).max().unwrap_or(1),
    };
    let mut ids = Vec::with_capacity(rows.len() * time);
    for row in rows {
        if bundle.manifest.trim == Trim::Masked {
            ids.extend_from_slice(row);
            ids.extend(std::iter::repeat_n(0, time - row.len()));
        } else {
            bundle.encoder.pad(row, time, &mut ids);
        }
    }
    Batch {
        ids,
        shape: (rows.len(), time),
        lengths: rows.iter().map(|row| row.len() as i64).collect(),
    }
}

#[derive(Deserialize)]
struct Asked {
    text: String,
    model: Option<String>,
}

/// As many fields as the service answers with.
#[derive(Serialize)]
struct Answered {
    label: &'static str,
    score: f64,
    raw_score: f64,
    confidence: f64,
    display: String,
    model: String,
    version: &'static str,
    language: &'static str,
    tokens: Counts,
}

#[derive(Serialize)]
struct Counts {
    used: usize,
    total: usize,
    unknown: usize,
    truncated: bool,
}

fn handler(address: &str) -> Result<(), Failure> {
    let answer = |Json(asked): Json<Asked>| async move {
        Json(Answered {
            label: "positive",
            score: 0.987_654_321,
            raw_score: 0.987_654_321,
            confidence: 0.987_654_321,
            display: "positive".to_owned(),
            model: asked.model.unwrap_or_default(),
            version: "1",
            language: "en",
            tokens: Counts {
                used: asked.text.len(),
                total: asked.text.len(),
                unknown: 0,
                truncated: false,
            },
        })
    };
    let router = Router::new().route("/v1/sentiment", post(answer));
    let serving = async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        println!("listening on http://{}", listener.local_addr()?);
        axum::serve(listener, router).await
    };
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serving)?)
}
