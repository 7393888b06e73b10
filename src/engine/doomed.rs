//! An engine that dies, and what is seen of it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use super::batcher::Opened;
use super::rows::Rows;
use super::*;

fn naver() -> Arc<Bundle> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/naver/2");
    Arc::new(Bundle::load(&models).unwrap())
}

/// An engine whose only session knows the golden rows, panics on any other, and cannot be opened again.
pub(crate) fn doomed() -> Engine {
    let bundle = naver();
    let golden = Arc::clone(&bundle);
    let opened = AtomicUsize::new(0);
    let open: Open = Arc::new(move || {
        if opened.fetch_add(1, Ordering::Relaxed) > 0 {
            return Err(SessionError::Run("no memory".into()).into());
        }
        let golden = Arc::clone(&golden);
        let run = move |rows: &Rows| {
            let found = rows.lengths.iter().zip(rows.ids.chunks(rows.shape.1));
            let logits = found.map(|(&length, row)| {
                let known = |ids: &[i64]| {
                    let length = length as usize;
                    ids.len() == length && (row.starts_with(ids) || row.ends_with(ids))
                };
                let row = golden.golden.iter().find(|row| known(&row.ids));
                row.expect("a golden row").logit as f32
            });
            Ok(logits.collect())
        };
        Ok(Opened {
            run: Box::new(run),
            provider: "cpu",
            ragged: false,
            step: Duration::from_micros(1),
        })
    });
    let settings = EngineSettings {
        device: Device::Cpu,
        threads: 1,
        max_batch: 4,
        queue: 4,
    };
    Engine::start_with(open, bundle, settings, None).unwrap()
}

#[test]
fn an_engine_whose_session_cannot_be_opened_again_fails_what_comes_and_says_that_it_is_dead() {
    let engine = doomed();
    assert!(engine.alive());
    let golden = engine.bundle().golden[0].text.clone();
    assert!(engine.predict_bulk(&[&golden])[0].is_ok());
    for _ in 0..2 {
        let answers = engine.predict_bulk(&["no golden row at all"]);
        assert_eq!(answers, [Err(ItemError::Failed)]);
    }
    // Its last thread ends after it has answered.
    while engine.alive() {
        std::thread::yield_now();
    }
    assert_eq!(engine.predict_bulk(&[&golden]), [Err(ItemError::Failed)]);
}

#[test]
fn ids_that_wait_take_no_more_room_than_the_model_reads() {
    let engine = doomed();
    let ask = engine.encode(&"배송이 빨라요 ".repeat(2_000)).unwrap();
    assert_eq!(ask.ids.len(), engine.bundle().manifest.maxlen);
    assert!(IDS.with_borrow(Vec::capacity) <= 2 * KEPT);
}
