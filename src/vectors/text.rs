//! Vectors written as text: a word and its numbers on a line. While one block is being parsed the next is read.

use std::io::{self, BufRead, Read as _};

use rayon::prelude::*;

use crate::train::dataset::input::Bytes;

/// What is read at a time.
const BLOCK_BYTES: usize = 16 << 20;

/// Words and their values, one after another.
pub(super) type Parsed = (Vec<String>, Vec<f32>);

/// Reads to the end or to `limit` words; `first` is what was read already.
pub(super) fn read(
    mut bytes: Bytes,
    first: Vec<u8>,
    (dimensions, limit): (usize, usize),
) -> Result<Parsed, String> {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    let mut block = first;
    fill(&mut bytes, &mut block).map_err(|error| error.to_string())?;
    while !block.is_empty() && words.len() < limit {
        let parse = || parse(&block, dimensions);
        let read = || -> io::Result<Vec<u8>> {
            let mut next = Vec::with_capacity(BLOCK_BYTES + 4096);
            fill(&mut bytes, &mut next)?;
            Ok(next)
        };
        let (parsed, next) = rayon::join(parse, read);
        for part in parsed {
            let (more_words, more_values) =
                part.map_err(|reason| format!("behind word {}: {reason}", words.len()))?;
            words.extend(more_words);
            values.extend(more_values);
        }
        block = next.map_err(|error| error.to_string())?;
    }
    words.truncate(limit);
    values.truncate(words.len() * dimensions);
    Ok((words, values))
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
fn parse(block: &[u8], dimensions: usize) -> Vec<Result<Parsed, String>> {
    let size = (block.len() / (4 * rayon::current_num_threads())).max(64 << 10);
    let mut parts = Vec::new();
    let mut rest = block;
    while !rest.is_empty() {
        let at = size.min(rest.len()) - 1;
        let end = memchr::memchr(b'\n', &rest[at..]).map_or(rest.len(), |line| at + line + 1);
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    parts
        .into_par_iter()
        .map(|part| lines(part, dimensions))
        .collect()
}

fn lines(part: &[u8], dimensions: usize) -> Result<Parsed, String> {
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for line in part.split(|byte| *byte == b'\n') {
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
        for number in line[space + 1..].split(|byte| *byte == b' ') {
            let parsed = std::str::from_utf8(number)
                .ok()
                .and_then(|text| text.parse::<f32>().ok());
            values
                .push(parsed.ok_or_else(|| {
                    format!("{:?} is no number", String::from_utf8_lossy(number))
                })?);
        }
        words.push(String::from_utf8_lossy(&line[..space]).into_owned());
    }
    Ok((words, values))
}
