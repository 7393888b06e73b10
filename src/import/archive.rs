//! `.keras`: a zip archive with the model's description and its weights.

use std::io::{Cursor, Read as _};

use zip::ZipArchive;

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

    /// A member's contents, of `most` bytes at most.
    ///
    /// # Errors
    /// There is none of this name, or it is damaged or larger.
    pub fn read(&mut self, name: &str, most: u64) -> Result<Vec<u8>, String> {
        let cannot = |error: &dyn std::fmt::Display| format!("{name} in the archive: {error}");
        let file = self.0.by_name(name).map_err(|error| cannot(&error))?;
        let mut bytes = Vec::new();
        // What an archive says of a member's size need not be so.
        let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| cannot(&error))?;
        if bytes.len() as u64 > most {
            return Err(cannot(&format!(
                "it unpacks to more than the {} MB that are taken",
                most >> 20
            )));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    #[test]
    fn a_member_that_unpacks_to_more_than_is_taken_is_left() {
        let mut written = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default();
        written.start_file("zeros", options).unwrap();
        written.write_all(&vec![0; 3 << 20]).unwrap();
        let bytes = written.finish().unwrap().into_inner();
        assert!(bytes.len() < 64 << 10);
        let mut archive = Archive::open(bytes).unwrap();
        assert_eq!(archive.read("zeros", 3 << 20).unwrap().len(), 3 << 20);
        let refused = archive.read("zeros", (3 << 20) - 1).unwrap_err();
        assert!(refused.contains("zeros in the archive: it unpacks to more than the 2 MB"));
        assert!(archive.read("other", 1).unwrap_err().contains("other"));
    }
}
