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
    if separator.is_empty() {
        return Err(TextError::Value("empty separator".into()));
    }
    let text = if lower_case {
        lower(text)
    } else {
        text.to_owned()
    };
    let mut translated = String::with_capacity(text.len());
    for c in text.chars() {
        if filters.contains(c) {
            translated.push_str(separator);
        } else {
            translated.push(c);
        }
    }
    Ok(translated
        .split(separator)
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect())
}
