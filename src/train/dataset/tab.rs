//! TSV: fields between tabs, never quoted, comments on lines that start with `#`.
//!
//! Without a header a row is `rating<TAB>review`, or the review alone where no label is wanted; tabs in the review stay.

use super::columns::{self, Places};
use super::error::{Place, Trouble};
use super::input::{Bytes, Lines};
use super::label;
use super::rows::{Reading, Row, next_text};

/// The rows of a TSV.
pub(super) struct TabReader {
    lines: Lines,
    header: Header,
}

enum Header {
    /// Nothing is read yet.
    Unread,
    /// The columns and their names.
    Named(Places, Vec<String>),
    /// The first line is a row.
    Absent,
}

impl TabReader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            lines: Lines::new(bytes),
            header: Header::Unread,
        }
    }

    pub fn next_row(&mut self, reading: &Reading) -> Result<Option<Row>, Trouble> {
        loop {
            let number = self.lines.number() + 1;
            let Some(line) = next_text(&mut self.lines)? else {
                return Ok(None);
            };
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match &self.header {
                Header::Named(places, names) => {
                    return named_row(line, number, places, names, reading).map(Some);
                }
                Header::Absent => return bare_row(line, number, reading).map(Some),
                Header::Unread => {}
            }
            let names: Vec<&str> = line.split('\t').collect();
            if !reading.columns.named() && !columns::is_header(names.iter().copied()) {
                let row = bare_row(line, number, reading);
                self.header = Header::Absent;
                return row.map(Some);
            }
            let places = columns::find(&names, &reading.columns, reading.labels)
                .map_err(|(column, why)| Trouble::Header(Place::new(number, column, why)))?;
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            self.header = Header::Named(places, names);
        }
    }
}

fn bare_row(line: &str, number: u64, reading: &Reading) -> Result<Row, Trouble> {
    let at = |column: &str, reason: String| Trouble::Row(Place::new(number, column, reason));
    let (rating, text) = match line.split_once('\t') {
        Some((rating, text)) => (Some(rating), text),
        None if !reading.labels => (None, line),
        None => {
            let reason = "there is no tab: expected rating, tab, review".to_owned();
            return Err(at("2", reason));
        }
    };
    let label = match rating {
        Some(rating) if reading.labels => Some(
            label::parse(rating, reading.columns.label_above).map_err(|reason| at("1", reason))?,
        ),
        _ => None,
    };
    Ok(Row {
        number,
        text: text.to_owned(),
        label,
        rating: rating.filter(|_| reading.labels).and_then(label::rating),
        id: None,
        language: None,
    })
}

fn named_row(
    line: &str,
    number: u64,
    places: &Places,
    names: &[String],
    reading: &Reading,
) -> Result<Row, Trouble> {
    let fields: Vec<&str> = line.split('\t').collect();
    if fields.len() != names.len() {
        let (found, due) = (fields.len(), names.len());
        let reason = format!("{found} fields where the header has {due}");
        let column = found.min(due) + usize::from(found > due);
        return Err(Trouble::Row(Place::new(number, column.to_string(), reason)));
    }
    let label = match places.label {
        Some(at) => {
            let label = label::parse(fields[at], reading.columns.label_above);
            Some(label.map_err(|why| Trouble::Row(Place::new(number, &*names[at], why)))?)
        }
        None => None,
    };
    let cell = |at: Option<usize>| at.map(|at| fields[at]).filter(|cell| !cell.is_empty());
    Ok(Row {
        number,
        text: fields[places.text].to_owned(),
        label,
        rating: places.label.and_then(|at| label::rating(fields[at])),
        id: cell(places.id).map(Into::into),
        language: cell(places.language).map(Into::into),
    })
}
