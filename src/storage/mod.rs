//! Model storage: bundles in S3, Google Cloud Storage, Azure or a shared folder, from which servers on many machines take
//! the versions that the registry names.
//!
//! A bundle lies at `NAME/VERSION/DIGEST/` and its manifest is written last: what has a manifest is whole, and what an
//! interrupted upload has left behind has none. The digest is part of the place, so that nothing is ever written over with
//! other bytes and to store a bundle twice changes nothing. What is fetched is verified against its digests before
//! anybody sees it.

mod error;
mod open;

use std::path::Path as FilePath;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use crate::bundle::{CURVES, FILES, MANIFEST, Manifest, Parcel};

pub use error::StorageError;

/// Time for one object on its way.
const PATIENCE: Duration = Duration::from_secs(120);
/// Larger objects are no model of ours.
const MOST_BYTES: u64 = 2 << 30;

/// One place for bundles.
#[derive(Debug)]
pub struct Storage {
    objects: Arc<dyn ObjectStore>,
    root: Path,
    /// Whether it answered when it was last asked.
    up: AtomicBool,
}

impl Storage {
    /// Whether it answered when it was last asked; it is taken to, before that.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Stores a bundle that lies in a folder, and says where: below the storage's own URL. One that is there already stays.
    ///
    /// # Errors
    /// The bundle is not whole, or the storage fails.
    pub async fn store(&self, dir: &FilePath) -> Result<String, StorageError> {
        let dir = dir.to_owned();
        let parcel = on_disk(move || Ok(Parcel::of_folder(&dir)?)).await?;
        let manifest = &parcel.manifest;
        let location = format!("{}/{}/{}", manifest.name, manifest.version, manifest.digest);
        let place = self.place(&location)?;
        if self.has(&place.clone().join(MANIFEST)).await? {
            return Ok(location);
        }
        for (name, bytes) in parcel.files {
            self.put(&place.clone().join(name), bytes).await?;
        }
        self.put(&place.join(MANIFEST), parcel.text).await?;
        Ok(location)
    }

    /// Brings a bundle into its place in a folder of models.
    ///
    /// # Errors
    /// It is not there or not whole, is another than the digest says, or the storage or the folder fails.
    pub async fn fetch(
        &self,
        location: &str,
        digest: &str,
        models: &FilePath,
    ) -> Result<(), StorageError> {
        let mut parcel = self.parcel(location).await?;
        if parcel.manifest.digest != digest {
            let reason = "it is another bundle than the registry says".to_owned();
            let path = location.to_owned();
            return Err(StorageError::Damaged { path, reason });
        }
        let place = self.place(location)?;
        for name in FILES {
            let path = place.clone().join(name);
            let bytes = self.get(&path).await?;
            let added = parcel.add(name, bytes);
            added.map_err(|reason| damaged(&path, reason))?;
        }
        let models = models.to_owned();
        on_disk(move || Ok(parcel.unpack(&models)?)).await
    }

    /// What a stored bundle says of itself.
    ///
    /// # Errors
    /// It is not there or damaged, or the storage fails.
    pub async fn manifest(&self, location: &str) -> Result<Manifest, StorageError> {
        Ok(self.parcel(location).await?.manifest)
    }

    /// The picture of a stored bundle's training.
    ///
    /// # Errors
    /// It is not there, or the storage fails.
    pub async fn curves(&self, location: &str) -> Result<Vec<u8>, StorageError> {
        self.get(&self.place(location)?.join(CURVES)).await
    }

    /// The bundles that are stored whole under a version, with where they lie: more than one where a job has begun anew.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn stored(
        &self,
        name: &str,
        version: i64,
    ) -> Result<Vec<(String, Manifest)>, StorageError> {
        let version = format!("{name}/{version}");
        let place = self.place(&version)?;
        let listed = self
            .timed(self.objects.list_with_delimiter(Some(&place)))
            .await?;
        let mut found = Vec::new();
        for place in listed.common_prefixes {
            let digest = place.filename().unwrap_or_default();
            let location = format!("{version}/{digest}");
            match self.manifest(&location).await {
                Ok(manifest) => found.push((location, manifest)),
                Err(StorageError::Missing(_) | StorageError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// The highest version of a model of which anything is stored; 0 where nothing is.
    ///
    /// # Errors
    /// The storage fails.
    pub async fn highest(&self, name: &str) -> Result<i64, StorageError> {
        let place = self.place(name)?;
        let listed = self
            .timed(self.objects.list_with_delimiter(Some(&place)))
            .await?;
        let numbers = listed.common_prefixes.iter();
        let numbers = numbers.filter_map(|place| place.filename()?.parse().ok());
        Ok(numbers.max().unwrap_or(0))
    }

    async fn parcel(&self, location: &str) -> Result<Parcel, StorageError> {
        let path = self.place(location)?.join(MANIFEST);
        let text = self.get(&path).await?;
        Parcel::of_manifest(text).map_err(|reason| damaged(&path, reason))
    }

    /// A location comes from the registry and leads nowhere but below the storage's own URL.
    fn place(&self, location: &str) -> Result<Path, StorageError> {
        let parsed = Path::parse(location).map_err(|error| damaged_location(location, &error))?;
        let parts = parsed.parts();
        Ok(parts.fold(self.root.clone(), |path, part| path.join(part)))
    }

    async fn has(&self, path: &Path) -> Result<bool, StorageError> {
        match self.timed(self.objects.head(path)).await {
            Ok(_) => Ok(true),
            Err(StorageError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), StorageError> {
        self.timed(self.objects.put(path, bytes.into())).await?;
        Ok(())
    }

    async fn get(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        let fetched = self
            .timed(async {
                let found = self.objects.get(path).await?;
                if found.meta.size > MOST_BYTES {
                    return Ok(None);
                }
                let mut bytes = Vec::new();
                let mut chunks = found.into_stream();
                while let Some(chunk) = chunks.try_next().await? {
                    bytes.extend_from_slice(&chunk);
                }
                Ok(Some(bytes))
            })
            .await?;
        fetched.ok_or_else(|| damaged(path, format!("it has more than {MOST_BYTES} bytes")))
    }

    async fn timed<T>(
        &self,
        work: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, StorageError> {
        let done = match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(object_store::Error::NotFound { path, .. })) => Err(StorageError::Missing(path)),
            Ok(Err(error)) => Err(StorageError::Away(error.to_string())),
            Err(_) => Err(StorageError::Away(format!("no answer in {PATIENCE:?}"))),
        };
        let away = matches!(done, Err(StorageError::Away(_)));
        self.up.store(!away, Ordering::Relaxed);
        done
    }
}

fn damaged(path: &Path, reason: String) -> StorageError {
    let path = path.to_string();
    StorageError::Damaged { path, reason }
}

fn damaged_location(location: &str, error: &object_store::path::Error) -> StorageError {
    let (path, reason) = (location.to_owned(), error.to_string());
    StorageError::Damaged { path, reason }
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(StorageError::Away(panic.to_string())))
}
