//! A folder with `pos/` and `neg/`, a text a file: all of `pos`, then all of `neg`, each by file name.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;
use crate::sentiment::Label;

/// The files of such a folder, in order.
#[derive(Debug)]
pub struct Files {
    files: std::vec::IntoIter<(PathBuf, Label)>,
}

impl Files {
    /// Lists a folder; one that holds only `train/` or only `test/` stands for that.
    ///
    /// # Errors
    /// It holds neither, or both, or no `.txt` files.
    pub fn list(folder: &Path) -> Result<Self, DataError> {
        let folder = choose(folder)?;
        let mut files = Vec::new();
        for (name, label) in [("pos", Label::Positive), ("neg", Label::Negative)] {
            let folder = folder.join(name);
            let mut paths = texts(&folder).map_err(|source| DataError::Read {
                path: folder.clone(),
                source,
            })?;
            if paths.is_empty() {
                return Err(DataError::File {
                    path: folder,
                    reason: "it holds no .txt files".to_owned(),
                });
            }
            paths.sort_unstable();
            files.extend(paths.into_iter().map(|path| (path, label)));
        }
        Ok(Self {
            files: files.into_iter(),
        })
    }
}

impl Iterator for Files {
    type Item = (PathBuf, Label);

    fn next(&mut self) -> Option<Self::Item> {
        self.files.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.files.size_hint()
    }
}

impl ExactSizeIterator for Files {}

fn choose(folder: &Path) -> Result<PathBuf, DataError> {
    let holds = |folder: &Path| folder.join("pos").is_dir() && folder.join("neg").is_dir();
    if holds(folder) {
        return Ok(folder.to_owned());
    }
    let inner = ["train", "test"].map(|name| folder.join(name));
    let reason = match inner.each_ref().map(|folder| holds(folder)) {
        [true, false] => return Ok(inner[0].clone()),
        [false, true] => return Ok(inner[1].clone()),
        [true, true] => "it holds both train/ and test/: name one of them",
        [false, false] => "it holds no pos/ and neg/",
    };
    Err(DataError::File {
        path: folder.to_owned(),
        reason: reason.to_owned(),
    })
}

fn texts(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|e| e == "txt") && !hidden {
            paths.push(path);
        }
    }
    Ok(paths)
}
