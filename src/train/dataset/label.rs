//! From a cell to a label: a rating above a threshold, or a word.

use crate::sentiment::Label;

const POSITIVE: [&str; 6] = ["pos", "positive", "1", "1.0", "true", "긍정"];
const NEGATIVE: [&str; 6] = ["neg", "negative", "0", "0.0", "false", "부정"];

/// Reads a label; with `label_above` the cell is a rating, without it a word or 0 and 1.
///
/// # Errors
/// It is neither, in words that can follow the place.
pub fn parse(cell: &str, label_above: Option<f64>) -> Result<Label, String> {
    let cell = cell.trim();
    let Some(above) = label_above else {
        let is = |words: [&str; 6]| words.iter().any(|word| cell.eq_ignore_ascii_case(word));
        return match (is(POSITIVE), is(NEGATIVE)) {
            (true, _) => Ok(Label::Positive),
            (_, true) => Ok(Label::Negative),
            _ if cell.parse::<f64>().is_ok() => Err(format!(
                "{cell:?} is a rating, and label_above does not say from where it is positive"
            )),
            _ => Err(format!(
                "{cell:?} is not a label (pos, neg, positive, negative, 1, 0, true, false, 긍정, 부정)"
            )),
        };
    };
    match cell.parse::<f64>() {
        Ok(rating) if rating.is_finite() => Ok(if rating > above {
            Label::Positive
        } else {
            Label::Negative
        }),
        _ => Err(format!("{cell:?} is not a rating")),
    }
}

/// A cell as a number, if it is one.
pub fn rating(cell: &str) -> Option<f64> {
    cell.trim()
        .parse()
        .ok()
        .filter(|rating: &f64| rating.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_is_positive_only_above_the_threshold() {
        assert_eq!(parse("4", Some(3.0)), Ok(Label::Positive));
        assert_eq!(parse(" 3 ", Some(3.0)), Ok(Label::Negative));
        assert_eq!(parse("3.5", Some(3.0)), Ok(Label::Positive));
        assert!(parse("NaN", Some(3.0)).is_err());
        assert!(parse("pos", Some(3.0)).is_err());
    }

    #[test]
    fn words_are_labels_where_no_threshold_is_given_and_ratings_are_not() {
        for word in ["pos", "Positive", "1", "TRUE", "긍정", " 1.0"] {
            assert_eq!(parse(word, None), Ok(Label::Positive), "{word}");
        }
        for word in ["NEG", "negative", "0", "false", "부정"] {
            assert_eq!(parse(word, None), Ok(Label::Negative), "{word}");
        }
        let message = parse("4", None).expect_err("a bare rating has no threshold");
        assert!(message.contains("label_above"), "{message}");
    }
}
