//! Vectors written as text: a word and its numbers on a line. While one block is being parsed the next is read.

use std::io::{self, BufRead, Read as _};

use rayon::prelude::*;

use super::read::{Parsed, Part, Wanted};
use crate::train::dataset::input::Bytes;

/// What is read at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// Reads to the end or as many words as the part has; `first` is what was read already.
pub(super) fn read(mut bytes: Bytes, first: Vec<u8>, part: &Part<'_>) -> Result<Parsed, String> {
    let mut all = Parsed::default();
    let mut block = first;
    fill(&mut bytes, &mut block).map_err(|error| error.to_string())?;
    while !block.is_empty() && all.read < part.rows {
        let parse = || parse(&block, part);
        let read = || -> io::Result<Vec<u8>> {
            let mut next = Vec::with_capacity(BLOCK_BYTES + 4096);
            fill(&mut bytes, &mut next)?;
            Ok(next)
        };
        let (parsed, next) = rayon::join(parse, read);
        for parsed in parsed {
            let more = parsed.map_err(|reason| format!("behind word {}: {reason}", all.read))?;
            all.read += more.read;
            all.words.extend(more.words);
            all.values.extend(more.values);
        }
        block = next.map_err(|error| error.to_string())?;
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
        bytes.read_until(b'\n', block)?;
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
