//! Files of vectors: text of word2vec, GloVe and fastText, and word2vec's binary, plain or as .gz or .xz.

use std::io::{self, BufRead, Read as _};
use std::path::Path;

use super::{VectorError, WordVectors, memory, text};
use crate::train::dataset::input::{self, Bytes};

/// What a word takes beside its vector, about.
const WORD_BYTES: u64 = 96;

/// How much larger a compressed file of numbers is once it is unpacked, about.
const UNPACKED: u64 = 3;

/// The longest vector that is taken.
const MOST_DIMENSIONS: usize = 1 << 16;

impl WordVectors {
    /// Reads a set, or its first `limit` words.
    ///
    /// # Errors
    /// It cannot be read, is no set of vectors, or is larger than the memory that is left, which is found out before it is
    /// read.
    pub fn load(path: &Path, limit: Option<usize>) -> Result<Self, VectorError> {
        let cannot = |source| VectorError::Read {
            path: path.to_owned(),
            source,
        };
        let refused = |reason: String| VectorError::File {
            path: path.to_owned(),
            reason,
        };
        let (mut bytes, _) = input::open(path).map_err(cannot)?;
        let mut first = Vec::new();
        (&mut bytes)
            .take(1 << 20)
            .read_until(b'\n', &mut first)
            .map_err(cannot)?;
        let set = Set::of(&first).map_err(refused)?;
        let limit = limit.unwrap_or(usize::MAX);
        let rows = match set.rows {
            Some(rows) => rows,
            None => guessed_rows(path, first.len()).map_err(cannot)?,
        };
        let row = 4 * set.dimensions as u64 + WORD_BYTES;
        let needed = (rows.min(limit) as u64).saturating_mul(row);
        if let Some(available) = memory::available()
            && needed > available
        {
            return Err(VectorError::Memory {
                path: path.to_owned(),
                needed: needed >> 20,
                available: available >> 20,
            });
        }
        let limit = limit.min(set.rows.unwrap_or(usize::MAX));
        let vectors = match set.rows {
            Some(_) if is_binary(&mut bytes).map_err(cannot)? => {
                binary(bytes, set.dimensions, limit).map_err(cannot)?
            }
            Some(_) => text::read(bytes, Vec::new(), (set.dimensions, limit)).map_err(refused)?,
            // Without a header the first line is a word's.
            None => text::read(bytes, first, (set.dimensions, limit)).map_err(refused)?,
        };
        if let Some(rows) = set.rows
            && vectors.0.len() < rows.min(limit)
        {
            return Err(refused(format!(
                "it ends after {} of {rows} words",
                vectors.0.len()
            )));
        }
        Ok(Self::new(vectors.0, vectors.1, set.dimensions))
    }
}

/// What the first line says.
struct Set {
    rows: Option<usize>,
    dimensions: usize,
}

impl Set {
    fn of(first: &[u8]) -> Result<Self, String> {
        let line = String::from_utf8_lossy(first);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let set = match fields[..] {
            [rows, dimensions] if rows.bytes().all(|b| b.is_ascii_digit()) => Self {
                rows: Some(rows.parse().map_err(|_| format!("line 1: {rows} words"))?),
                dimensions: dimensions
                    .parse()
                    .map_err(|_| format!("line 1: {dimensions:?} is no length of a vector"))?,
            },
            [_, ref values @ ..] => Self {
                rows: None,
                dimensions: values
                    .iter()
                    .rev()
                    .take_while(|v| v.parse::<f32>().is_ok())
                    .count(),
            },
            [] => return Err("line 1 is empty".to_owned()),
        };
        if set.dimensions == 0 || set.dimensions > MOST_DIMENSIONS {
            return Err("line 1 is neither a header nor a word with numbers".to_owned());
        }
        Ok(set)
    }
}

/// By the length of the first line; a file in a pipe counts as empty.
fn guessed_rows(path: &Path, first: usize) -> io::Result<usize> {
    let mut bytes = std::fs::metadata(path)?.len();
    if path
        .extension()
        .is_some_and(|extension| extension == "gz" || extension == "xz")
    {
        bytes = bytes.saturating_mul(UNPACKED);
    }
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX) / first.max(1))
}

/// Behind the first word stand numbers as text, or anything else.
fn is_binary(bytes: &mut Bytes) -> io::Result<bool> {
    let ahead = bytes.fill_buf()?;
    let Some(space) = ahead.iter().position(|byte| *byte == b' ') else {
        return Ok(true);
    };
    let behind = &ahead[space + 1..];
    let end = memchr::memchr(b'\n', behind)
        .unwrap_or(behind.len())
        .min(64);
    let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eEinfa \t\r".contains(byte);
    Ok(end == 0 || !behind[..end].iter().all(number))
}

fn binary(
    mut bytes: Bytes,
    dimensions: usize,
    limit: usize,
) -> io::Result<(Vec<String>, Vec<f32>)> {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    let mut vector = vec![0; 4 * dimensions];
    let mut word = Vec::new();
    while words.len() < limit {
        word.clear();
        if (&mut bytes).take(1 << 20).read_until(b' ', &mut word)? == 0 {
            break;
        }
        bytes.read_exact(&mut vector)?;
        let word = word.strip_suffix(b" ").unwrap_or(&word);
        let word = String::from_utf8_lossy(word);
        words.push(word.trim_start_matches('\n').to_owned());
        let (numbers, _) = vector.as_chunks::<4>();
        values.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
    }
    Ok((words, values))
}
