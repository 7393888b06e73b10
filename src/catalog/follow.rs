//! Following the registry: what is active in the database comes to serve here.
//!
//! A version that is refused is told of in readiness, log and metrics, and tried again ever more seldom; the one before it
//! serves on. With the database away nothing changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Catalog, SwapError, fetch};
use crate::bundle::Version;
use crate::storage::Storage;
use crate::store::{ActiveVersion, Store, Watch};

/// Before a refused version is tried again, at first and at most.
const PATIENCE: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(600)];
/// At most before a storage that is away is asked again; at first it is the follower's usual pause.
const AWAY: Duration = Duration::from_secs(30);

/// What was refused, and when it is tried again.
struct Refusal {
    digest: String,
    wait: Duration,
    since: Instant,
}

/// One catalog's.
pub struct Follower {
    catalog: Arc<Catalog>,
    store: Arc<Store>,
    storage: Option<Arc<Storage>>,
    poll: Duration,
    refusals: BTreeMap<String, Refusal>,
}

impl Follower {
    /// Looks every `poll`, and on PostgreSQL at once.
    pub fn new(
        catalog: Arc<Catalog>,
        store: Arc<Store>,
        storage: Option<Arc<Storage>>,
        poll: Duration,
    ) -> Self {
        catalog.metrics.model_store_up.set(storage.is_some().into());
        Self {
            catalog,
            store,
            storage,
            poll,
            refusals: BTreeMap::new(),
        }
    }

    /// Follows until it is told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut watch = Watch::default();
        let store = Arc::clone(&self.store);
        while !*stop.borrow() {
            // What is wrong with the database others say.
            for wanted in store.active().await.unwrap_or_default() {
                self.follow(wanted).await;
            }
            tokio::select! {
                () = watch.changed(&store, self.poll) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// Fetches, loads and swaps.
    async fn change(&self, wanted: &ActiveVersion) -> Result<(), Refused> {
        let storage = self.storage.as_deref();
        let fetched = fetch(storage, self.catalog.models(), wanted).await;
        if let Some(storage) = storage {
            let up = storage.is_up().into();
            self.catalog.metrics.model_store_up.set(up);
        }
        fetched.map_err(|error| Refused {
            reason: format!(
                "version {} of model {:?} is not here: {error}",
                wanted.version, wanted.name
            ),
            may_pass: error.may_pass(),
        })?;
        let (catalog, asked) = (Arc::clone(&self.catalog), wanted.clone());
        let changed = tokio::task::spawn_blocking(move || change(&catalog, &asked)).await;
        let reason = match changed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        Err(Refused {
            reason,
            may_pass: false,
        })
    }

    async fn follow(&mut self, wanted: ActiveVersion) {
        if self.catalog.serves(&wanted.name, &wanted.digest) {
            self.catalog.accept(&wanted.name);
            self.refusals.remove(&wanted.name);
            return;
        }
        let before = self.refusals.get(&wanted.name);
        let before = before.filter(|before| before.digest == wanted.digest);
        if before.is_some_and(|before| before.since.elapsed() < before.wait) {
            return;
        }
        let Err(Refused { reason, may_pass }) = self.change(&wanted).await else {
            self.refusals.remove(&wanted.name);
            return;
        };
        let [first, most] = match may_pass {
            true => [self.poll.min(AWAY), AWAY],
            false => PATIENCE,
        };
        let wait = before.map_or(first, |before| (before.wait * 2).min(most));
        tracing::error!(
            model = wanted.name,
            version = wanted.version,
            reason,
            "the version before it serves on"
        );
        self.catalog.refuse(&wanted.name, reason);
        self.refusals.insert(
            wanted.name,
            Refusal {
                digest: wanted.digest,
                wait,
                since: Instant::now(),
            },
        );
    }
}

/// Why a version does not come to serve.
struct Refused {
    reason: String,
    may_pass: bool,
}

fn change(catalog: &Catalog, wanted: &ActiveVersion) -> Result<(), SwapError> {
    let refused = |version: Version, reason: String| SwapError::Refused {
        name: wanted.name.clone(),
        version,
        reason,
    };
    let parsed = wanted.version.to_string().parse();
    let version: Version = parsed.unwrap_or_else(|_| Version::next([]));
    let candidate = catalog.prepare(&wanted.name, version)?;
    if candidate.digest() != wanted.digest {
        catalog.discard(&candidate);
        let reason = "it is another bundle than the registry says".to_owned();
        return Err(refused(version, reason));
    }
    catalog.swap(candidate)
}
