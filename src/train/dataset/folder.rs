//! A folder with a text a file: `pos/` and `neg/`, all of `pos`, then all of `neg`, each by file name; or, where no labels are
//! wanted, the texts that lie in the folder itself.

use std::fs;
use std::path::{Path, PathBuf};

use super::DataError;
use crate::sentiment::Label;

/// The files of such a folder, in order.
#[derive(Debug)]
pub struct Files {
    files: std::vec::IntoIter<(PathBuf, Option<Label>)>,
}

impl Files {
    /// Lists a folder; one that holds only `train/` or only `test/` stands for that.
    ///
    /// # Errors
    /// It holds neither, or both, or no `.txt` files.
    pub fn list(folder: &Path, labels: bool) -> Result<Self, DataError> {
        let read = |folder: &Path| {
            texts(folder).map_err(|source| DataError::Read {
                path: folder.to_owned(),
                source,
            })
        };
        if !labels && !holds(folder) {
            let mut paths = read(folder)?;
            paths.sort_unstable();
            if !paths.is_empty() {
                let unlabelled: Vec<_> = paths.into_iter().map(|path| (path, None)).collect();
                return Ok(Self {
                    files: unlabelled.into_iter(),
                });
            }
        }
        let folder = choose(folder)?;
        let mut files = Vec::new();
        for (name, label) in [("pos", Label::Positive), ("neg", Label::Negative)] {
            let folder = folder.join(name);
            let mut paths = read(&folder)?;
            if paths.is_empty() {
                return Err(DataError::File {
                    path: folder,
                    reason: "it holds no .txt files".to_owned(),
                });
            }
            paths.sort_unstable();
            files.extend(paths.into_iter().map(|path| (path, Some(label))));
        }
        Ok(Self {
            files: files.into_iter(),
        })
    }
}

impl Iterator for Files {
    type Item = (PathBuf, Option<Label>);

    fn next(&mut self) -> Option<Self::Item> {
        self.files.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.files.size_hint()
    }
}

impl ExactSizeIterator for Files {}

fn holds(folder: &Path) -> bool {
    folder.join("pos").is_dir() && folder.join("neg").is_dir()
}

fn choose(folder: &Path) -> Result<PathBuf, DataError> {
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
