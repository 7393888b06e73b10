//! Data by URL: from listed places alone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
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
    ] {
        let id = shop.ask(|job| job.data = vec![format!("shop={data}")]);
        shop.work(&["--data-allow", &allow]);
        let job = shop.job(&id);
        assert_eq!(job.state, JobState::Succeeded, "{:?}", job.error);
        let bundle = Bundle::load(&shop.room.path(&format!("models/shop/{version}"))).unwrap();
        assert_eq!(bundle.manifest.training.sources[0].rows, 360);
    }
}

#[test]
fn nothing_else_is_asked_for() {
    let shop = Shop::new("epochs = 1");
    let site = Site::start(&shop);
    let allow = site.url("/reviews/");
    let other = site.url("/reviews/").replace("127.0.0.1", "localhost");
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
