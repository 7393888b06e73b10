//! What a path holds, told by its name: lines, a table, objects or a folder.

use std::path::Path;

use super::DataError;

/// How rows lie in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A text a line, without labels.
    Lines,
    /// Fields between tabs, never quoted; lines that start with `#` are comments.
    Tsv,
    /// RFC 4180.
    Csv,
    /// A JSON object, or a string, a line.
    Jsonl,
    /// `pos/` and `neg/` with a text a file.
    Folder,
}

impl Format {
    /// From the name of a file, with or without `.gz` or `.xz`; a folder is a folder.
    ///
    /// # Errors
    /// There is nothing at the path, or its name says nothing.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let kind = std::fs::metadata(path).map_err(|source| DataError::Read {
            path: path.to_owned(),
            source,
        })?;
        if kind.is_dir() {
            return Ok(Self::Folder);
        }
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let name = name.to_ascii_lowercase();
        let name = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".xz"))
            .unwrap_or(&name);
        match name.rsplit_once('.') {
            Some((_, "tsv")) => Ok(Self::Tsv),
            Some((_, "csv")) => Ok(Self::Csv),
            Some((_, "jsonl" | "ndjson")) => Ok(Self::Jsonl),
            Some((_, "txt")) => Ok(Self::Lines),
            _ => Err(DataError::File {
                path: path.to_owned(),
                reason:
                    "its name does not say what it holds: expected .tsv, .csv, .jsonl or .txt, \
                         also as .gz or .xz, or a folder with pos/ and neg/"
                        .to_owned(),
            }),
        }
    }
}
