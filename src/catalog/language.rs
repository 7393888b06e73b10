//! The script that a text is written in, by its letters.

/// What most letters of a text are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// One letter in five or more: Korean text is full of Latin names.
    Hangul,
    /// Not Hangul, and half of the letters or more.
    Latin,
    /// Neither.
    Other,
}

impl Script {
    /// The script of a text; none where it has no letters.
    pub fn of(text: &str) -> Option<Self> {
        let (mut letters, mut hangul, mut latin) = (0usize, 0usize, 0usize);
        for c in text.chars() {
            if c.is_ascii() {
                let letter = usize::from(c.is_ascii_alphabetic());
                letters += letter;
                latin += letter;
            } else if ('\u{ac00}'..='\u{d7a3}').contains(&c) {
                // Nearly all of Korean text, and a slow path of the tables behind `is_alphabetic`.
                letters += 1;
                hangul += 1;
            } else if c.is_alphabetic() {
                letters += 1;
                hangul += usize::from(is_hangul(c));
                latin += usize::from(is_latin(c));
            }
        }
        if letters == 0 {
            None
        } else if hangul * 5 >= letters {
            Some(Self::Hangul)
        } else if latin * 2 >= letters {
            Some(Self::Latin)
        } else {
            Some(Self::Other)
        }
    }
}

/// Syllables and the letters they are made of, as keyboards, old texts and half-width sets write them.
fn is_hangul(c: char) -> bool {
    matches!(c,
        '\u{ac00}'..='\u{d7a3}'
        | '\u{3131}'..='\u{318e}'
        | '\u{1100}'..='\u{11ff}'
        | '\u{a960}'..='\u{a97c}'
        | '\u{d7b0}'..='\u{d7fb}'
        | '\u{ffa0}'..='\u{ffdc}')
}

/// The Latin blocks beyond ASCII.
fn is_latin(c: char) -> bool {
    matches!(c,
        '\u{aa}' | '\u{ba}'
        | '\u{c0}'..='\u{2af}'
        | '\u{1e00}'..='\u{1eff}'
        | '\u{2c60}'..='\u{2c7f}'
        | '\u{a722}'..='\u{a7ff}'
        | '\u{ab30}'..='\u{ab64}'
        | '\u{fb00}'..='\u{fb06}'
        | '\u{ff21}'..='\u{ff3a}'
        | '\u{ff41}'..='\u{ff5a}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_letter_in_five_makes_a_text_korean() {
        for (text, script) in [
            ("배송이 빨라요", Some(Script::Hangul)),
            ("ㅋㅋㅋ", Some(Script::Hangul)),
            ("iPho 짱", Some(Script::Hangul)),
            ("iPhon 짱", Some(Script::Latin)),
            ("It was good.", Some(Script::Latin)),
            ("Très bien, merci", Some(Script::Latin)),
            ("Хороший iPhone", Some(Script::Other)),
            ("とても良い", Some(Script::Other)),
            ("5/5 :-) 👍", None),
            ("", None),
        ] {
            assert_eq!(Script::of(text), script, "{text:?}");
        }
    }
}
