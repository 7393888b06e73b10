//! Sessions that are good: opened, warmed, and asked for every golden row.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::EngineError;
use super::batcher::{Open, Opened};
use super::rows::{Layout, Rows};
use super::session::{Runtime, Session, SessionOptions, Weights};
use crate::bundle::{Bundle, GoldenRow};
use crate::config::Device;
use crate::sentiment::sigmoid;
use crate::text::Moment;

/// Opens sessions of a bundle's graph, and asks each of them for the golden rows.
pub(super) fn opener(runtime: &Runtime, bundle: &Arc<Bundle>, device: Device) -> Open {
    let (runtime, bundle) = (runtime.clone(), Arc::clone(bundle));
    let layout = Layout::of(&bundle.manifest);
    let weights = match device {
        Device::Cpu => Weights::of(&bundle.onnx),
        Device::Cuda | Device::Auto => Weights::default(),
    };
    Arc::new(move || {
        let options = SessionOptions {
            device,
            standard: false,
        };
        let mut session = Session::open_with(&runtime, &bundle.onnx, options, &weights)?;
        let (provider, ragged) = (session.provider(), session.ragged());
        let run = move |rows: &Rows| session.run(&rows.ids, rows.shape, &rows.lengths);
        let mut opened = Opened {
            run: Box::new(run),
            provider,
            ragged,
            step: Duration::MAX,
        };
        opened.step = check_golden_scores(&bundle, &layout, &mut opened)?;
        Ok(opened)
    })
}

/// Sessions, opened side by side, so that a server with many threads is ready as soon as one with few.
pub(super) fn open_sessions(open: &Open, threads: usize) -> Result<Vec<Opened>, EngineError> {
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..threads.max(1))
            .map(|_| std::thread::Builder::new().spawn_scoped(scope, || open()))
            .collect();
        opening
            .into_iter()
            .map(|session| session?.join().unwrap_or(Err(EngineError::Panicked)))
            .collect()
    })
}

/// Whether the encoder gives the ids of the golden rows.
pub(super) fn check_golden_ids(bundle: &Bundle) -> Result<(), EngineError> {
    let mut ids = Vec::new();
    for (at, row) in bundle.golden.iter().enumerate() {
        bundle.encoder.encode(&row.text, Moment::Serve, &mut ids);
        if ids != row.ids {
            return Err(EngineError::GoldenIds { row: at + 1 });
        }
    }
    Ok(())
}

/// Scores within 1e-4 on a CPU and 1e-3 on a GPU, each row alone and all of them in batches, which warms the session too, and
/// shows how long a step takes at best.
fn check_golden_scores(
    bundle: &Bundle,
    layout: &Layout,
    opened: &mut Opened,
) -> Result<Duration, EngineError> {
    let tolerance = if opened.provider == "cuda" {
        1e-3
    } else {
        1e-4
    };
    let mut rows = Rows::default();
    let mut step = Duration::MAX;
    for batch in [1, 16] {
        for (chunk, golden) in bundle.golden.chunks(batch).enumerate() {
            layout.fill(golden.iter().map(|row| row.ids.as_slice()), &mut rows);
            let started = Instant::now();
            let logits = (opened.run)(&rows)?;
            if let (1, time) = rows.shape {
                let steps = u32::try_from(time).unwrap_or(u32::MAX);
                step = step.min(started.elapsed() / steps);
            }
            for (at, (GoldenRow { logit, .. }, answer)) in golden.iter().zip(logits).enumerate() {
                let (found, expected) = (sigmoid(f64::from(answer)), sigmoid(*logit));
                // Written so that a NaN is refused too.
                let near = (found - expected).abs() <= tolerance;
                if !near {
                    let row = chunk * batch + at + 1;
                    return Err(EngineError::GoldenScore {
                        row,
                        found,
                        expected,
                    });
                }
            }
        }
    }
    Ok(step)
}
