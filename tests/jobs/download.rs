//! Data by URL: from listed places alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use sentiment::bundle::Bundle;
use sentiment::store::JobState;

use crate::Shop;

/// A server with reviews, a secret beside them, and ways to it; it ends with the test's threads.
struct Site {
    address: SocketAddr,
    told: Arc<AtomicUsize>,
}

impl Site {
    fn start(shop: &Shop) -> Self {
        let reviews = std::fs::read_to_string(shop.room.path("data/shop.tsv")).unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let secret = move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            "5\tsecret\n"
        };
        let router = Router::new()
            .route("/reviews/shop.tsv", get(|| async { reviews }))
            .route(
                "/reviews/hop",
                get(async || Redirect::to("/reviews/shop.tsv")),
            )
            .route("/reviews/out", get(async || Redirect::to("/secret.tsv")))
            .route("/reviews/loop", get(async || Redirect::to("/reviews/loop")))
            .route("/reviews/slow.tsv", get(std::future::pending::<String>))
            .route(
                "/reviews/busy.tsv",
                get(async || StatusCode::TOO_MANY_REQUESTS),
            )
            .route("/reviews/bad.tsv", get(async || "5\tgood\nfive\tbad\n"))
            .route("/reviews/long.tsv.gz", get(async || long()))
            .route("/secret.tsv", get(secret));
        let listener = shop
            .threads
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        shop.threads
            .spawn(async move { axum::serve(listener, router).await });
        Self { address, told }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

#[test]
fn a_job_learns_from_a_url_below_a_listed_prefix() {
    let shop = Shop::new("epochs = 2");
    let site = Site::start(&shop);
    let allow = site.url("/reviews/");
    for (version, data) in [
        ("1", site.url("/reviews/shop.tsv")),
        ("2", site.url("/reviews/shop.tsv?x=1")),
        ("3", site.url("/reviews/hop")),
    ] {
        let id = shop.ask(|job| job.data = vec![format!("shop={data}")]);
        shop.work(&["--data-allow", &allow]);
        let job = shop.job(&id);
        assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
        let bundle = Bundle::load(&shop.room.path(&format!("models/shop/{version}"))).unwrap();
        assert_eq!(bundle.manifest.training.sources[0].rows, 360);
    }
}

/// Two hundred kilobytes in a few hundred.
fn long() -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut packed, &"5\tgood box\n".repeat(20_000).into_bytes()).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let shop = Shop::new("epochs = 1");
    let site = Site::start(&shop);
    let id = shop.ask(|job| job.data = vec![site.url("/reviews/busy.tsv")]);
    shop.work(&["--data-allow", &site.url("/reviews/")]);
    let job = shop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 1), "{job:?}");
}

#[test]
fn a_worker_that_is_told_to_end_waits_for_no_download() {
    let shop = Shop::new("epochs = 1");
    let site = Site::start(&shop);
    let id = shop.ask(|job| job.data = vec![site.url("/reviews/slow.tsv")]);
    let mut worker = shop.start(&[
        "--data-allow",
        &site.url("/reviews/"),
        "--data-timeout",
        "1h",
    ]);
    worker.says("claimed");
    worker.signal("TERM");
    worker.says("training job stopped");
    assert!(worker.child.wait().unwrap().success());
    let job = shop.job(&id);
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0), "{job:?}");

    let worker = shop.start(&[
        "--data-allow",
        &site.url("/reviews/"),
        "--data-timeout",
        "1h",
    ]);
    worker.says("claimed");
    shop.threads.block_on(shop.store.cancel(&id)).unwrap();
    worker.says("training job stopped");
    assert_eq!(shop.job(&id).state, JobState::Cancelled);
    assert!(shop.leftovers().is_empty(), "{:?}", shop.leftovers());
}

#[test]
fn nothing_else_is_asked_for() {
    let shop = Shop::new("epochs = 1");
    let site = Site::start(&shop);
    let allow = site.url("/reviews/");
    let other = site.url("/reviews/").replace("127.0.0.1", "localhost");
    // Where the file lay for the moment says nothing to whoever asked.
    let bad = format!("{}, row 2", site.url("/reviews/bad.tsv"));
    for (path, flags, part) in [
        ("/reviews/shop.tsv", &[][..], "--data-allow"),
        (
            "/reviews/shop.tsv",
            &["--data-allow", &other],
            "--data-allow",
        ),
        ("/secret.tsv", &["--data-allow", &allow], "--data-allow"),
        (
            "/reviews/../secret.tsv",
            &["--data-allow", &allow],
            "\"..\"",
        ),
        (
            "/reviews/%2e%2e/secret.tsv",
            &["--data-allow", &allow],
            "--data-allow",
        ),
        ("/reviews/out", &["--data-allow", &allow], "redirected"),
        ("/reviews/loop", &["--data-allow", &allow], "too often"),
        ("/reviews/none.tsv", &["--data-allow", &allow], "404"),
        ("/reviews/busy.tsv", &["--data-allow", &allow], "429"),
        ("/reviews/bad.tsv", &["--data-allow", &allow], &bad),
        (
            "/reviews/long.tsv.gz",
            &["--data-allow", &allow, "--data-max-bytes", "100000"],
            "unpacked",
        ),
        (
            "/reviews/shop.tsv",
            &["--data-allow", &allow, "--data-max-bytes", "100"],
            "100 bytes",
        ),
        (
            "/reviews/slow.tsv",
            &["--data-allow", &allow, "--data-timeout", "200ms"],
            "time",
        ),
    ] {
        let id = shop.ask(|job| {
            job.data = vec![site.url(path)];
            job.max_attempts = 1;
        });
        shop.work(flags);
        let job = shop.job(&id);
        assert_eq!(job.state, JobState::Failed, "{path}");
        let error = job.error.unwrap();
        assert!(error.contains(part), "{part:?} in {error}");
    }
    assert_eq!(site.told.load(Ordering::SeqCst), 0, "the secret was told");
}
