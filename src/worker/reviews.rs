//! What a job learns from: names below the worker's data folder, and feedback.

use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use crate::config::allow::is_url;
use crate::recipe::{Recipe, SourceRecipe};
use crate::store::{Feedback, Job};
use crate::train::dataset::{DataArg, DataError};

/// The word that stands for feedback, and the source that it becomes.
pub const FEEDBACK: &str = "feedback";

/// Where a job's reviews are.
pub(super) struct Reviews {
    /// The recipe, with a source for feedback where the job wants it.
    pub recipe: Recipe,
    /// Its sources' paths.
    pub paths: Vec<DataArg>,
    /// What was fetched, by the name that the job has for it; the files go when the reviews are read.
    files: Vec<(String, NamedTempFile)>,
}

/// Why there is nothing to learn from.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoData {
    /// It will not be otherwise the next time.
    #[error("{0}")]
    Refused(String),
    /// The next time may be better.
    #[error("{0}")]
    Failed(String),
}

impl From<String> for NoData {
    fn from(reason: String) -> Self {
        Self::Refused(reason)
    }
}

impl Reviews {
    /// What is wrong with them, in the job's own words.
    pub fn unusable(&self, error: &DataError) -> NoData {
        let mut said = error.to_string();
        for (name, file) in &self.files {
            said = said.replace(&file.path().display().to_string(), name);
        }
        match error {
            DataError::Read { source, .. } if may_pass(source) => NoData::Failed(said),
            _ => NoData::Refused(said),
        }
    }
}

/// Whether it is the disk, and not what was asked of it.
fn may_pass(error: &io::Error) -> bool {
    let asked = matches!(
        error.kind(),
        ErrorKind::NotFound
            | ErrorKind::PermissionDenied
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
    );
    error.raw_os_error().is_some() && !asked
}

/// Whether a job learns from feedback.
pub(super) fn wants_feedback(job: &Job) -> bool {
    names(job).any(|name| name == FEEDBACK)
}

/// What a job learns from that lies below no folder.
pub(super) struct Fetched {
    /// What is kept of feedback, where the job wants it.
    pub feedback: Option<Aside>,
    /// A file for each URL, in order.
    pub downloads: Vec<NamedTempFile>,
}

/// The URLs that a job names.
pub(super) fn urls(job: &Job) -> Result<Vec<String>, String> {
    let mut urls = Vec::new();
    for name in names(job).filter(|name| is_url(name)) {
        let arg: DataArg = name.parse()?;
        urls.push(arg.path.display().to_string());
    }
    Ok(urls)
}

/// Finds everything that a job names.
///
/// # Errors
/// A name leads out of the data folder or to nothing.
pub(super) fn find(
    job: &Job,
    mut recipe: Recipe,
    data: &Path,
    fetched: Fetched,
) -> Result<Reviews, NoData> {
    let pretrained = recipe.embedding().and_then(|e| e.pretrained.clone());
    if let Some(file) = pretrained {
        within(data, Path::new(&file)).map_err(|error| match error {
            NoData::Refused(why) => NoData::Refused(format!("layers[0].pretrained: {why}")),
            NoData::Failed(why) => NoData::Failed(format!("layers[0].pretrained: {why}")),
        })?;
    }
    let mut downloads = fetched.downloads.into_iter();
    let mut paths = Vec::new();
    let mut files = Vec::new();
    for name in names(job).filter(|name| *name != FEEDBACK) {
        let mut arg: DataArg = name.parse()?;
        arg.path = match is_url(name) {
            true => {
                let missing = || format!("data {name}: it was not fetched");
                let file = downloads.next().ok_or_else(missing)?;
                let path = file.path().to_owned();
                files.push((arg.path.display().to_string(), file));
                path
            }
            false => within(data, &arg.path)?,
        };
        paths.push(arg);
    }
    if let Some(feedback) = fetched.feedback {
        if feedback.rows == 0 && !paths.is_empty() {
            tracing::info!(job = %job.id, "there is no feedback to learn from");
        } else {
            let no_room = |error: io::IntoInnerError<_>| {
                NoData::Failed(format!("feedback: {}", error.error()))
            };
            let written = feedback.file.into_inner().map_err(no_room)?;
            paths.push(DataArg {
                source: Some(FEEDBACK.to_owned()),
                path: written.path().to_owned(),
            });
            if !recipe.data.source.iter().any(|s| s.name == FEEDBACK) {
                recipe.data.source.push(SourceRecipe {
                    name: FEEDBACK.to_owned(),
                    label_above: None,
                    weight: 1.0,
                    train_only: false,
                    text: None,
                    label: None,
                });
            }
            files.push((FEEDBACK.to_owned(), written));
        }
    }
    Ok(Reviews {
        recipe,
        paths,
        files,
    })
}

fn names(job: &Job) -> impl Iterator<Item = &str> {
    job.data
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str())
}

/// The path, with links followed, if it is still below the folder.
fn within(data: &Path, name: &Path) -> Result<PathBuf, NoData> {
    let shown = name.display();
    let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !name.components().all(plain) {
        return Err(NoData::Refused(format!(
            "data {shown}: a name below --data-dir is expected, without \"..\""
        )));
    }
    let real = |path: &Path, what: String| {
        path.canonicalize().map_err(|error| match may_pass(&error) {
            true => NoData::Failed(format!("{what}: {error}")),
            false => NoData::Refused(format!("{what}: {error}")),
        })
    };
    let folder = real(data, format!("--data-dir {}", data.display()))?;
    let path = real(&folder.join(name), format!("data {shown}"))?;
    match path.starts_with(&folder) {
        true => Ok(path),
        false => Err(NoData::Refused(format!(
            "data {shown}: it leads out of --data-dir"
        ))),
    }
}

/// Feedback as a file of JSON lines, which goes with its handle.
#[derive(Debug)]
pub struct Aside {
    file: BufWriter<NamedTempFile>,
    rows: u64,
}

impl Aside {
    /// An empty one in this folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn within(dir: &Path) -> io::Result<Self> {
        let file = tempfile::Builder::new()
            .prefix("feedback-")
            .suffix(".jsonl")
            .tempfile_in(dir)?;
        Ok(Self {
            file: BufWriter::new(file),
            rows: 0,
        })
    }

    /// And these.
    ///
    /// # Errors
    /// There is no room for them.
    pub fn add(&mut self, feedback: &[Feedback]) -> io::Result<()> {
        for row in feedback {
            let line = serde_json::json!({"text": row.text, "label": row.label});
            writeln!(self.file, "{line}")?;
        }
        self.rows += feedback.len() as u64;
        Ok(())
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// There is no room for it.
    pub fn whole(mut self) -> io::Result<Self> {
        self.file.flush()?;
        Ok(self)
    }

    /// How many there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.get_ref().path()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_below_the_data_folder() {
        let room = tempfile::tempdir().unwrap();
        let data = room.path().join("data");
        std::fs::create_dir_all(data.join("shop")).unwrap();
        std::fs::write(data.join("shop/a.tsv"), "5\tgood\n").unwrap();
        std::fs::write(room.path().join("secret.tsv"), "5\tgood\n").unwrap();
        std::os::unix::fs::symlink("../secret.tsv", data.join("link.tsv")).unwrap();
        assert!(within(&data, Path::new("shop/a.tsv")).is_ok());
        for name in [
            "../secret.tsv",
            "shop/../../secret.tsv",
            "/etc/passwd",
            "link.tsv",
            "none.tsv",
        ] {
            assert!(within(&data, Path::new(name)).is_err(), "{name}");
        }
    }
}
