//! The folder of models: `<name>/<version>/`, and `<name>/ACTIVE`, which names the version that serves.
//!
//! Whatever is not such a folder (`recipes/`, a file, a version being written) is passed over. The active version is only
//! ever what `ACTIVE` says, never merely the highest.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::{Bundle, BundleError, MANIFEST, Version};
use crate::recipe::valid_name;

/// The file that names the version that serves.
pub const ACTIVE: &str = "ACTIVE";

/// One model's versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelVersions {
    /// The model.
    pub name: String,
    /// Its versions, lowest first; none where `ACTIVE` alone is left.
    pub versions: Vec<Version>,
}

/// Every model in the folder, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn list(models: &Path) -> Result<Vec<ModelVersions>, BundleError> {
    let mut found = Vec::new();
    for name in folders(models)? {
        if !valid_name(&name) {
            continue;
        }
        let versions = versions(models, &name)?;
        if !versions.is_empty() || models.join(&name).join(ACTIVE).exists() {
            found.push(ModelVersions { name, versions });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// One model's versions, lowest first; none where there is no such model.
///
/// # Errors
/// The folder cannot be read.
pub fn versions(models: &Path, name: &str) -> Result<Vec<Version>, BundleError> {
    let dir = models.join(name);
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut versions: Vec<Version> = folders(&dir)?
        .iter()
        .filter_map(|f| f.parse().ok())
        .collect();
    versions.sort_unstable();
    Ok(versions)
}

/// The version that serves, if one is named.
///
/// # Errors
/// There is no such model, or `ACTIVE` names none of its versions.
pub fn active(models: &Path, name: &str) -> Result<Option<Version>, BundleError> {
    let versions = versions(models, name)?;
    let path = models.join(name).join(ACTIVE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return match versions.is_empty() {
                true => Err(unknown_model(models, name)),
                false => Ok(None),
            };
        }
        Err(error) => return Err(BundleError::io(&path)(error)),
    };
    let version = text
        .trim_end()
        .parse()
        .map_err(|error| BundleError::refused(&path, format!("{error}")))?;
    if !versions.contains(&version) {
        let reason = format!("it names version {version}, which is not there");
        return Err(BundleError::refused(&path, reason));
    }
    Ok(Some(version))
}

/// Makes a version the one that serves, at once or not at all.
///
/// # Errors
/// There is no such version, or the folder cannot be written.
pub fn activate(models: &Path, name: &str, version: Version) -> Result<(), BundleError> {
    place(models, name, version)?;
    let dir = models.join(name);
    let path = dir.join(ACTIVE);
    let put = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".active-")
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(&dir)?;
        writeln!(file, "{version}")?;
        file.as_file().sync_all()?;
        file.persist(&path)?;
        File::open(&dir)?.sync_all()
    };
    put().map_err(BundleError::io(&path))
}

/// Loads a version, which must be the one that its place says.
///
/// # Errors
/// There is no such version, or it is refused.
pub fn open(models: &Path, name: &str, version: Version) -> Result<Bundle, BundleError> {
    let dir = place(models, name, version)?;
    let bundle = Bundle::load(&dir)?;
    let manifest = &bundle.manifest;
    if (manifest.name.as_str(), manifest.version) != (name, version) {
        let reason = format!("it is {}@{}, put here", manifest.name, manifest.version);
        return Err(BundleError::refused(&dir.join(MANIFEST), reason));
    }
    Ok(bundle)
}

/// The folder of what a person calls a model: a name (its active version), `name@version`, or a bundle's folder.
///
/// # Errors
/// It is none of these, or there is no such model or version.
pub fn resolve(models: &Path, model: &str) -> Result<PathBuf, BundleError> {
    let (name, version) = match model.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (model, None),
    };
    if !valid_name(name) || models.join(name).join(MANIFEST).is_file() {
        let folder = PathBuf::from(model);
        return if folder.join(MANIFEST).is_file() {
            Ok(folder)
        } else {
            Err(BundleError::NotAModel(model.to_owned()))
        };
    }
    let version = match version {
        Some(text) => text
            .parse()
            .map_err(|_| BundleError::NotAModel(model.to_owned()))?,
        None => active(models, name)?.ok_or_else(|| BundleError::NoActive {
            name: name.to_owned(),
        })?,
    };
    place(models, name, version)
}

/// The folder of a version that is there.
fn place(models: &Path, name: &str, version: Version) -> Result<PathBuf, BundleError> {
    let versions = versions(models, name)?;
    if versions.is_empty() {
        return Err(unknown_model(models, name));
    }
    if !versions.contains(&version) {
        return Err(BundleError::UnknownVersion {
            name: name.to_owned(),
            version,
        });
    }
    Ok(models.join(name).join(version.to_string()))
}

fn unknown_model(models: &Path, name: &str) -> BundleError {
    BundleError::UnknownModel {
        name: name.to_owned(),
        models: models.to_owned(),
    }
}

fn folders(dir: &Path) -> Result<Vec<String>, BundleError> {
    let read = || -> std::io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            // Follows links: a model may live elsewhere.
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().is_dir()
            {
                names.push(name);
            }
        }
        Ok(names)
    };
    read().map_err(BundleError::io(dir))
}
