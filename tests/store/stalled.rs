//! A host that is gone without a word, which only a clock can tell.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentiment::store::{Beat, Store, StoreError};
use sqlx::{AnyConnection, Connection as _, Executor as _};

use crate::{LONG, claim, job, postgres};

/// Only so that a test fails that would wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Passes on what comes until it is told to keep it, on the connections that there are; new ones are passed on again.
struct Cable {
    address: SocketAddr,
    cut: Arc<std::sync::Mutex<Arc<AtomicBool>>>,
}

impl Cable {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(std::sync::Mutex::new(Arc::new(AtomicBool::new(false))));
        let now = Arc::clone(&cut);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(server).unwrap();
                let cut = Arc::clone(&now.lock().unwrap());
                let ways = [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server, client),
                ];
                for (from, to) in ways {
                    let cut = Arc::clone(&cut);
                    std::thread::spawn(move || pass(from, to, &cut));
                }
            }
        });
        Self { address, cut }
    }

    /// Nothing comes through any more but on new connections.
    fn cut(&self) {
        let mut cut = self.cut.lock().unwrap();
        cut.store(true, Ordering::SeqCst);
        *cut = Arc::new(AtomicBool::new(false));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, cut: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        // What comes is taken and goes nowhere.
        if !cut.load(Ordering::SeqCst) && to.write_all(&bytes[..read]).is_err() {
            return;
        }
    }
    if !cut.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn a_host_that_is_gone_without_a_word_is_an_error_and_then_asked_anew() {
    let Some(postgres) = postgres::database() else {
        return;
    };
    let (before, rest) = postgres.url.split_once('@').unwrap();
    let (host, name) = rest.split_once('/').unwrap();
    let cable = Cable::to(host.parse().unwrap());
    let url = format!("{before}@{}/{name}", cable.address);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Store::new(&url).unwrap());
        store.enqueue(&job("shop")).await.unwrap();
        let lease = claim(&store, LONG).await.unwrap();
        let mut other = AnyConnection::connect(&postgres.url).await.unwrap();
        other.execute("begin").await.unwrap();
        let lock = "lock table training_jobs in access exclusive mode";
        other.execute(lock).await.unwrap();
        let beat = {
            let (store, lease) = (Arc::clone(&store), lease.clone());
            tokio::spawn(async move { store.beat(&lease, &Beat::default()).await })
        };
        let waiting = "select pid from pg_locks where not granted";
        while other.fetch_all(waiting).await.unwrap().is_empty() {}
        cable.cut();
        let lost = tokio::time::timeout(PATIENCE, beat).await.unwrap().unwrap();
        assert!(matches!(lost, Err(StoreError::Database(_))), "{lost:?}");
        other.execute("rollback").await.unwrap();
        let heard = async {
            // The connections of before may be tried first.
            while store.beat(&lease, &Beat::default()).await.is_err() {}
        };
        tokio::time::timeout(PATIENCE, heard).await.unwrap();
    });
}
