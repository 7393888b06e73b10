//! Vectors written as text: a word and its numbers on a line. While one block is being parsed the next is read.

use std::io::{self, BufRead, Read as _};

use rayon::prelude::*;

use super::read::{Parsed, Part, Wanted};
use crate::train::dataset::input::{Bytes, MAX_LINE_BYTES};

/// What is read at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// Why reading stopped.
pub(super) enum Stopped {
    /// The file is no set, or cannot be read.
    File(String),
    /// There was no room for the rows that were read so far: bytes needed, and bytes left.
    Memory(u64, u64),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::File(error.to_string())
    }
}

/// Reads to the end or as many words as the part has; `first` is what was read already. `room` says how many bytes are left:
/// what a compressed file unpacks to is known only as it comes.
pub(super) fn read(
    mut bytes: Bytes,
    first: Vec<u8>,
    part: &Part<'_>,
    room: impl Fn() -> Option<u64>,
) -> Result<Parsed, Stopped> {
    let mut all = Parsed::default();
    let mut block = first;
    fill(&mut bytes, &mut block)?;
    while !block.is_empty() && all.read < part.rows {
        // Growing by half at least, a list is copied while it is kept.
        let held = all.values.capacity() as u64 * size_of::<f32>() as u64;
        let needed = held + 4 * BLOCK_BYTES as u64;
        if let Some(room) = room().filter(|room| needed > *room) {
            return Err(Stopped::Memory(held + needed, room));
        }
        let parse = || parse(&block, part);
        let read = || -> io::Result<Vec<u8>> {
            let mut next = Vec::with_capacity(BLOCK_BYTES + 4096);
            fill(&mut bytes, &mut next)?;
            Ok(next)
        };
        let (parsed, next) = rayon::join(parse, read);
        for parsed in parsed {
            let more = parsed
                .map_err(|reason| Stopped::File(format!("behind word {}: {reason}", all.read)))?;
            all.read += more.read;
            all.words.extend(more.words);
            all.values.extend(more.values);
        }
        block = next?;
    }
    if let Wanted::First(_) = part.wanted {
        // Blocks end where they end.
        all.words.truncate(part.rows);
        all.values.truncate(all.words.len() * part.dimensions);
    }
    Ok(all)
}

/// Fills a block to a line's end.
fn fill(bytes: &mut Bytes, block: &mut Vec<u8>) -> io::Result<()> {
    bytes.take(BLOCK_BYTES as u64).read_to_end(block)?;
    if !block.is_empty() && block.last() != Some(&b'\n') {
        let most = MAX_LINE_BYTES as u64;
        bytes.take(most).read_until(b'\n', block)?;
        if block.last() != Some(&b'\n') && !bytes.fill_buf()?.is_empty() {
            return Err(io::Error::other(format!(
                "a line is longer than {} MB",
                most >> 20
            )));
        }
    }
    Ok(())
}

/// In parts of whole lines, in order.
fn parse(block: &[u8], part: &Part<'_>) -> Vec<Result<Parsed, String>> {
    let size = (block.len() / (4 * rayon::current_num_threads())).max(64 << 10);
    let mut parts = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let at = size.min(rest.len()) - 1;
        let end = memchr::memchr(b'\n', &rest[at..]).map_or(rest.len(), |line| at + line + 1);
        let (lines, after) = rest.split_at(end);
        parts.push(lines);
        rest = after;
    }
    parts
        .into_par_iter()
        .map(|some| lines(some, part))
        .collect()
}

fn lines(block: &[u8], part: &Part<'_>) -> Result<Parsed, String> {
    let dimensions = part.dimensions;
    let mut parsed = Parsed::default();
    for line in block.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            continue;
        }
        // A word may have spaces in it, so numbers are counted from the end.
        let mut starts = memchr::memrchr_iter(b' ', line);
        let Some(space) = starts.nth(dimensions - 1) else {
            let word = String::from_utf8_lossy(&line[..line.len().min(40)]);
            return Err(format!("{word:?} has fewer than {dimensions} numbers"));
        };
        parsed.read += 1;
        let word = String::from_utf8_lossy(&line[..space]);
        if !part.wanted.keeps(&word) {
            continue;
        }
        for number in line[space + 1..].split(|byte| *byte == b' ') {
            let value = std::str::from_utf8(number)
                .ok()
                .and_then(|text| text.parse::<f32>().ok());
            parsed
                .values
                .push(value.ok_or_else(|| {
                    format!("{:?} is no number", String::from_utf8_lossy(number))
                })?);
        }
        parsed.words.push(word.into_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_when_the_memory_that_is_left_is_too_little() {
        let part = Part {
            dimensions: 2,
            rows: usize::MAX,
            wanted: Wanted::First(usize::MAX),
        };
        let attempt = |room: Option<u64>| {
            let bytes: Bytes = Box::new(&b"a 1 2\nb 3 4\n"[..]);
            read(bytes, Vec::new(), &part, || room)
        };
        assert!(matches!(
            attempt(Some(1 << 20)),
            Err(Stopped::Memory(_, 1_048_576))
        ));
        assert!(matches!(attempt(Some(1 << 40)), Ok(Parsed { read: 2, .. })));
        assert!(attempt(None).is_ok());
    }
}
