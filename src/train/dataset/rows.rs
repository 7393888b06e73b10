//! Rows one after another from any format, in bounded memory.
//!
//! A row that is not usable is an error of that row and reading goes on; what cannot be read any further ends the rows.

use std::path::{Path, PathBuf};

use super::columns::Columns;
use super::comma::CommaReader;
use super::error::{Place, Trouble};
use super::folder::Files;
use super::input::{self, Bytes, Line, Lines, Meter};
use super::json::JsonReader;
use super::tab::TabReader;
use super::{DataError, Format};
use crate::sentiment::Label;

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The line on which it begins, or the number of the file in its folder, from 1.
    pub number: u64,
    /// The text as it stands, which may be empty.
    pub text: String,
    /// The label, where labels are wanted.
    pub label: Option<Label>,
    /// The label's cell, where that is a number.
    pub rating: Option<f64>,
    /// Its id, where it has one.
    pub id: Option<serde_json::Value>,
    /// Its language, where it says one.
    pub language: Option<String>,
}

/// How rows are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The columns.
    pub columns: Columns,
    /// Whether every row must have a label.
    pub labels: bool,
}

/// The rows of one file or folder.
pub struct Rows {
    path: PathBuf,
    reading: Reading,
    source: Source,
    meter: Option<Meter>,
    ended: bool,
}

enum Source {
    Lines(Lines),
    Tab(TabReader),
    Comma(Box<CommaReader>),
    Json(JsonReader),
    Folder(Files, u64),
}

impl Rows {
    /// Opens a file or folder whose name says what it holds.
    ///
    /// # Errors
    /// It cannot be opened, or it is nothing that can be read.
    pub fn open(path: &Path, reading: Reading) -> Result<Self, DataError> {
        Self::open_as(path, Format::of(path)?, reading)
    }

    /// Opens a file or folder that holds this.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open_as(path: &Path, format: Format, reading: Reading) -> Result<Self, DataError> {
        if format == Format::Folder {
            let source = Source::Folder(Files::list(path, reading.labels)?, 0);
            return Ok(Self::new(path, source, reading));
        }
        let (bytes, meter) = input::open(path).map_err(|e| Trouble::Read(e).in_file(path))?;
        let mut rows = Self::over(bytes, path, format, reading)?;
        rows.meter = Some(meter);
        Ok(rows)
    }

    /// Over bytes from anywhere, already decompressed; `path` names them in errors.
    ///
    /// # Errors
    /// The format cannot be read from bytes, or has no labels where they are wanted.
    pub fn over(
        bytes: Bytes,
        path: &Path,
        format: Format,
        reading: Reading,
    ) -> Result<Self, DataError> {
        let refused = |reason: &str| DataError::File {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let source = match format {
            Format::Folder => return Err(refused("it is not a folder")),
            Format::Lines if reading.labels => {
                return Err(refused(
                    "plain lines have no labels: expected .tsv, .csv, .jsonl or a folder",
                ));
            }
            Format::Lines => Source::Lines(Lines::new(bytes)),
            Format::Tsv => Source::Tab(TabReader::new(bytes)),
            Format::Csv => Source::Comma(Box::new(CommaReader::new(bytes))),
            Format::Jsonl => Source::Json(JsonReader::new(bytes)),
        };
        Ok(Self::new(path, source, reading))
    }

    fn new(path: &Path, source: Source, reading: Reading) -> Self {
        Self {
            path: path.to_owned(),
            reading,
            source,
            meter: None,
            ended: false,
        }
    }

    /// The share of the input that is read, where it has an end that is known.
    pub fn share(&self) -> Option<f64> {
        match &self.source {
            Source::Folder(files, number) => {
                Some(*number as f64 / (*number as usize + files.len()).max(1) as f64)
            }
            _ => self.meter.as_ref()?.share(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = match &mut self.source {
            Source::Lines(lines) => next_line(lines),
            Source::Tab(reader) => reader.next_row(&self.reading),
            Source::Comma(reader) => reader.next_row(&self.reading),
            Source::Json(reader) => reader.next_row(&self.reading),
            Source::Folder(files, number) => return next_file(files, number),
        };
        self.ended = !matches!(read, Ok(Some(_)) | Err(Trouble::Row(_)));
        read.map_err(|trouble| trouble.in_file(&self.path))
            .transpose()
    }
}

fn next_line(lines: &mut Lines) -> Result<Option<Row>, Trouble> {
    let Some(line) = next_text(lines)? else {
        return Ok(None);
    };
    Ok(Some(Row {
        text: line.to_owned(),
        number: lines.number(),
        label: None,
        rating: None,
        id: None,
        language: None,
    }))
}

/// The next line as text.
pub(super) fn next_text(lines: &mut Lines) -> Result<Option<&str>, Trouble> {
    let number = lines.number() + 1;
    let line = match lines.next_line()? {
        None => return Ok(None),
        Some(Line::TooLong) => {
            let most = input::MAX_LINE_BYTES >> 20;
            let reason = format!("the line is longer than {most} MiB");
            return Err(Trouble::Row(Place::new(number, "1", reason)));
        }
        Some(Line::Whole(line)) => line,
    };
    match std::str::from_utf8(line) {
        Ok(line) => Ok(Some(line)),
        Err(error) => {
            let before = &line[..error.valid_up_to()];
            let column = 1 + memchr::memchr_iter(b'\t', before).count();
            let reason = not_utf8(error);
            Err(Trouble::Row(Place::new(number, column.to_string(), reason)))
        }
    }
}

/// What is said of bytes that are no text.
pub(super) fn not_utf8(error: std::str::Utf8Error) -> String {
    format!("not UTF-8 from byte {} on", error.valid_up_to() + 1)
}

fn next_file(files: &mut Files, number: &mut u64) -> Option<Result<Row, DataError>> {
    let (path, label) = files.next()?;
    *number += 1;
    let read = match std::fs::read(&path) {
        Err(error) => Err(Trouble::Read(error)),
        Ok(bytes) => String::from_utf8(bytes).map_err(|error| {
            let reason = not_utf8(error.utf8_error());
            Trouble::Row(Place::new(1, "1", reason))
        }),
    };
    Some(match read {
        Err(trouble) => Err(trouble.in_file(&path)),
        Ok(text) => Ok(Row {
            number: *number,
            text: match text.strip_prefix('\u{feff}') {
                Some(rest) => rest.to_owned(),
                None => text,
            },
            label,
            rating: None,
            id: None,
            language: None,
        }),
    })
}
