//! A network as a file that Keras loads: `.keras`, or the older `.h5`.
//!
//! Both are written as Keras 2.15 writes them, which Keras 3 reads too. Weights are as Keras has them, so nothing is lost.

mod config;
mod weights;

use std::io::{Cursor, Write as _};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::import::ImportError;
use crate::train::network::Network;

/// The version whose files these are.
const VERSION: &str = "2.15.0";

/// The two kinds of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KerasFormat {
    /// `.keras`
    Archive,
    /// `.h5`
    Hdf5,
}

/// The contents of a file that Keras loads.
///
/// # Errors
/// A layer is one that Keras does not have.
pub fn keras_file(network: &Network<f32>, format: KerasFormat) -> Result<Vec<u8>, ImportError> {
    let refused = |error: &dyn std::fmt::Display| ImportError::Model(error.to_string());
    let config = config::model(network, format)?;
    match format {
        KerasFormat::Hdf5 => weights::named(network, &config.to_string()).map_err(|e| refused(&e)),
        KerasFormat::Archive => {
            let weights = weights::numbered(network).map_err(|error| refused(&error))?;
            let metadata = serde_json::json!({"keras_version": VERSION, "date_saved": ""});
            let members = [
                ("metadata.json", metadata.to_string().into_bytes()),
                ("config.json", config.to_string().into_bytes()),
                ("model.weights.h5", weights),
            ];
            let write = || -> zip::result::ZipResult<Vec<u8>> {
                let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
                let stored =
                    SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
                for (name, contents) in members {
                    archive.start_file(name, stored)?;
                    archive.write_all(&contents)?;
                }
                Ok(archive.finish()?.into_inner())
            };
            write().map_err(|error| refused(&error))
        }
    }
}
