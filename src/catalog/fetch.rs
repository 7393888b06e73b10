//! Versions that are registered and not here yet come from the model storage.

use std::path::Path;

use crate::storage::{Storage, StorageError};
use crate::store::ActiveVersion;

/// Fetches a version that the registry places in the model storage, unless the folder of models has it.
///
/// # Errors
/// The server has no model storage, or it has no such bundle, or a damaged one.
pub async fn fetch(
    storage: Option<&Storage>,
    models: &Path,
    wanted: &ActiveVersion,
) -> Result<(), StorageError> {
    let place = models.join(&wanted.name).join(wanted.version.to_string());
    let Some(location) = &wanted.location else {
        return Ok(());
    };
    // It has been renamed into its place, so that what is there is whole.
    if place.exists() {
        return Ok(());
    }
    let Some(storage) = storage else {
        return Err(StorageError::Url(format!(
            "version {} of model {:?} is in a model storage that this program was not told of",
            wanted.version, wanted.name
        )));
    };
    storage.fetch(location, &wanted.digest, models).await?;
    tracing::info!(
        model = wanted.name,
        version = wanted.version,
        "version fetched from the model storage"
    );
    Ok(())
}
