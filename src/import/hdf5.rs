//! HDF5 as Keras writes it: groups, text attributes, arrays of floats.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{AttrValue, DType, Dataset, File, FormatError, Source};
use ndarray::ArrayD;

use crate::system::available_memory;

/// How much more than the file's bytes all arrays together may hold, and may be read of it. Keras does not compress arrays;
/// others may. Names and texts may lead to the same bytes any number of times.
const UNPACKED: u64 = 64;

/// What may be read of the smallest file: what says how it is made is read more than once.
const LEAST_READ: u64 = 16 << 20;

/// An open file.
pub(super) struct Hdf5 {
    file: File,
    /// Bytes that arrays may still take.
    room: Cell<u64>,
    /// Bytes that may still be read.
    unread: Arc<AtomicU64>,
}

/// The file's bytes, of which no more is handed out than was allowed; `0` says that more was asked for.
struct Metered {
    bytes: Vec<u8>,
    unread: Arc<AtomicU64>,
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let order = Ordering::Relaxed;
        let take = |unread: u64| unread.checked_sub(buffer.len() as u64);
        if self.unread.try_update(order, order, take).is_err() {
            self.unread.store(0, order);
            return Err(FormatError::Source("read too often".to_owned()));
        }
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = self
            .bytes
            .get(from..)
            .and_then(|rest| rest.get(..buffer.len()));
        let part = part.ok_or(FormatError::UnexpectedEof {
            expected: from.saturating_add(buffer.len()),
            available: self.bytes.len(),
        })?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

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
        let room = (bytes.len() as u64).saturating_mul(UNPACKED);
        let unread = Arc::new(AtomicU64::new(room.max(LEAST_READ)));
        let room = room.min(available_memory().unwrap_or(u64::MAX));
        let source = Metered {
            bytes,
            unread: Arc::clone(&unread),
        };
        File::from_source(source)
            .map(|file| Self {
                file,
                room: Cell::new(room),
                unread,
            })
            .map_err(|error| format!("not HDF5: {error}"))
    }

    /// A text attribute of a group; `/` is the root.
    ///
    /// # Errors
    /// The group's attributes cannot be read, or are larger than such a file can hold.
    pub fn text(&self, group: &str, name: &str) -> Result<Option<String>, String> {
        let attributes = self.attributes(group)?;
        let value = attributes.get(name);
        Ok(value.and_then(AttrValue::as_str).map(str::to_owned))
    }

    /// A list of texts; Keras cuts a long one into `name0`, `name1`, ...
    ///
    /// # Errors
    /// As of [`Self::text`].
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
        let groups = self.file.group(group).and_then(|group| group.groups());
        groups.unwrap_or_default()
    }

    /// The names of a group's arrays, or none where there is no such group.
    pub fn arrays(&self, group: &str) -> Vec<String> {
        let arrays = self.file.group(group).and_then(|group| group.datasets());
        arrays.unwrap_or_default()
    }

    /// An array of floats.
    ///
    /// # Errors
    /// There is none of this path, or it is damaged, of another kind or larger than such a file can hold.
    pub fn array(&self, path: &str) -> Result<ArrayD<f32>, String> {
        let read = || -> Result<_, hdf5_pure::Error> {
            let dataset = self.file.dataset(path)?;
            Ok((dataset.shape()?, bytes(&dataset)?, dataset))
        };
        let cannot = |reason: &dyn std::fmt::Display| format!("{path}: {reason}");
        let (shape, bytes, dataset) = read().map_err(|error| cannot(&error))?;
        let bytes = bytes.ok_or_else(|| cannot(&"its values are no numbers"))?;
        // Sizes are believed only as far as a file of this length and this machine's memory can back them.
        let room = self.room.get().checked_sub(bytes);
        let room = room.ok_or_else(|| {
            cannot(&format!(
                "its shape {shape:?} is of {} MB, and there is room for {} MB",
                bytes >> 20,
                self.room.get() >> 20
            ))
        })?;
        self.room.set(room);
        let values = dataset.read_f32().map_err(|error| cannot(&error))?;
        let shape: Vec<usize> = shape.into_iter().map(|size| size as usize).collect();
        ArrayD::from_shape_vec(shape, values).map_err(|error| cannot(&error))
    }

    fn attributes(&self, group: &str) -> Result<HashMap<String, AttrValue>, String> {
        let read = || match group {
            "/" => self.file.root().attrs(),
            _ => self.file.group(group)?.attrs(),
        };
        let attributes = read();
        // What could not be read is left out of them without a word.
        if self.unread.load(Ordering::Relaxed) == 0 {
            return Err(format!(
                "{group}: its attributes are larger than a file of this length can hold"
            ));
        }
        attributes.map_err(|error| format!("{group}: {error}"))
    }
}

/// What it takes to read an array: its numbers as they lie in the file and as floats, and a chunk of them; none where they are
/// no numbers, the greatest there is where the sizes have no product.
fn bytes(dataset: &Dataset) -> Result<Option<u64>, hdf5_pure::Error> {
    let size = match dataset.dtype()? {
        DType::I8 | DType::U8 => 1,
        DType::I16 | DType::U16 => 2,
        DType::F32 | DType::I32 | DType::U32 => 4,
        DType::F64 | DType::I64 | DType::U64 => 8,
        _ => return Ok(None),
    };
    let numbers = |shape: &[u64]| {
        shape
            .iter()
            .try_fold(1, |all: u64, size| all.checked_mul(*size))
    };
    let chunk = dataset.chunk_shape()?.unwrap_or_default();
    let both = numbers(&dataset.shape()?).zip(numbers(&chunk));
    let bytes = both.and_then(|(whole, chunk)| {
        let whole = whole.checked_mul(size + size_of::<f32>() as u64)?;
        whole.checked_add(chunk.checked_mul(size)?)
    });
    Ok(Some(bytes.unwrap_or(u64::MAX)))
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
