//! A bundle on its way from one machine to another: all of its files in memory, verified on both sides.

use std::fs;
use std::path::Path;

use super::write::{begin, lock, put, sync_dir};
use super::{Bundle, BundleError, FILES, MANIFEST, Manifest, digest};

/// Every file of a bundle.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// What it is.
    pub manifest: Manifest,
    /// The manifest's file.
    pub text: Vec<u8>,
    /// The files beside it, in the order of [`FILES`].
    pub files: Vec<(&'static str, Vec<u8>)>,
}

impl Parcel {
    /// Packs the bundle in a folder, without the files beside its manifest: [`Parcel::add`] brings them.
    ///
    /// # Errors
    /// It is no manifest that this program can use.
    pub fn of_manifest(text: Vec<u8>) -> Result<Self, String> {
        let utf8 = std::str::from_utf8(&text).map_err(|error| error.to_string())?;
        Ok(Self {
            manifest: Manifest::parse(utf8)?,
            text,
            files: Vec::new(),
        })
    }

    /// Packs the bundle in a folder.
    ///
    /// # Errors
    /// It is not whole.
    pub fn of_folder(dir: &Path) -> Result<Self, BundleError> {
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read(&path).map_err(BundleError::io(&path))
        };
        let refused = |name: &str, reason| BundleError::refused(&dir.join(name), reason);
        let parcel = Self::of_manifest(read(MANIFEST)?);
        let mut parcel = parcel.map_err(|reason| refused(MANIFEST, reason))?;
        for name in FILES {
            let added = parcel.add(name, read(name)?);
            added.map_err(|reason| refused(name, reason))?;
        }
        Ok(parcel)
    }

    /// Adds a file that is what the manifest says.
    ///
    /// # Errors
    /// It is not.
    pub fn add(&mut self, name: &'static str, bytes: Vec<u8>) -> Result<(), String> {
        let (found, said) = (digest::sha256(&bytes), self.manifest.files.get(name));
        if said != Some(&found) {
            return Err(format!(
                "its SHA-256 is {found}, not that of the manifest: damaged"
            ));
        }
        self.files.push((name, bytes));
        Ok(())
    }

    /// Puts the bundle in its place in a folder of models, verified, at once or not at all. One that is there already is
    /// left alone.
    ///
    /// # Errors
    /// The folder cannot be written, another bundle has the version, or a file contradicts another.
    pub fn unpack(&self, models: &Path) -> Result<(), BundleError> {
        let Manifest { name, version, .. } = &self.manifest;
        let model = models.join(name);
        let dir = model.join(version.to_string());
        fs::create_dir_all(&model).map_err(BundleError::io(&model))?;
        let unfinished = begin(&model)?;
        for (name, bytes) in &self.files {
            put(&unfinished.path().join(name), bytes)?;
        }
        put(&unfinished.path().join(MANIFEST), &self.text)?;
        sync_dir(unfinished.path())?;
        Bundle::load(unfinished.path())?;
        let _turn = lock(&model)?;
        if dir.exists() {
            return match Manifest::read(&dir)?.digest == self.manifest.digest {
                true => Ok(()),
                false => Err(BundleError::refused(&dir, "another bundle is here already")),
            };
        }
        unfinished.rename(&dir)?;
        sync_dir(&model)?;
        sync_dir(models)
    }
}
