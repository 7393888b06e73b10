//! Folders of models: which files there are, what they should answer, and a line for each of them.

use std::any::Any;
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `predictions.json`.
#[derive(Deserialize)]
pub struct Predictions {
    maxlen: Option<usize>,
    pub cases: Vec<Case>,
}

#[derive(Deserialize)]
pub struct Case {
    #[serde(default)]
    pub id: String,
    pub text: Option<String>,
    #[serde(default = "pre")]
    pub padding: String,
    #[serde(default = "pre")]
    pub truncating: String,
    pub padded: Vec<i64>,
    pub probability: f64,
}

fn pre() -> String {
    "pre".to_owned()
}

impl Predictions {
    pub fn maxlen(&self) -> usize {
        self.maxlen.unwrap_or_else(|| self.cases[0].padded.len())
    }

    fn read(path: &Path) -> Result<Self, String> {
        let json = fs::read(path).map_err(|error| format!("predictions.json: {error}"))?;
        let read: Self =
            serde_json::from_slice(&json).map_err(|error| format!("predictions.json: {error}"))?;
        match read.cases.is_empty() {
            true => Err("predictions.json has no cases".to_owned()),
            false => Ok(read),
        }
    }
}

/// What became of the files of some folders.
pub struct Outcome {
    /// A line for each file.
    pub lines: Vec<String>,
    /// Files whose check passed.
    pub passed: usize,
}

impl Outcome {
    /// Files whose check failed, with the reason.
    pub fn failed(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| line.starts_with("FAILED")).collect()
    }

    /// Ends the test unless some files passed and none failed.
    pub fn assert_whole(&self) {
        assert!(self.failed().is_empty(), "{}", self.failed().join("\n"));
        assert!(self.passed > 0, "no files");
    }

    /// The same for a kind of file that another folder than the repository's need not have.
    pub fn assert_none_failed(&self) {
        if other_folder().is_none() || !self.lines.is_empty() {
            self.assert_whole();
        }
    }
}

pub fn fixtures(folder: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures").join(folder)
}

/// The folder that `SENTIMENT_KERAS_EXPORTS` names, or those of the repository.
pub fn folders() -> Vec<PathBuf> {
    match other_folder() {
        Some(folder) => vec![folder],
        None => vec![fixtures("keras_exports"), fixtures("keras_small")],
    }
}

fn other_folder() -> Option<PathBuf> {
    std::env::var_os("SENTIMENT_KERAS_EXPORTS").map(PathBuf::from)
}

/// Checks every file of these extensions, in folders at any depth, and writes a line for each; one that fails keeps none
/// of the others from being checked. Standard output itself lies past the test runner, which keeps what a passing test prints.
pub fn each_file(
    folders: &[PathBuf],
    extensions: &[&str],
    out: &mut dyn Write,
    check: impl Fn(&Path, &Predictions) -> String,
) -> Outcome {
    let mut outcome = Outcome {
        lines: Vec::new(),
        passed: 0,
    };
    for (shown, file) in folders.iter().flat_map(|folder| files(folder, extensions)) {
        let checked =
            Predictions::read(&file.with_file_name("predictions.json")).and_then(|predictions| {
                catch_unwind(AssertUnwindSafe(|| check(&file, &predictions))).map_err(reason)
            });
        let line = match checked {
            Ok(said) => {
                outcome.passed += 1;
                format!("{shown}: {said}")
            }
            Err(reason) => format!("FAILED {shown}: {}", reason.replace('\n', " ")),
        };
        out.write_all(format!("{line}\n").as_bytes()).unwrap();
        outcome.lines.push(line);
    }
    outcome
}

/// The files below a folder, in order, each with its path from there on.
fn files(folder: &Path, extensions: &[&str]) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = walkdir(folder)
        .into_iter()
        .filter(|path| {
            let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
            extension.is_some_and(|extension| extensions.contains(&&*extension))
        })
        .map(|path| {
            let shown = path.strip_prefix(folder).unwrap().display().to_string();
            (shown, path)
        })
        .collect();
    found.sort();
    found
}

fn walkdir(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => walkdir(&path),
            false => vec![path],
        })
        .collect()
}

fn reason(panic: Box<dyn Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic
            .downcast_ref::<&str>()
            .map_or("a panic", |text| text)
            .to_owned(),
    }
}
