//! `str.lower` of Python 3.11, which is Unicode 14's.
//!
//! Rust's tables are newer. What was unassigned in Unicode 14 has no lower case there and ends a word, so text is cut at
//! such characters and the pieces are lower-cased by themselves. Two characters changed their class since, which matters
//! only beside a capital sigma, and others stand in for them there: U+0295 had case, U+1171E was a non-spacing mark.

/// Characters that came after Unicode 14 and that Rust maps, or counts as part of a word when it looks for its end.
const LATER: [(u32, u32); 48] = [
    (0x897, 0x897),
    (0xece, 0xece),
    (0x1acf, 0x1add),
    (0x1ae0, 0x1aeb),
    (0x1c89, 0x1c8a),
    (0xa7cb, 0xa7cf),
    (0xa7d2, 0xa7d2),
    (0xa7d4, 0xa7d4),
    (0xa7da, 0xa7dc),
    (0xa7f1, 0xa7f1),
    (0x10d4e, 0x10d4e),
    (0x10d50, 0x10d65),
    (0x10d69, 0x10d6d),
    (0x10d6f, 0x10d85),
    (0x10ec5, 0x10ec5),
    (0x10efa, 0x10eff),
    (0x11241, 0x11241),
    (0x113bb, 0x113c0),
    (0x113ce, 0x113ce),
    (0x113d0, 0x113d0),
    (0x113d2, 0x113d2),
    (0x113e1, 0x113e2),
    (0x11b60, 0x11b60),
    (0x11b62, 0x11b64),
    (0x11b66, 0x11b66),
    (0x11dd9, 0x11dd9),
    (0x11f00, 0x11f01),
    (0x11f36, 0x11f3a),
    (0x11f40, 0x11f40),
    (0x11f42, 0x11f42),
    (0x11f5a, 0x11f5a),
    (0x13439, 0x13440),
    (0x13447, 0x13455),
    (0x1611e, 0x16129),
    (0x1612d, 0x1612f),
    (0x16d40, 0x16d42),
    (0x16d6b, 0x16d6c),
    (0x16ea0, 0x16eb8),
    (0x16ebb, 0x16ed3),
    (0x16ff2, 0x16ff3),
    (0x1df25, 0x1df2a),
    (0x1e030, 0x1e06d),
    (0x1e08f, 0x1e08f),
    (0x1e4eb, 0x1e4ef),
    (0x1e5ee, 0x1e5ef),
    (0x1e6e3, 0x1e6e3),
    (0x1e6e6, 0x1e6e6),
    (0x1e6ee, 0x1e6ff),
];

/// A letter that had case, and is its own lower case.
const CASED: char = '\u{295}';

/// A mark that words go on across.
const MARK: char = '\u{1171e}';

/// The lower case of `text`, as Python 3.11's `str.lower` has it.
pub fn lower(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    lower_into(text, &mut out);
    out
}

/// Appends the lower case of `text`.
pub fn lower_into(text: &str, out: &mut String) {
    if text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        out[start..].make_ascii_lowercase();
        return;
    }
    if text.contains('Σ') {
        // Whether a sigma ends its word is for the whole piece to say.
        if text.contains(MARK)
            && let Some(stand_in) = ('\u{308}'..='\u{344}').find(|mark| !text.contains(*mark))
        {
            let lowered = lower(&text.replace(MARK, stand_in.encode_utf8(&mut [0; 4])));
            out.push_str(&lowered.replace(stand_in, MARK.encode_utf8(&mut [0; 4])));
            return;
        }
        let mut before = None;
        for piece in text.split_inclusive(|c| c == CASED || is_later(c)) {
            let mut inner = piece.chars();
            let end = inner.next_back().filter(|c| *c == CASED || is_later(*c));
            let inner = if end.is_some() { inner.as_str() } else { piece };
            let cased = |end: Option<char>| if end == Some(CASED) { "a" } else { "" };
            let lowered = [cased(before), inner, cased(end)].concat().to_lowercase();
            out.push_str(&lowered[cased(before).len()..lowered.len() - cased(end).len()]);
            out.extend(end);
            before = end;
        }
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|b| !b.is_ascii());
        let (run, odd) = rest.split_at(ascii.unwrap_or(rest.len()));
        let start = out.len();
        out.push_str(run);
        out[start..].make_ascii_lowercase();
        let mut odd = odd.chars();
        match odd.next() {
            None => {}
            Some(c @ ('ᄀ'..='ᇿ' | '\u{3131}'..='\u{318e}' | '가'..='힣')) => out.push(c),
            Some(c) if is_later(c) => out.push(c),
            Some(c) => out.extend(c.to_lowercase()),
        }
        rest = odd.as_str();
    }
}

fn is_later(c: char) -> bool {
    let code = u32::from(c);
    let at = LATER.partition_point(|(_, last)| *last < code);
    LATER.get(at).is_some_and(|(first, _)| *first <= code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_characters_are_in_order() {
        assert!(LATER.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }

    #[test]
    fn a_sigma_ends_its_word_before_a_character_that_python_does_not_know() {
        assert_eq!(lower("ΑΣ\u{1e030}Α"), "ας\u{1e030}α");
        assert_eq!(lower("ΑΣΑ İ"), "ασα i\u{307}");
        assert_eq!(lower("ΑΣ\u{295} Σ\u{295}Σ"), "ασ\u{295} σ\u{295}ς");
        assert_eq!(lower("Α\u{1171e}Σ"), "α\u{1171e}ς");
    }
}
