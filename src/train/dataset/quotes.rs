//! A quote that is opened in a CSV is closed again, soon.
//!
//! A CSV reader takes everything to the end of the file for one field where a quote is missing, and says nothing.

use std::io::{self, Read};

use super::input::MAX_LINE_BYTES;

/// Where in a record a byte is.
#[derive(Clone, Copy)]
enum State {
    /// Before a field's first byte.
    Start,
    /// In a field without quotes, or behind one with them.
    Bare,
    /// In quotes.
    Quoted,
    /// Behind a quote that closes, or is the first of two that stand for one.
    Closing,
}

/// Passes bytes on as they are, and fails where a quoted field is over [`MAX_LINE_BYTES`] or not closed at the end.
pub(super) struct Quotes<R> {
    bytes: R,
    state: State,
    line: u64,
    /// The line on which the last quote was opened, and the bytes since then.
    opened: (u64, usize),
}

impl<R> Quotes<R> {
    pub fn new(bytes: R) -> Self {
        Self {
            bytes,
            state: State::Start,
            line: 1,
            opened: (1, 0),
        }
    }

    fn take(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Start, b'"') => {
                self.opened = (self.line, 0);
                State::Quoted
            }
            (State::Quoted, b'"') => State::Closing,
            (State::Quoted, _) | (State::Closing, b'"') => {
                self.opened.1 += 1;
                State::Quoted
            }
            (_, b',' | b'\n' | b'\r') => State::Start,
            (State::Start | State::Bare | State::Closing, _) => State::Bare,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        for byte in &buffer[..read] {
            self.take(*byte);
        }
        let ended = read == 0 && !buffer.is_empty();
        let (line, long) = (self.opened.0, self.opened.1 > MAX_LINE_BYTES);
        if matches!(self.state, State::Quoted) && (ended || long) {
            let reason = format!("the quote that is opened on line {line} is not closed");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line of the quote that is open at the end, by this reader and as the csv crate sees it.
    fn open_at_end(text: &str) -> Option<String> {
        let mut out = Vec::new();
        let read = Quotes::new(text.as_bytes()).read_to_end(&mut out);
        if read.is_ok() {
            assert_eq!(out, text.as_bytes());
        }
        read.err().map(|error| error.to_string())
    }

    #[test]
    fn a_quote_that_is_not_closed_is_named_by_its_line() {
        for (text, line) in [
            ("a,\"b", 1),
            ("a,b\r\n\"c\nd\",\"e\n\n", 3),
            ("\"\"\"", 1),
            ("\"a\"\"", 1),
        ] {
            let error = open_at_end(text);
            let expected = format!("the quote that is opened on line {line} is not closed");
            assert_eq!(error.as_deref(), Some(&*expected), "{text:?}");
        }
    }

    #[test]
    fn closed_quotes_and_quotes_within_a_field_pass() {
        for text in [
            "",
            "\"\"",
            "5\" wide,x\n",
            "\"a\"\"b\"\n",
            "\"a\"b\"c\n",
            "\"a\nb\",\"c\"\r\n",
        ] {
            assert_eq!(open_at_end(text), None, "{text:?}");
        }
    }
}
