//! Bytes in: opening a file, undoing gzip or xz on the fly, a byte order mark taken off, lines of bounded length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

/// The longest line that is read; a longer one is an error of its row and is passed over without being kept.
pub const MAX_LINE_BYTES: usize = 16 << 20;

/// The most memory that an xz file may ask for; `xz -9` asks for 65 MiB.
const MAX_XZ_KIB: u32 = 256 << 10;

const BUFFER_BYTES: usize = 256 << 10;

/// Decompressed bytes.
pub type Bytes = Box<dyn BufRead + Send>;

/// How far a file is read, as it lies on the disk.
#[derive(Clone, Debug)]
pub struct Meter {
    read: Arc<AtomicU64>,
    total: u64,
}

impl Meter {
    /// The share that is read, unless the file is none that has a length.
    pub fn share(&self) -> Option<f64> {
        let read = self.read.load(Ordering::Relaxed);
        (self.total > 0).then(|| read as f64 / self.total as f64)
    }
}

struct Metered {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Metered {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Says what it means that an xz file has no more bytes.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            kind @ io::ErrorKind::UnexpectedEof => io::Error::new(kind, "incomplete xz stream"),
            _ => error,
        })
    }
}

/// Opens a file, decompressed where its name ends in `.gz` or `.xz`.
///
/// # Errors
/// It cannot be opened or its first bytes cannot be read.
pub fn open(path: &Path) -> io::Result<(Bytes, Meter)> {
    let file = File::open(path)?;
    let total = file.metadata()?.len();
    let read = Arc::new(AtomicU64::new(0));
    let meter = Meter {
        read: Arc::clone(&read),
        total,
    };
    let file = BufReader::with_capacity(BUFFER_BYTES, Metered { file, read });
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or("");
    let bytes = without_mark(match extension {
        "gz" => buffered(MultiGzDecoder::new(file)),
        "xz" => buffered(Whole(XzReader::new_mem_limit(file, true, MAX_XZ_KIB))),
        _ => Box::new(file),
    })?;
    Ok((bytes, meter))
}

fn buffered(reader: impl Read + Send + 'static) -> Bytes {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

/// Takes a UTF-8 byte order mark off the front.
///
/// # Errors
/// The first bytes cannot be read.
pub fn without_mark(mut bytes: Bytes) -> io::Result<Bytes> {
    let mut head = Vec::with_capacity(3);
    bytes.by_ref().take(3).read_to_end(&mut head)?;
    if head == *b"\xEF\xBB\xBF" {
        return Ok(bytes);
    }
    Ok(Box::new(Cursor::new(head).chain(bytes)))
}

/// Lines without their ends, `\n` or `\r\n`.
pub struct Lines {
    bytes: Bytes,
    number: u64,
    line: Vec<u8>,
}

/// What one line was.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Its bytes.
    Whole(&'a [u8]),
    /// It is over [`MAX_LINE_BYTES`] and was passed over.
    TooLong,
}

impl Lines {
    /// Over these bytes, from line 1.
    pub fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            number: 0,
            line: Vec::new(),
        }
    }

    /// The number of the last line given out, from 1.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The next line, or nothing at the end.
    ///
    /// # Errors
    /// The bytes cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let limit = MAX_LINE_BYTES as u64 + 2;
        let read = self
            .bytes
            .by_ref()
            .take(limit)
            .read_until(b'\n', &mut self.line)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        } else if read as u64 == limit {
            self.pass_line()?;
        }
        if self.line.len() > MAX_LINE_BYTES {
            return Ok(Some(Line::TooLong));
        }
        Ok(Some(Line::Whole(&self.line)))
    }

    fn pass_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.bytes.fill_buf()?;
            let (passed, ended) = match memchr::memchr(b'\n', buffer) {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.bytes.consume(passed);
            if ended {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static [u8]) -> Vec<Result<Vec<u8>, ()>> {
        let bytes = without_mark(Box::new(text)).expect("memory can be read");
        let mut lines = Lines::new(bytes);
        let mut found = Vec::new();
        while let Some(line) = lines.next_line().expect("memory can be read") {
            found.push(match line {
                Line::Whole(line) => Ok(line.to_vec()),
                Line::TooLong => Err(()),
            });
        }
        assert_eq!(lines.number(), found.len() as u64);
        found
    }

    #[test]
    fn marks_and_both_line_ends_are_taken_off() {
        let found = lines(b"\xEF\xBB\xBFone\r\ntwo\n\nlast");
        let expected: [&[u8]; 4] = [b"one", b"two", b"", b"last"];
        assert_eq!(found, expected.map(|line| Ok(line.to_vec())));
        assert_eq!(lines(b"a"), [Ok(b"a".to_vec())]);
        assert!(lines(b"").is_empty());
    }

    #[test]
    fn an_endless_line_is_passed_over_and_the_next_one_is_read() {
        let mut text = vec![b'x'; MAX_LINE_BYTES + 10];
        text.extend_from_slice(b"\nnext\n");
        let found = lines(text.leak());
        assert_eq!(found, [Err(()), Ok(b"next".to_vec())]);
    }
}
