//! HDF5 as Keras writes it: groups, text attributes, arrays of floats.

use std::collections::HashMap;

use hdf5_pure::{AttrValue, File};
use ndarray::ArrayD;

/// An open file.
pub(super) struct Hdf5(File);

impl Hdf5 {
    /// Opens a file that is in memory.
    ///
    /// # Errors
    /// It is not HDF5, or damaged.
    pub fn open(bytes: Vec<u8>) -> Result<Self, String> {
        if let Some(end) = end_of_file(&bytes)
            && end > bytes.len() as u64
        {
            return Err(format!(
                "it is cut short: {} of {end} bytes are there",
                bytes.len()
            ));
        }
        File::from_bytes(bytes)
            .map(Self)
            .map_err(|error| format!("not HDF5: {error}"))
    }

    /// A text attribute of a group; `/` is the root.
    ///
    /// # Errors
    /// The group's attributes cannot be read.
    pub fn text(&self, group: &str, name: &str) -> Result<Option<String>, String> {
        let attributes = self.attributes(group)?;
        let value = attributes.get(name);
        Ok(value.and_then(AttrValue::as_str).map(str::to_owned))
    }

    /// A list of texts; Keras cuts a long one into `name0`, `name1`, ...
    ///
    /// # Errors
    /// The group's attributes cannot be read.
    pub fn texts(&self, group: &str, name: &str) -> Result<Option<Vec<String>>, String> {
        let attributes = self.attributes(group)?;
        if let Some(value) = attributes.get(name) {
            return Ok(Some(list(value)));
        }
        let parts: Vec<&AttrValue> = (0..)
            .map_while(|part| attributes.get(&format!("{name}{part}")))
            .collect();
        Ok((!parts.is_empty()).then(|| parts.into_iter().flat_map(list).collect()))
    }

    /// The names of a group's groups, or none where there is no such group.
    pub fn groups(&self, group: &str) -> Vec<String> {
        let groups = self.0.group(group).and_then(|group| group.groups());
        groups.unwrap_or_default()
    }

    /// The names of a group's arrays, or none where there is no such group.
    pub fn arrays(&self, group: &str) -> Vec<String> {
        let arrays = self.0.group(group).and_then(|group| group.datasets());
        arrays.unwrap_or_default()
    }

    /// An array of floats.
    ///
    /// # Errors
    /// There is none of this path, or it is damaged or of another kind.
    pub fn array(&self, path: &str) -> Result<ArrayD<f32>, String> {
        let read = || -> Result<_, hdf5_pure::Error> {
            let dataset = self.0.dataset(path)?;
            Ok((dataset.shape()?, dataset.read_f32()?))
        };
        let (shape, values) = read().map_err(|error| format!("{path}: {error}"))?;
        let shape: Vec<usize> = shape.into_iter().map(|size| size as usize).collect();
        ArrayD::from_shape_vec(shape, values).map_err(|error| format!("{path}: {error}"))
    }

    fn attributes(&self, group: &str) -> Result<HashMap<String, AttrValue>, String> {
        let read = || match group {
            "/" => self.0.root().attrs(),
            _ => self.0.group(group)?.attrs(),
        };
        read().map_err(|error| format!("{group}: {error}"))
    }
}

/// Where the superblock says that the file ends; none where it is in another place than Keras's libraries put it.
fn end_of_file(bytes: &[u8]) -> Option<u64> {
    const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
    let after = bytes.strip_prefix(SIGNATURE)?;
    // Addresses of eight bytes; counted from the signature's end.
    let at = match after.first()? {
        0 if after.get(5) == Some(&8) => 32,
        2 | 3 if after.get(1) == Some(&8) => 20,
        _ => return None,
    };
    let end = after.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*end))
}

fn list(value: &AttrValue) -> Vec<String> {
    match (value.as_strings(), value.as_str()) {
        (Some(texts), _) => texts.to_vec(),
        (None, Some(text)) => vec![text.to_owned()],
        // Keras writes an empty list as one of floats.
        (None, None) => Vec::new(),
    }
}
