//! Where the sentences of a text begin and end: Unicode's rules (UAX #29) and the little that reviews need on top.
//!
//! Unicode leaves to others what takes a dictionary or a reader: abbreviations, marks of lists, emoticons that stand after a
//! sentence, and an ellipsis as one character. A break of HTML is a break of a line here.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::clean::break_len;

/// Words that keep their full stop to themselves, in lower case and without it.
const ABBREVIATIONS: [&str; 22] = [
    "capt", "cf", "col", "dept", "dr", "e.g", "est", "etc", "gen", "gov", "i.e", "jr", "lt", "mr",
    "mrs", "ms", "prof", "rev", "sgt", "sr", "st", "vs",
];

/// Those that do so before a number.
const NUMBERED: [&str; 6] = ["fig", "no", "p", "pp", "ver", "vol"];

/// What may stand between the end of a sentence and the space behind it.
const CLOSING: [char; 12] = [
    '"', '\'', '”', '’', ')', ']', '»', '」', '』', '》', '〉', '】',
];

/// The sentences of a text, as bytes of it, without the white space around them. What stands between two of them is white
/// space or a break of HTML.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while from < text.len() {
        let (end, next) = line_end(text, from);
        of_line(&text[from..end], from, &mut found);
        from = next;
    }
    found
}

/// Where the next break of HTML begins and ends.
fn line_end(text: &str, from: usize) -> (usize, usize) {
    let tags = text[from..].match_indices('<').map(|(at, _)| from + at);
    let mut breaks = tags.filter_map(|at| Some((at, at + break_len(&text.as_bytes()[at..])?)));
    breaks.next().unwrap_or((text.len(), text.len()))
}

fn of_line(line: &str, offset: usize, found: &mut Vec<Range<usize>>) {
    let mut open: Option<Range<usize>> = None;
    let mut close = |piece: Range<usize>| {
        let words = &line[piece.clone()];
        let start = piece.start + words.len() - words.trim_start().len();
        let end = start + words.trim().len();
        if start < end {
            found.push(offset + start..offset + end);
        }
    };
    for (at, piece) in line.split_sentence_bound_indices() {
        let mut start = at;
        for end in ellipses(piece)
            .map(|end| at + end)
            .chain([at + piece.len()])
        {
            let next = start..end;
            open = Some(match open.take() {
                Some(before) if joins(&line[before.clone()], &line[next.clone()]) => {
                    before.start..next.end
                }
                before => {
                    if let Some(before) = before {
                        close(before);
                    }
                    next
                }
            });
            start = end;
        }
    }
    if let Some(last) = open {
        close(last);
    }
}

/// Where a sentence ends inside of one of Unicode's, with an ellipsis: behind what closes it and white space, where no small
/// letter goes on.
fn ellipses(piece: &str) -> impl Iterator<Item = usize> {
    let ends = piece.match_indices('…').map(|(at, mark)| at + mark.len());
    ends.filter_map(|at| {
        let rest = piece[at..].trim_start_matches(CLOSING);
        let next = rest.trim_start();
        let begins = |c: char| c.is_alphanumeric() && !c.is_lowercase() || "\"'“‘(「『".contains(c);
        next.starts_with(begins).then_some(piece.len() - next.len())
    })
}

/// Whether what looks like two sentences is one.
fn joins(before: &str, next: &str) -> bool {
    if before.ends_with([
        '\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}',
    ]) {
        return false;
    }
    let (before, next) = (before.trim(), next.trim());
    // An emoticon or a quotation mark belongs to what stands before it.
    if !next.contains(char::is_alphanumeric) {
        return true;
    }
    if before.ends_with(CLOSING) && next.starts_with(char::is_lowercase) {
        return true;
    }
    let Some(stem) = before.strip_suffix('.') else {
        return false;
    };
    let starts = |c: char| c.is_whitespace() || matches!(c, '(' | '"' | '\'' | '“' | '‘' | '[');
    let word = stem.rsplit(starts).next().unwrap_or(stem);
    // The mark of a list, before which nothing stands.
    let mark = word.len() == stem.len() && (1..=3).contains(&word.len());
    if mark && word.bytes().all(|b| b.is_ascii_digit()) {
        return true;
    }
    let initial = word.len() == 1 && word != "I" && word.starts_with(char::is_uppercase);
    let word = word.to_lowercase();
    initial
        || ABBREVIATIONS.contains(&word.as_str())
        || next.starts_with(|c: char| c.is_ascii_digit()) && NUMBERED.contains(&word.as_str())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::super::made_up;
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn sentences_end_where_a_reader_sees_their_end() {
        for (text, expected) in [
            ("Good. Bad! Ugly?", &["Good.", "Bad!", "Ugly?"][..]),
            ("  Good!!!  Bad?!  ", &["Good!!!", "Bad?!"]),
            ("no end", &["no end"]),
            (
                "배송이 빨라요. 그런데 별로예요!",
                &["배송이 빨라요.", "그런데 별로예요!"],
            ),
            ("좋아요.정말 좋아요", &["좋아요.", "정말 좋아요"]),
            ("최고예요。別로？네", &["최고예요。", "別로？", "네"]),
            ("그냥… 그래요… 네", &["그냥…", "그래요…", "네"]),
            ("음... 좋아요", &["음...", "좋아요"]),
            ("첫 줄\n둘째 줄\r\n셋째", &["첫 줄", "둘째 줄", "셋째"]),
            (
                "Good<br /><br>Bad <BR/> <b>ugly</b>",
                &["Good", "Bad", "<b>ugly</b>"],
            ),
            (
                "최고예요! 👍👍 또 살게요.",
                &["최고예요!", "👍👍 또 살게요."],
            ),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_only_looks_like_an_end_is_none() {
        for text in [
            "Mr. Smith and Dr. No met J. R. Ewing at St. Mary's.",
            "It cost 3.5 or 1,000.50 won in ver. 2.",
            "별점 4.5점 드려요",
            "See example.com or e.g. Amazon (vs. eBay).",
            "\"Really?\" he said, and left.",
            "I was… not amused.",
            "좋아요 :-) !!",
            "He said \"Stop.\"",
        ] {
            assert_eq!(split(text), [text], "{text:?}");
        }
    }

    #[test]
    fn quotes_marks_and_emoticons_go_with_their_sentence() {
        for (text, expected) in [
            (
                "He said \"Stop.\" Then he left.",
                &["He said \"Stop.\"", "Then he left."][..],
            ),
            (
                "“좋아요!” 라고 했다. 끝",
                &["“좋아요!”", "라고 했다.", "끝"],
            ),
            ("Great. ^^ Bad.", &["Great.", "^^ Bad."]),
            ("Again? No. Never.", &["Again?", "No.", "Never."]),
            ("1. Good. 2. Bad.", &["1. Good.", "2. Bad."]),
            ("So do I. Great!", &["So do I.", "Great!"]),
            ("Good!\n***\nBad!", &["Good!", "***", "Bad!"]),
        ] {
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    #[test]
    fn nothing_but_white_space_and_breaks_is_left_between_sentences() {
        assert!(split("").is_empty() && split(" \n<br />\n ").is_empty());
        let alphabet = [
            "a", "B", ".", "…", "!", " ", "\n", "<br>", "가", "。", "\"", "1", "😀", "<",
        ];
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for _ in 0..2_000 {
            let text = made_up::text(&mut random, &alphabet, 12);
            let mut between = String::new();
            let mut end = 0;
            for sentence in sentences(&text) {
                assert!(
                    sentence.start >= end && sentence.end > sentence.start,
                    "{text:?}"
                );
                between += &text[end..sentence.start];
                end = sentence.end;
            }
            between += &text[end..];
            assert!(
                between.replace("<br>", "").trim().is_empty(),
                "{text:?}: {between:?}"
            );
        }
    }
}
