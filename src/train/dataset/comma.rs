//! CSV as RFC 4180 has it, always with a header.

use super::columns::{self, Places};
use super::error::{Place, Trouble};
use super::input::Bytes;
use super::label;
use super::quotes::Quotes;
use super::rows::{Reading, Row, not_utf8};

/// The rows of a CSV.
pub(super) struct CommaReader {
    reader: csv::Reader<Quotes<Bytes>>,
    header: Option<(Places, Vec<String>)>,
    record: csv::ByteRecord,
}

impl CommaReader {
    pub fn new(bytes: Bytes) -> Self {
        Self {
            reader: csv::ReaderBuilder::new()
                .has_headers(false)
                .flexible(true)
                .from_reader(Quotes::new(bytes)),
            header: None,
            record: csv::ByteRecord::new(),
        }
    }

    pub fn next_row(&mut self, reading: &Reading) -> Result<Option<Row>, Trouble> {
        if self.header.is_none() {
            let Some(number) = self.next_record()? else {
                return Ok(None);
            };
            let names: Vec<&str> = (0..self.record.len())
                .map(|at| cell(&self.record, at, number, &(at + 1).to_string()))
                .collect::<Result<_, _>>()
                .map_err(Trouble::Header)?;
            let places = columns::find(&names, &reading.columns, reading.labels)
                .map_err(|(column, why)| Trouble::Header(Place::new(number, column, why)))?;
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            self.header = Some((places, names));
        }
        let Some(number) = self.next_record()? else {
            return Ok(None);
        };
        let Some((places, names)) = &self.header else {
            return Ok(None);
        };
        row(&self.record, number, (places, names), reading)
            .map(Some)
            .map_err(Trouble::Row)
    }

    /// Reads one record and says the line on which it begins.
    fn next_record(&mut self) -> Result<Option<u64>, Trouble> {
        let more = self.reader.read_byte_record(&mut self.record);
        let more = more.map_err(|error| Trouble::Read(error.into()))?;
        let line = self.record.position().map_or(1, csv::Position::line);
        Ok(more.then_some(line))
    }
}

fn row(
    record: &csv::ByteRecord,
    number: u64,
    (places, names): (&Places, &[String]),
    reading: &Reading,
) -> Result<Row, Place> {
    let (found, due) = (record.len(), names.len());
    if found != due {
        let reason = format!("{found} fields where the header has {due}");
        let column = found.min(due) + usize::from(found > due);
        return Err(Place::new(number, column.to_string(), reason));
    }
    let at = |at: usize| cell(record, at, number, &names[at]);
    let optional = |place: Option<usize>| -> Result<Option<&str>, Place> {
        Ok(place.map(at).transpose()?.filter(|cell| !cell.is_empty()))
    };
    let label = match places.label {
        Some(place) => {
            let label = label::parse(at(place)?, reading.columns.label_above);
            Some(label.map_err(|why| Place::new(number, &*names[place], why))?)
        }
        None => None,
    };
    Ok(Row {
        number,
        text: at(places.text)?.to_owned(),
        label,
        rating: places
            .label
            .and_then(|place| label::rating(at(place).ok()?)),
        id: optional(places.id)?.map(Into::into),
        language: optional(places.language)?.map(Into::into),
    })
}

fn cell<'a>(
    record: &'a csv::ByteRecord,
    at: usize,
    number: u64,
    column: &str,
) -> Result<&'a str, Place> {
    std::str::from_utf8(&record[at]).map_err(|e| Place::new(number, column, not_utf8(e)))
}
