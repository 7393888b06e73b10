//! The manifest alone, for lists and summaries: what a bundle says of itself, without reading the rest of it.

use std::fs;
use std::path::Path;

use super::{BundleError, MANIFEST, Manifest};

impl Manifest {
    /// Reads the manifest of a bundle's folder.
    ///
    /// # Errors
    /// There is none, or it is not one that this program can use.
    pub fn read(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST);
        let text = fs::read_to_string(&path).map_err(BundleError::io(&path))?;
        Self::parse(&text).map_err(|reason| BundleError::refused(&path, reason))
    }
}
