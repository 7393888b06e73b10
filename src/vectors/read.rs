//! Files of vectors: text of word2vec, GloVe and fastText, and word2vec's binary, plain or as .gz, .xz or .zip.

use std::collections::HashSet;
use std::io::{self, BufRead, Read as _};
use std::path::Path;

use super::text::{self, Stopped};
use super::{VectorError, WordVectors, unzip};
use crate::system::available_memory;
use crate::train::dataset::input::{self, Bytes};

/// What a word takes beside its vector, about.
const WORD_BYTES: u64 = 96;

/// How much larger a compressed file of numbers is once it is unpacked, about.
const UNPACKED: u64 = 3;

/// The longest vector that is taken.
const MOST_DIMENSIONS: usize = 1 << 16;

/// Which words of a set are kept.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// The first so many.
    First(usize),
    /// These alone.
    These(&'a HashSet<&'a str>),
}

impl Wanted<'_> {
    /// The most words that can be kept.
    fn most(self) -> usize {
        match self {
            Self::First(count) => count,
            Self::These(words) => words.len(),
        }
    }

    /// The most words that are looked at.
    fn looked_at(self) -> usize {
        match self {
            Self::First(count) => count,
            Self::These(_) => usize::MAX,
        }
    }

    /// Whether a word is kept.
    pub(super) fn keeps(self, word: &str) -> bool {
        match self {
            Self::First(_) => true,
            Self::These(words) => words.contains(word),
        }
    }
}

impl WordVectors {
    /// Reads a set, or its first `limit` words.
    ///
    /// # Errors
    /// As of [`Self::load_wanted`].
    pub fn load(path: &Path, limit: Option<usize>) -> Result<Self, VectorError> {
        Self::load_wanted(path, Wanted::First(limit.unwrap_or(usize::MAX)))
    }

    /// Reads what is wanted of a set; the rest is passed over as the file streams by.
    ///
    /// # Errors
    /// It cannot be read, is no set of vectors, or what is wanted is larger than the memory that is left, which is found out
    /// before it is read.
    pub fn load_wanted(path: &Path, wanted: Wanted<'_>) -> Result<Self, VectorError> {
        let cannot = |source| VectorError::Read {
            path: path.to_owned(),
            source,
        };
        let refused = |reason: String| VectorError::File {
            path: path.to_owned(),
            reason,
        };
        let too_large = |needed: u64, available: u64| VectorError::Memory {
            path: path.to_owned(),
            needed: needed >> 20,
            available: available >> 20,
        };
        let mut bytes = open(path).map_err(cannot)?;
        let mut first = Vec::new();
        (&mut bytes)
            .take(1 << 20)
            .read_until(b'\n', &mut first)
            .map_err(cannot)?;
        let set = Set::of(&first).map_err(refused)?;
        let rows = match set.rows {
            Some(rows) => rows,
            None => guessed_rows(path, first.len()).map_err(cannot)?,
        };
        let row = 4 * set.dimensions as u64 + WORD_BYTES;
        let needed = (wanted.most().min(rows) as u64).saturating_mul(row);
        if let Some(available) = available_memory()
            && needed > available
        {
            return Err(too_large(needed, available));
        }
        let part = Part {
            dimensions: set.dimensions,
            rows: wanted.looked_at().min(set.rows.unwrap_or(usize::MAX)),
            wanted,
        };
        let vectors = match set.rows {
            Some(_) if is_binary(&mut bytes, set.dimensions).map_err(cannot)? => {
                binary(bytes, &part).map_err(cannot)?
            }
            rows => {
                // Without a header the first line is a word's.
                let first = if rows.is_some() { Vec::new() } else { first };
                let read = text::read(bytes, first, &part, available_memory);
                read.map_err(|stopped| match stopped {
                    Stopped::File(reason) => refused(reason),
                    Stopped::Memory(needed, available) => too_large(needed, available),
                })?
            }
        };
        if let Some(rows) = set.rows
            && vectors.read < part.rows
        {
            return Err(refused(format!(
                "it ends after {} of {rows} words",
                vectors.read
            )));
        }
        Ok(Self::new(vectors.words, vectors.values, set.dimensions))
    }
}

/// What is read of a file.
pub(super) struct Part<'a> {
    /// The length of a vector.
    pub dimensions: usize,
    /// The most words that are looked at.
    pub rows: usize,
    /// Which of them are kept.
    pub wanted: Wanted<'a>,
}

/// What was read.
#[derive(Default)]
pub(super) struct Parsed {
    /// Words looked at.
    pub read: usize,
    /// Those that were kept.
    pub words: Vec<String>,
    /// Their values, one word's after another's.
    pub values: Vec<f32>,
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

/// A file's bytes, unpacked. Sets are published in zip archives of one file too.
fn open(path: &Path) -> io::Result<Bytes> {
    if path.extension().is_some_and(|extension| extension == "zip") {
        return unzip::only_member(path);
    }
    Ok(input::open(path)?.0)
}

/// By the length of the first line; a file in a pipe counts as empty.
fn guessed_rows(path: &Path, first: usize) -> io::Result<usize> {
    let mut bytes = std::fs::metadata(path)?.len();
    if path.extension().is_some_and(|extension| {
        ["gz", "xz", "zip"]
            .iter()
            .any(|packed| extension == *packed)
    }) {
        bytes = bytes.saturating_mul(UNPACKED);
    }
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX) / first.max(1))
}

/// The first line ends in numbers as text, as many as there are dimensions, or the file holds anything else. Its word may have
/// spaces in it.
fn is_binary(bytes: &mut Bytes, dimensions: usize) -> io::Result<bool> {
    let ahead = bytes.fill_buf()?;
    let line = match memchr::memchr(b'\n', ahead) {
        Some(end) => &ahead[..end],
        // Of a line that is longer than what is ahead the last number is cut.
        None => &ahead[..memchr::memrchr(b' ', ahead).unwrap_or(ahead.len())],
    };
    let whole = line.len() < ahead.len() && ahead[line.len()] == b'\n';
    let numbers = line
        .trim_ascii_end()
        .rsplit(|byte| *byte == b' ')
        .take_while(|text| {
            let text = std::str::from_utf8(text).ok();
            text.is_some_and(|text| text.trim().parse::<f32>().is_ok())
        })
        .count();
    Ok(numbers < if whole { dimensions } else { 1 })
}

fn binary(mut bytes: Bytes, part: &Part<'_>) -> io::Result<Parsed> {
    let mut parsed = Parsed::default();
    let mut vector = vec![0; 4 * part.dimensions];
    let mut word = Vec::new();
    while parsed.read < part.rows {
        word.clear();
        if (&mut bytes).take(1 << 20).read_until(b' ', &mut word)? == 0 {
            break;
        }
        bytes.read_exact(&mut vector)?;
        parsed.read += 1;
        let word = word.strip_suffix(b" ").unwrap_or(&word);
        let word = String::from_utf8_lossy(word);
        let word = word.trim_start_matches('\n');
        if part.wanted.keeps(word) {
            parsed.words.push(word.to_owned());
            let (numbers, _) = vector.as_chunks::<4>();
            let numbers = numbers.iter().map(|number| f32::from_le_bytes(*number));
            parsed.values.extend(numbers);
        }
    }
    Ok(parsed)
}
