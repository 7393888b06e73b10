//! What a job learns from: names below the worker's data folder, and feedback.

use std::io::Write as _;
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use crate::config::allow::is_url;
use crate::recipe::{Recipe, SourceRecipe};
use crate::store::{Feedback, Job};
use crate::train::dataset::DataArg;

/// The word that stands for feedback, and the source that it becomes.
pub const FEEDBACK: &str = "feedback";

/// Where a job's reviews are.
pub(super) struct Reviews {
    /// The recipe, with a source for feedback where the job wants it.
    pub recipe: Recipe,
    /// Its sources' paths.
    pub paths: Vec<DataArg>,
    /// They go with the training.
    _files: Vec<NamedTempFile>,
}

/// Whether a job learns from feedback.
pub(super) fn wants_feedback(job: &Job) -> bool {
    names(job).any(|name| name == FEEDBACK)
}

/// What a job learns from that lies below no folder.
pub(super) struct Fetched {
    /// What is kept of feedback.
    pub feedback: Vec<Feedback>,
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
/// A name leads out of the data folder, or feedback cannot be put aside.
pub(super) fn find(job: &Job, data: &Path, fetched: Fetched) -> Result<Reviews, String> {
    let mut recipe: Recipe =
        serde_json::from_value(job.recipe.clone()).map_err(|error| error.to_string())?;
    let pretrained = recipe.embedding().and_then(|e| e.pretrained.clone());
    if let Some(file) = pretrained {
        within(data, Path::new(&file)).map_err(|error| format!("layers[0].pretrained: {error}"))?;
    }
    let feedback = fetched.feedback;
    let mut downloads = fetched.downloads.into_iter();
    let mut paths = Vec::new();
    let mut files = Vec::new();
    for name in names(job).filter(|name| *name != FEEDBACK) {
        let mut arg: DataArg = name.parse()?;
        arg.path = match is_url(name) {
            true => {
                let file = downloads.next().ok_or("a URL was not fetched")?;
                let path = file.path().to_owned();
                files.push(file);
                path
            }
            false => within(data, &arg.path)?,
        };
        paths.push(arg);
    }
    if wants_feedback(job) {
        if feedback.is_empty() && !paths.is_empty() {
            tracing::info!(job = %job.id, "there is no feedback to learn from");
        } else {
            let written = put_aside(&feedback).map_err(|error| format!("feedback: {error}"))?;
            paths.push(DataArg {
                source: Some(FEEDBACK.to_owned()),
                path: written.path().to_owned(),
            });
            if !recipe.data.source.iter().any(|s| s.name == FEEDBACK) {
                recipe.data.source.push(SourceRecipe {
                    name: FEEDBACK.to_owned(),
                    label_above: None,
                    weight: 1.0,
                    text: None,
                    label: None,
                });
            }
            files.push(written);
        }
    }
    Ok(Reviews {
        recipe,
        paths,
        _files: files,
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
fn within(data: &Path, name: &Path) -> Result<PathBuf, String> {
    let shown = name.display();
    let plain = |part: Component| matches!(part, Component::Normal(_) | Component::CurDir);
    if !name.components().all(plain) {
        return Err(format!(
            "data {shown}: a name below --data-dir is expected, without \"..\""
        ));
    }
    let folder = data
        .canonicalize()
        .map_err(|error| format!("--data-dir {}: {error}", data.display()))?;
    let path = folder
        .join(name)
        .canonicalize()
        .map_err(|error| format!("data {shown}: {error}"))?;
    match path.starts_with(&folder) {
        true => Ok(path),
        false => Err(format!("data {shown}: it leads out of --data-dir")),
    }
}

/// Feedback as a file of JSON lines, which goes with its handle.
///
/// # Errors
/// There is no room for it.
pub fn put_aside(feedback: &[Feedback]) -> std::io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix("feedback-")
        .suffix(".jsonl")
        .tempfile()?;
    for row in feedback {
        let line = serde_json::json!({"text": row.text, "label": row.label});
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    Ok(file)
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
