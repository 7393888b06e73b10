//! Publishing what an attempt has trained: compared with the version that serves, then put where servers find it.
//!
//! An attempt that comes after one that was killed takes over what that one has put in its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;

use super::attempt::{Attempt, End};
use super::better;
use crate::bundle::{self, Bundle, Draft, Manifest, Version, folder};
use crate::storage::{Storage, StorageError};
use crate::store::{ActiveVersion, Publication};

/// How long a model storage that is away is waited for; then the attempt counts as failed.
const PATIENCE: Duration = Duration::from_secs(600);
/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

impl Attempt {
    /// That the draft is no worse than the active version.
    pub(super) fn compare(&self, draft: &Draft) -> Result<(), End> {
        // One that cannot be read is no reason to keep a good one back.
        let Some(active) = self.active_manifest()? else {
            return Ok(());
        };
        match better::worse(&draft.metrics, &active) {
            Some(reason) => Err(End::hopeless(reason)),
            None => Ok(()),
        }
    }

    fn active_manifest(&self) -> Result<Option<Manifest>, End> {
        let name = &self.lease.job.name;
        let registered = self.wait(self.store.active())?;
        let registered = registered.into_iter().find(|active| active.name == *name);
        let stored = registered
            .as_ref()
            .and_then(|active| active.location.as_deref());
        if let (Some(storage), Some(location)) = (&self.settings.storage, stored) {
            return match self.patiently(|| storage.manifest(location)) {
                Ok(manifest) => Ok(Some(manifest)),
                Err(Stored::Wrong(_)) => Ok(None),
                Err(Stored::Ended(end)) => Err(end),
            };
        }
        let number = |active: ActiveVersion| active.version.to_string().parse().ok();
        let version: Option<Version> = match registered {
            Some(active) => number(active),
            None => folder::active(&self.settings.models, name).unwrap_or(None),
        };
        Ok(version.and_then(|version| Manifest::read(&self.place(version)).ok()))
    }

    /// Puts the draft where servers find it.
    pub(super) fn put(&self, draft: Draft) -> Result<Publication, End> {
        match &self.settings.storage {
            Some(storage) => self.put_in_storage(storage, draft),
            None => self.put_in_folder(draft),
        }
    }

    fn put_in_storage(&self, storage: &Storage, draft: Draft) -> Result<Publication, End> {
        let name = &self.lease.job.name;
        self.pulse.tell_phase(json!({"phase": "storing"}));
        let taken = self
            .patiently(|| storage.highest(name))?
            .max(self.highest()?);
        let number = self.wait(self.store.reserve(&self.lease, taken, None))?;
        let stored = self.patiently(|| storage.stored(name, number))?;
        let before = stored.into_iter().find(|(_, stored)| is_of(stored, &draft));
        let (location, digest) = match before {
            Some((location, manifest)) => (location, manifest.digest),
            None => {
                let version = number.to_string().parse().map_err(End::try_again)?;
                let checkpoints = &self.settings.checkpoints;
                fs::create_dir_all(checkpoints).map_err(End::try_again)?;
                let room = tempfile::tempdir_in(checkpoints).map_err(End::try_again)?;
                let written = bundle::write_version(room.path(), draft, version);
                let dir = written.map_err(End::try_again)?.dir;
                let location = self.patiently(|| storage.store(&dir))?;
                (
                    location,
                    Manifest::read(&dir).map_err(End::try_again)?.digest,
                )
            }
        };
        Ok(Publication {
            version: number,
            digest,
            location: Some(location),
        })
    }

    fn put_in_folder(&self, draft: Draft) -> Result<Publication, End> {
        let models = &self.settings.models;
        fs::create_dir_all(models).map_err(End::try_again)?;
        let mut refused = None;
        loop {
            let number = self.wait(self.store.reserve(&self.lease, self.highest()?, refused))?;
            let version: Version = number.to_string().parse().map_err(End::try_again)?;
            let dir = self.place(version);
            if !dir.exists() {
                bundle::write_version(models, draft.clone(), version).map_err(End::try_again)?;
            } else if !is_whole_and_of(&dir, &draft) {
                refused = Some(number);
                continue;
            }
            let manifest = Manifest::read(&dir).map_err(End::try_again)?;
            return Ok(Publication {
                version: number,
                digest: manifest.digest,
                location: None,
            });
        }
    }

    /// The highest version in the folder of models, 0 where there is none.
    fn highest(&self) -> Result<i64, End> {
        let versions = folder::versions(&self.settings.models, &self.lease.job.name);
        let versions = versions.map_err(End::try_again)?;
        Ok(versions
            .last()
            .map_or(0, |version| i64::from(version.number())))
    }

    fn place(&self, version: Version) -> PathBuf {
        let model = self.settings.models.join(&self.lease.job.name);
        model.join(version.to_string())
    }

    /// Asks the storage until it answers: training again would cost more than to wait.
    fn patiently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Stored>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        let until = Instant::now() + PATIENCE;
        let mut said = false;
        loop {
            match self.handle.block_on(ask()) {
                Ok(done) => return Ok(done),
                Err(error) if !error.may_pass() => return Err(Stored::Wrong(error)),
                Err(_) if !self.pulse.goes_on() => return Err(Stored::Ended(End::Stopped)),
                Err(error) if Instant::now() > until => {
                    return Err(Stored::Ended(End::try_again(error)));
                }
                Err(error) if !said => {
                    said = true;
                    tracing::warn!(job = %self.lease.job.id, %error, "waiting for the model storage");
                }
                Err(_) => {}
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Why the storage has no answer.
enum Stored {
    /// It has one that is wrong.
    Wrong(StorageError),
    /// The attempt is over.
    Ended(End),
}

impl From<Stored> for End {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Wrong(error) => Self::try_again(error),
            Stored::Ended(end) => end,
        }
    }
}

/// Whether a bundle in the place of the reserved version is what an attempt before this one published: it is whole and of
/// the same recipe, seed and reviews.
fn is_whole_and_of(dir: &Path, draft: &Draft) -> bool {
    Bundle::load(dir).is_ok_and(|bundle| is_of(&bundle.manifest, draft))
}

/// From the same recipe, seed and reviews come the same weights.
fn is_of(manifest: &Manifest, draft: &Draft) -> bool {
    manifest.recipe == draft.recipe
        && manifest.seed == draft.seed
        && manifest.training.fingerprint == draft.training.fingerprint
}
