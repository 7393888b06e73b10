//! Publishing: everything is written beside the versions, made durable, verified, and only then given its number.
//!
//! A crash at any point leaves the versions as they were and at most a hidden folder, which the next writer removes.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::manifest::FORMAT;
use super::{
    Bundle, BundleError, CURVES, GOLDEN, GoldenRow, HISTORY, LayerSummary, MANIFEST, MODEL,
    Manifest, Metrics, TOKENIZER, TrainingRecord, Trim, Version, clock, digest, folder,
};
use crate::recipe::{NAMES, Recipe, valid_name};
use crate::sentiment::Calibration;

/// A folder that is being written; nothing else may start like this.
const UNFINISHED: &str = ".writing-";

/// A bundle without a version.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Everything that made the model.
    pub recipe: Recipe,
    /// The seed that was used.
    pub seed: u64,
    /// How the graph's rows may be shortened.
    pub trim: Trim,
    /// The rows of the embedding.
    pub rows: usize,
    /// The network's summary.
    pub layers: Vec<LayerSummary>,
    /// What it learned from.
    pub training: TrainingRecord,
    /// How good it is.
    pub metrics: Metrics,
    /// From logit to score.
    pub calibration: Calibration,
    /// The graph.
    pub onnx: Vec<u8>,
    /// Keras's `Tokenizer.to_json()`.
    pub tokenizer: String,
    /// The epochs, as JSON.
    pub history: String,
    /// The epochs, as a picture.
    pub curves: String,
    /// Texts with their ids and logits.
    pub golden: Vec<GoldenRow>,
}

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its version.
    pub version: Version,
    /// Its folder.
    pub dir: PathBuf,
    /// Whether it became the version that serves: the model had none before.
    pub activated: bool,
}

/// Publishes a draft as the next version of its model, and activates it if the model has no active version.
///
/// # Errors
/// The name cannot be a model's, the draft does not make a bundle that loads, or the folder cannot be written.
pub fn write(models: &Path, draft: Draft) -> Result<Written, BundleError> {
    put_in_place(models, draft, None)
}

/// Publishes a draft as this version and activates nothing: a registry says which version serves.
///
/// # Errors
/// As of [`write()`], and the version is there already.
pub fn write_version(
    models: &Path,
    draft: Draft,
    version: Version,
) -> Result<Written, BundleError> {
    put_in_place(models, draft, Some(version))
}

fn put_in_place(
    models: &Path,
    draft: Draft,
    version: Option<Version>,
) -> Result<Written, BundleError> {
    let name = draft.recipe.name.clone();
    if !valid_name(&name) {
        return Err(BundleError::Name {
            name,
            reason: NAMES,
        });
    }
    let dir = models.join(&name);
    fs::create_dir_all(&dir).map_err(BundleError::io(&dir))?;
    let unfinished = begin(&dir)?;
    let manifest = write_files(unfinished.path(), draft)?;
    publish(models, unfinished, manifest, version)
}

/// A folder being written, locked for as long as its writer lives so that no other takes it for a leftover.
pub(super) struct Unfinished {
    folder: tempfile::TempDir,
    _lock: File,
}

impl Unfinished {
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Gives it its name; it is no longer removed.
    pub fn rename(self, dir: &Path) -> Result<(), BundleError> {
        fs::rename(self.path(), dir).map_err(BundleError::io(dir))?;
        let _ = self.folder.keep();
        Ok(())
    }
}

pub(super) fn begin(dir: &Path) -> Result<Unfinished, BundleError> {
    let _turn = lock(dir)?;
    remove_leftovers(dir)?;
    let folder = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(dir)
        .map_err(BundleError::io(dir))?;
    let lock = lock(folder.path())?;
    Ok(Unfinished {
        folder,
        _lock: lock,
    })
}

/// Held until the file is dropped; the system lets go of it when a process dies.
pub(super) fn lock(dir: &Path) -> Result<File, BundleError> {
    let file = File::open(dir).map_err(BundleError::io(dir))?;
    file.lock().map_err(BundleError::io(dir))?;
    Ok(file)
}

fn remove_leftovers(dir: &Path) -> Result<(), BundleError> {
    for entry in fs::read_dir(dir).map_err(BundleError::io(dir))? {
        let entry = entry.map_err(BundleError::io(dir))?;
        let path = entry.path();
        let unfinished = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(UNFINISHED));
        if unfinished
            && let Ok(file) = File::open(&path)
            && file.try_lock().is_ok()
        {
            tracing::info!(folder = %path.display(), "removing what a writer left behind");
            fs::remove_dir_all(&path).map_err(BundleError::io(&path))?;
        }
    }
    Ok(())
}

/// Everything but the manifest, which needs the version.
fn write_files(dir: &Path, draft: Draft) -> Result<Manifest, BundleError> {
    let golden: String = draft
        .golden
        .iter()
        .map(|row| serde_json::to_string(row).map(|line| line + "\n"))
        .collect::<Result<_, _>>()
        .map_err(|error| BundleError::refused(&dir.join(GOLDEN), error.to_string()))?;
    let contents: [(&str, &[u8]); 5] = [
        (MODEL, &draft.onnx),
        (TOKENIZER, draft.tokenizer.as_bytes()),
        (HISTORY, draft.history.as_bytes()),
        (CURVES, draft.curves.as_bytes()),
        (GOLDEN, golden.as_bytes()),
    ];
    let mut files = BTreeMap::new();
    for (name, bytes) in contents {
        put(&dir.join(name), bytes)?;
        files.insert(name.to_owned(), digest::sha256(bytes));
    }
    Ok(Manifest {
        format: FORMAT,
        digest: String::new(),
        name: draft.recipe.name.clone(),
        version: Version::next([]),
        created: clock::rfc3339(SystemTime::now()),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        seed: draft.seed,
        languages: draft.recipe.languages.clone(),
        default_for: draft.recipe.default_for.clone(),
        display: draft.recipe.display.clone(),
        card: draft.recipe.card.clone(),
        encoding: draft.recipe.tokenizer.encoding,
        maxlen: draft.recipe.padding.maxlen,
        rows: draft.rows,
        trim: draft.trim,
        parameters: draft.layers.iter().map(|layer| layer.parameters).sum(),
        layers: draft.layers,
        training: draft.training,
        metrics: draft.metrics,
        calibration: draft.calibration,
        files,
        recipe: draft.recipe,
    })
}

fn publish(
    models: &Path,
    unfinished: Unfinished,
    mut manifest: Manifest,
    wanted: Option<Version>,
) -> Result<Written, BundleError> {
    let model = models.join(&manifest.name);
    let _turn = lock(&model)?;
    let version = match wanted {
        Some(version) => version,
        None => Version::next(folder::versions(models, &manifest.name)?),
    };
    manifest.version = version;
    let path = unfinished.path().join(MANIFEST);
    let text = manifest
        .seal()
        .map_err(|error| BundleError::refused(&path, error.to_string()))?;
    put(&path, text.as_bytes())?;
    sync_dir(unfinished.path())?;
    Bundle::load(unfinished.path())?;
    let dir = model.join(version.to_string());
    unfinished.rename(&dir)?;
    sync_dir(&model)?;
    sync_dir(models)?;
    let activated = wanted.is_none() && !model.join(folder::ACTIVE).exists();
    if activated {
        folder::activate(models, &manifest.name, version)?;
    }
    Ok(Written {
        version,
        dir,
        activated,
    })
}

pub(super) fn put(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BundleError::io(path))
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), BundleError> {
    File::open(dir)
        .and_then(|file| file.sync_all())
        .map_err(BundleError::io(dir))
}
