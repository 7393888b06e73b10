//! Zip archives with one set of vectors in them, streamed: `wiki-news-300d-1M.vec.zip` and its like.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use crate::train::dataset::input::{Bytes, without_mark};

const BUFFER_BYTES: usize = 256 << 10;

/// The unpacked bytes of the one file in an archive.
///
/// # Errors
/// It is no zip archive, holds none or several files, or one that is packed in another way than zip programs do.
pub(super) fn only_member(path: &Path) -> io::Result<Bytes> {
    let mut archive =
        ZipArchive::new(BufReader::new(File::open(path)?)).map_err(io::Error::other)?;
    let mut names = Vec::new();
    for name in archive.file_names() {
        let name = name.map_err(io::Error::other)?;
        if !name.ends_with('/') {
            names.push(name.into_owned());
        }
    }
    let [name] = &names[..] else {
        return Err(io::Error::other(format!(
            "the archive holds {} files, where one is read: unpack the one that is meant",
            names.len()
        )));
    };
    let member = archive.by_name(name).map_err(io::Error::other)?;
    let from = member
        .data_start()
        .ok_or_else(|| io::Error::other(format!("{name} has no place in the archive")))?;
    let packed = Section {
        file: File::open(path)?,
        range: from..from.saturating_add(member.compressed_size()),
    };
    let packed = BufReader::with_capacity(BUFFER_BYTES, packed);
    without_mark(match member.compression() {
        CompressionMethod::Stored => Box::new(packed),
        CompressionMethod::Deflated => Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            DeflateDecoder::new(packed),
        )),
        other => {
            return Err(io::Error::other(format!(
                "{name} is packed by {other}: unpack it first"
            )));
        }
    })
}

/// A part of a file, which outlives the archive that knows where it lies.
struct Section {
    file: File,
    range: Range<u64>,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.range.end - self.range.start).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..most], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}
