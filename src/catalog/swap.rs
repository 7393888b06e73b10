//! Another version of a model in the place of the one that serves.
//!
//! It is loaded, warmed and checked beside the old one, which serves until the very moment of the change and is freed when
//! the last request that it had taken is answered. A version that is refused changes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use super::serving::{Serving, claims};
use super::{Catalog, Refusal, Slot, start};
use crate::bundle::{BundleError, Version, folder};
use crate::engine::Engine;

/// Why a version does not come to serve.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// There is no such version here, or it cannot be named the one that serves.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It is not good.
    #[error("version {version} of model {name:?} cannot serve: {reason}")]
    Refused {
        /// The model.
        name: String,
        /// The version.
        version: Version,
        /// Why not.
        reason: String,
    },
}

/// A version that could serve: loaded, warmed, and its golden rows answered.
#[derive(Debug)]
pub struct Candidate {
    engine: Arc<Engine>,
}

impl Candidate {
    /// The digest of its manifest.
    pub fn digest(&self) -> &str {
        &self.engine.bundle().manifest.digest
    }

    /// Where its bundle lies.
    pub fn folder(&self) -> &Path {
        &self.engine.bundle().dir
    }
}

impl Catalog {
    /// Loads a version beside the one that serves. Takes its time: for threads that may wait.
    ///
    /// # Errors
    /// It is not there, or not good.
    pub fn prepare(&self, name: &str, version: Version) -> Result<Candidate, SwapError> {
        let started = Instant::now();
        let known = folder::versions(self.models(), name)?;
        if !known.contains(&version) {
            let name = name.to_owned();
            return Err(BundleError::UnknownVersion { name, version }.into());
        }
        let dir = self.models().join(name).join(version.to_string());
        let engine = start(&self.runtime, &self.settings, &self.metrics, (name, &dir));
        let engine = engine.map_err(|refusal| SwapError::Refused {
            name: name.to_owned(),
            version,
            reason: match refusal {
                Refusal::Device(error) => error.to_string(),
                Refusal::Model(reason) => reason,
            },
        })?;
        tracing::info!(
            model = name,
            %version,
            milliseconds = started.elapsed().as_millis() as u64,
            "version loaded beside the one that serves"
        );
        Ok(Candidate {
            engine: Arc::new(engine),
        })
    }

    /// Lets it serve, and writes down that it does, so that the server starts with it even where the database is away.
    ///
    /// # Errors
    /// It claims a language of another model.
    pub fn swap(&self, candidate: Candidate) -> Result<(), SwapError> {
        let engine = candidate.engine;
        let manifest = &engine.bundle().manifest;
        let (name, version) = (manifest.name.clone(), manifest.version);
        let _turn = self.swapping.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.serving();
        if serves(&old, &name, &manifest.digest) {
            return Ok(());
        }
        let mut slots = old.slots.clone();
        let replaced = slots.insert(name.clone(), Slot::Ready(Arc::clone(&engine)));
        let by_language = match claims(&slots) {
            Ok(by_language) => by_language,
            Err(error) => {
                self.retire(&engine);
                return Err(SwapError::Refused {
                    name,
                    version,
                    reason: error.to_string(),
                });
            }
        };
        let default_model = match &self.settings.default_model {
            Some(chosen) => Some(chosen.clone()),
            None => slots.keys().next().cloned(),
        };
        let new = Arc::new(Serving {
            slots,
            by_language,
            default_model,
        });
        self.metrics.serves(engine.info());
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        *serving = new;
        drop(serving);
        if let Some(Slot::Ready(replaced)) = replaced {
            self.retire(&replaced);
        }
        self.accept(&name);
        tracing::info!(model = name, %version, "version serves");
        if let Err(error) = folder::activate(self.models(), &name, version) {
            tracing::warn!(%error, "the version that serves could not be written down");
        }
        Ok(())
    }

    /// Forgets one that shall not serve after all.
    pub fn discard(&self, candidate: &Candidate) {
        if !self.serves(&candidate.engine.bundle().manifest.name, candidate.digest()) {
            self.retire(&candidate.engine);
        }
    }

    /// Whether this very bundle serves.
    pub fn serves(&self, name: &str, digest: &str) -> bool {
        serves(&self.serving(), name, digest)
    }

    /// Why newer versions do not serve, one line for each model.
    pub fn refused(&self) -> Vec<String> {
        self.refusals().values().cloned().collect()
    }

    pub(super) fn refuse(&self, name: &str, reason: String) {
        self.metrics
            .activation_failures
            .with_label_values(&[name])
            .inc();
        self.refusals().insert(name.to_owned(), reason);
    }

    pub(super) fn accept(&self, name: &str) {
        self.refusals().remove(name);
    }

    fn refusals(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn retire(&self, engine: &Engine) {
        let slot = self.slot(&engine.bundle().manifest.name);
        let serving = match &slot {
            Some(Slot::Ready(serving)) => Some(serving.info()),
            Some(Slot::Failed(_)) | None => None,
        };
        self.metrics.retire(engine.info(), serving);
    }
}

fn serves(serving: &Serving, name: &str, digest: &str) -> bool {
    match serving.slots.get(name) {
        Some(Slot::Ready(engine)) => engine.alive() && engine.bundle().manifest.digest == digest,
        Some(Slot::Failed(_)) | None => false,
    }
}
