//! Publishing what an attempt has trained: compared with the version that serves, then put where servers find it.
//!
//! An attempt that comes after one that was killed takes over what that one has put in its place.

use std::fs;
use std::future::ready;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::attempt::Attempt;
use super::better;
use super::end::End;
use super::patience::Unanswered;
use crate::bundle::{
    self, Bundle, BundleError, Draft, Manifest, Metrics, Version, Written, folder,
};
use crate::storage::{Storage, StorageError};
use crate::store::{JobState, Publication, StoreError};

impl Attempt {
    /// Compares, puts and registers it; the version that it has become.
    pub(super) fn publish_draft(&self, draft: Draft, scraps: &Path) -> Result<i64, End> {
        let metrics = draft.metrics.clone();
        let compared = self.compare(&metrics)?;
        let mut made = Publication {
            compared,
            ..self.put(draft, scraps)?
        };
        while !self.finish(&made)? {
            tracing::info!(job = %self.lease.job.id, "another version has come to serve meanwhile");
            made.compared = self
                .compare(&metrics)
                .inspect_err(|_| self.withdraw(&made))?;
        }
        Ok(made.version)
    }

    /// That these are no worse than the active version's: the version that they were compared with, 0 for none, if they
    /// were to be compared.
    fn compare(&self, metrics: &Metrics) -> Result<Option<i64>, End> {
        if self.lease.job.force {
            return Ok(None);
        }
        let (version, active) = self.active_manifest()?;
        // One that cannot be read is no reason to keep a good one back.
        match active.and_then(|active| better::worse(metrics, &active)) {
            Some(reason) => Err(End::hopeless(reason)),
            None => Ok(Some(version)),
        }
    }

    /// The version that the registry lets serve, 0 for none, and the manifest of what serves.
    fn active_manifest(&self) -> Result<(i64, Option<Manifest>), End> {
        let name = &self.lease.job.name;
        let registered = self.wait(|| self.store.active())?;
        let registered = registered.into_iter().find(|active| active.name == *name);
        let number = registered.as_ref().map_or(0, |active| active.version);
        let stored = registered
            .as_ref()
            .and_then(|active| active.location.as_deref());
        if let (Some(storage), Some(location)) = (&self.settings.storage, stored) {
            return match self.ask(|| storage.manifest(location)) {
                Ok(manifest) => Ok((number, Some(manifest))),
                Err(Unanswered::Wrong(_)) => Ok((number, None)),
                Err(Unanswered::Ended(end)) => Err(end),
            };
        }
        let version: Option<Version> = match registered {
            Some(_) => number.to_string().parse().ok(),
            None => folder::active(&self.settings.models, name).unwrap_or(None),
        };
        let manifest = version.and_then(|version| Manifest::read(&self.place(version)).ok());
        Ok((number, manifest))
    }

    /// Registers it and ends the job; not if another version serves than the one that it was compared with.
    fn finish(&self, made: &Publication) -> Result<bool, End> {
        let finished = self.patiently(
            || self.store.finish(&self.lease, made),
            StoreError::may_pass,
        );
        match finished {
            Ok(()) => Ok(true),
            Err(Unanswered::Wrong(StoreError::Outdated { .. })) => Ok(false),
            // The database may have done it and gone away before it could say so.
            Err(Unanswered::Wrong(StoreError::LeaseLost(_))) => {
                let job = self.wait(|| self.store.job(&self.lease.job.id))?;
                let is_done = job.is_some_and(|job| {
                    job.state == JobState::Succeeded
                        && job.version == Some(made.version.to_string())
                });
                match is_done {
                    true => Ok(true),
                    false => Err(End::Lost),
                }
            }
            Err(Unanswered::Wrong(error)) => Err(End::try_again(error)),
            Err(Unanswered::Ended(end)) => Err(end),
        }
    }

    /// Takes a bundle that is not registered out of the folder of models. In a storage it is passed over.
    fn withdraw(&self, made: &Publication) {
        if let (None, Ok(version)) = (&made.location, made.version.to_string().parse()) {
            let dir = self.place(version);
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::warn!(folder = %dir.display(), %error, "an unregistered version is left behind");
            }
        }
    }

    /// Puts the draft where servers find it.
    fn put(&self, draft: Draft, scraps: &Path) -> Result<Publication, End> {
        match &self.settings.storage {
            Some(storage) => self.put_in_storage(storage, draft, scraps),
            None => self.put_in_folder(draft),
        }
    }

    fn put_in_storage(
        &self,
        storage: &Storage,
        draft: Draft,
        scraps: &Path,
    ) -> Result<Publication, End> {
        let name = &self.lease.job.name;
        self.pulse.tell_phase(json!({"phase": "storing"}));
        let taken = self.ask(|| storage.highest(name))?.max(self.highest()?);
        let number = self.wait(|| self.store.reserve(&self.lease, taken, None))?;
        let stored = self.ask(|| storage.stored(name, number))?;
        let before = stored.into_iter().find(|(_, stored)| is_of(stored, &draft));
        let (location, digest) = match before {
            Some((location, manifest)) => (location, manifest.digest),
            None => {
                let version = number.to_string().parse().map_err(End::try_again)?;
                let written = self.write(scraps, &draft, version);
                let dir = written.map_err(Unanswered::or_try_again)?.dir;
                let location = self.ask(|| storage.store(&dir))?;
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
            compared: None,
        })
    }

    fn put_in_folder(&self, draft: Draft) -> Result<Publication, End> {
        let models = &self.settings.models;
        fs::create_dir_all(models).map_err(End::try_again)?;
        let mut refused = None;
        loop {
            let taken = self.highest()?;
            let number = self.wait(|| self.store.reserve(&self.lease, taken, refused))?;
            let version: Version = number.to_string().parse().map_err(End::try_again)?;
            let dir = self.place(version);
            if !dir.exists() {
                match self.write(models, &draft, version) {
                    // Another attempt at the job was a moment earlier.
                    Err(Unanswered::Wrong(_)) if dir.exists() => continue,
                    written => written.map_err(Unanswered::or_try_again)?,
                };
            } else if !is_whole_and_of(&dir, &draft) {
                refused = Some(number);
                continue;
            }
            let manifest = Manifest::read(&dir).map_err(End::try_again)?;
            return Ok(Publication {
                version: number,
                digest: manifest.digest,
                location: None,
                compared: None,
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

    /// Writes it, once there is room.
    fn write(
        &self,
        models: &Path,
        draft: &Draft,
        version: Version,
    ) -> Result<Written, Unanswered<BundleError>> {
        self.patiently(
            || ready(bundle::write_version(models, draft.clone(), version)),
            no_room,
        )
    }

    /// What the model storage says, once it says something.
    fn ask<T, F>(&self, ask: impl Fn() -> F) -> Result<T, Unanswered<StorageError>>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        self.patiently(ask, StorageError::may_pass)
    }
}

impl From<Unanswered<StorageError>> for End {
    fn from(unanswered: Unanswered<StorageError>) -> Self {
        unanswered.or_try_again()
    }
}

/// Whether somebody has to make room, or a disk to come back.
fn no_room(error: &BundleError) -> bool {
    let BundleError::Io { source, .. } = error else {
        return false;
    };
    matches!(
        source.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::StaleNetworkFileHandle
    )
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
