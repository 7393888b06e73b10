//! The store's suite, the same on SQLite and on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod feedback;
mod leases;
mod migrations;
#[expect(dead_code, reason = "other tests restart the server")]
#[path = "../postgres/mod.rs"]
mod postgres;
mod queue;
mod registry;
mod stalled;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sentiment::store::{Lease, NewJob, Store};
use serde_json::json;
use sqlx::{Connection as _, Executor as _};

/// Runs a test on both databases. Its name says on which it failed.
fn on_both<F: Future<Output = ()>>(test: impl Fn(Database) -> F) {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("folder/sentiment.db");
    let url = format!("sqlite://{}", path.display());
    run("SQLite", &test, Database { url });
    if let Some(postgres) = postgres::database() {
        let url = postgres.url.clone();
        run("PostgreSQL", &test, Database { url });
    }
}

fn run<F: Future<Output = ()>>(name: &str, test: &impl Fn(Database) -> F, database: Database) {
    eprintln!("on {name}");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test(database));
}

/// Where the test's database is.
struct Database {
    url: String,
}

impl Database {
    fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    fn store(&self) -> Arc<Store> {
        Arc::new(Store::new(&self.url).unwrap())
    }

    /// Something that the program itself never does.
    async fn execute(&self, statement: &str) {
        let mut connection = sqlx::AnyConnection::connect(&self.url).await.unwrap();
        let statement = sqlx::AssertSqlSafe(statement.to_owned());
        connection.execute(statement).await.unwrap();
    }
}

fn job(name: &str) -> NewJob {
    NewJob {
        idempotency_key: None,
        request_digest: "d1".into(),
        name: name.into(),
        recipe: json!({"name": name}),
        data: vec!["shop.tsv".into()],
        force: false,
        activate: true,
        max_attempts: 2,
    }
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);
/// Over before anybody asks.
const OVER: Duration = Duration::ZERO;

async fn claim(store: &Store, lease: Duration) -> Option<Lease> {
    store.claim("w1", lease).await.unwrap()
}

/// Claims once a lease of no length has run out: the clock has to move by a millisecond for that.
async fn claim_when_over(store: &Store, lease: Duration) -> Lease {
    for _ in 0..10_000 {
        if let Some(lease) = claim(store, lease).await {
            return lease;
        }
    }
    panic!("nothing to claim");
}
