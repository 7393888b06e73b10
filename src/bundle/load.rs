//! Loading: a bundle is taken only when every file is what the manifest says and the encoder still answers the golden ids.

use std::fs;
use std::path::{Path, PathBuf};

use super::{BundleError, FILES, GOLDEN, GoldenRow, MANIFEST, MODEL, Manifest, TOKENIZER, digest};
use crate::text::{Encoder, Moment};

/// A verified bundle, in memory.
#[derive(Debug)]
pub struct Bundle {
    /// Where it lies.
    pub dir: PathBuf,
    /// What it is.
    pub manifest: Manifest,
    /// Text to ids.
    pub encoder: Encoder,
    /// Ids to logit.
    pub onnx: Vec<u8>,
    /// What encoder and network must answer.
    pub golden: Vec<GoldenRow>,
}

impl Bundle {
    /// Reads a bundle and verifies everything that needs no runtime.
    ///
    /// # Errors
    /// A file is missing, damaged or contradicts another; the error names the file and the reason.
    pub fn load(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join(MANIFEST);
        let text = String::from_utf8(read(&path)?)
            .map_err(|error| BundleError::refused(&path, format!("not a manifest: {error}")))?;
        let manifest =
            Manifest::parse(&text).map_err(|reason| BundleError::refused(&path, reason))?;
        let mut bundle = Files::read(dir, &manifest)?;
        let onnx = bundle.take(MODEL);
        let encoder = encoder(&dir.join(TOKENIZER), &manifest, bundle.take(TOKENIZER))?;
        let golden = golden(&dir.join(GOLDEN), &encoder, bundle.take(GOLDEN))?;
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            encoder,
            onnx,
            golden,
        })
    }
}

/// The verified contents, in the order of [`FILES`].
struct Files(Vec<(&'static str, Vec<u8>)>);

impl Files {
    fn read(dir: &Path, manifest: &Manifest) -> Result<Self, BundleError> {
        let mut files = Vec::with_capacity(FILES.len());
        for name in FILES {
            let path = dir.join(name);
            let bytes = read(&path)?;
            let (found, said) = (digest::sha256(&bytes), manifest.files.get(name));
            if said != Some(&found) {
                let reason = format!("its SHA-256 is {found}, not that of the manifest: damaged");
                return Err(BundleError::refused(&path, reason));
            }
            files.push((name, bytes));
        }
        Ok(Self(files))
    }

    fn take(&mut self, name: &str) -> Vec<u8> {
        self.0
            .iter_mut()
            .find(|(file, _)| *file == name)
            .map(|(_, bytes)| std::mem::take(bytes))
            .unwrap_or_default()
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BundleError> {
    fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BundleError::refused(path, "missing"),
        _ => BundleError::refused(path, error.to_string()),
    })
}

fn encoder(path: &Path, manifest: &Manifest, bytes: Vec<u8>) -> Result<Encoder, BundleError> {
    let refused = |reason: String| BundleError::refused(path, reason);
    let json = String::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    let encoder = Encoder::from_json(manifest.recipe.encoder_spec(), &json)
        .map_err(|error| refused(error.to_string()))?;
    let largest = encoder.largest_id();
    // An imported embedding may have more rows than its tokenizer gives ids.
    if usize::try_from(largest).map_or(true, |largest| largest >= manifest.rows) {
        return Err(refused(format!(
            "it gives ids up to {largest} and the manifest says {} embedding rows",
            manifest.rows
        )));
    }
    Ok(encoder)
}

fn golden(path: &Path, encoder: &Encoder, bytes: Vec<u8>) -> Result<Vec<GoldenRow>, BundleError> {
    let mut rows: Vec<GoldenRow> = Vec::new();
    let mut ids = Vec::new();
    for (at, line) in bytes.split(|&b| b == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let refused =
            |reason: String| BundleError::refused(path, format!("line {}: {reason}", at + 1));
        let row: GoldenRow =
            serde_json::from_slice(line).map_err(|error| refused(error.to_string()))?;
        encoder.encode(&row.text, Moment::Serve, &mut ids);
        if ids != row.ids {
            return Err(refused(format!(
                "the encoder gives {ids:?} where {:?} is expected",
                row.ids
            )));
        }
        if ids.is_empty() {
            return Err(refused("nothing is left of the text".into()));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(BundleError::refused(path, "no golden rows"));
    }
    Ok(rows)
}
