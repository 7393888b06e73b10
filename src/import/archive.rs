//! `.keras`: a zip archive with the model's description and its weights.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

/// The most that a member may hold once it is unpacked.
const MOST_BYTES: u64 = 8 << 30;

/// An open archive.
pub(super) struct Archive(ZipArchive<Cursor<Vec<u8>>>);

impl Archive {
    /// Opens an archive that is in memory.
    ///
    /// # Errors
    /// It is no zip archive.
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        ZipArchive::new(Cursor::new(bytes))
            .map(Self)
            .map_err(|error| format!("not a .keras archive: {error}"))
    }

    /// A member's contents.
    ///
    /// # Errors
    /// There is none of this name, or it is damaged or too large.
    pub fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let cannot = |error: &dyn std::fmt::Display| format!("{name} in the archive: {error}");
        let file = self.0.by_name(name).map_err(|error| cannot(&error))?;
        let mut bytes = Vec::new();
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|error| cannot(&error))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(cannot(&"too large"));
        }
        Ok(bytes)
    }
}
