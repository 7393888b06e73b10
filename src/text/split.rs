//! `text_to_word_sequence`.

use super::error::TextError;
use super::lower::lower;

/// Keras's `text_to_word_sequence`: lower-cases, replaces every character of `filters` by `separator`, splits at
/// `separator` and drops what is empty.
///
/// # Errors
/// `ValueError` for an empty separator.
pub fn text_to_word_sequence(
    text: &str,
    filters: &str,
    lower_case: bool,
    separator: &str,
) -> Result<Vec<String>, TextError> {
    let splitter = Splitter::new(filters, separator)?;
    let mut words = Vec::new();
    let add = |word: &str| words.push(word.to_owned());
    if lower_case {
        splitter.each(&lower(text), add);
    } else {
        splitter.each(text, add);
    }
    Ok(words)
}

/// Where words end, made once for many texts.
#[derive(Debug)]
pub(super) struct Splitter<'a> {
    filters: &'a str,
    separator: &'a str,
    /// The separator, where one character ends a word.
    single: Option<char>,
    ascii: [bool; 128],
}

impl<'a> Splitter<'a> {
    pub(super) fn new(filters: &'a str, separator: &'a str) -> Result<Self, TextError> {
        let mut characters = separator.chars();
        let Some(first) = characters.next() else {
            return Err(TextError::Value("empty separator".into()));
        };
        let single = Some(first).filter(|_| characters.next().is_none());
        let mut ascii = [false; 128];
        for c in filters.chars().chain(single) {
            if let Some(place) = ascii.get_mut(c as usize) {
                *place = true;
            }
        }
        Ok(Self {
            filters,
            separator,
            single,
            ascii,
        })
    }

    /// Calls `found` with each word of a text that has its case already.
    pub(super) fn each(&self, text: &str, found: impl FnMut(&str)) {
        let words = |word: &&str| !word.is_empty();
        match self.single {
            Some(separator) => text
                .split(|c: char| match self.ascii.get(c as usize) {
                    Some(ends) => *ends,
                    None => c == separator || self.filters.contains(c),
                })
                .filter(words)
                .for_each(found),
            // What a filtered character leaves may be part of a separator with its neighbours.
            None => {
                let mut translated = String::with_capacity(text.len());
                for c in text.chars() {
                    if self.filters.contains(c) {
                        translated.push_str(self.separator);
                    } else {
                        translated.push(c);
                    }
                }
                translated
                    .split(self.separator)
                    .filter(words)
                    .for_each(found);
            }
        }
    }
}
