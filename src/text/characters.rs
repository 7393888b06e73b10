//! Characters to ids, one look-up for each character of the text as it stands.

use hashbrown::HashMap;

use super::lower::lower;
use super::vocabulary::CUT;

/// Stands for a character whose lower case is another number of characters, or depends on its neighbours.
const ODD: i64 = -2;

#[derive(Debug)]
pub(super) struct Characters {
    /// By code point, upper case with the id of its lower case where the tokenizer lower-cases.
    low: Vec<i64>,
    high: HashMap<char, i64>,
    lower: bool,
}

impl Characters {
    pub(super) fn new<'a>(lower_case: bool, tokens: impl Iterator<Item = (&'a str, i64)>) -> Self {
        let mut characters = Self {
            low: vec![CUT; 0x1_0000],
            high: HashMap::new(),
            lower: lower_case,
        };
        for (token, id) in tokens {
            if let Some(c) = only(token) {
                match characters.low.get_mut(c as usize) {
                    Some(place) => *place = id,
                    None => {
                        characters.high.insert(c, id);
                    }
                }
            }
        }
        if lower_case {
            let plain = characters.low.clone();
            for (c, place) in ('\0'..='\u{ffff}').map(|c| (c, lower(c.encode_utf8(&mut [0; 4])))) {
                characters.low[c as usize] = match only(&place) {
                    _ if c == 'Σ' => ODD,
                    Some(lowered) => plain[lowered as usize],
                    None => ODD,
                };
            }
        }
        characters
    }

    /// Appends each character's id or [`CUT`].
    pub(super) fn append(&self, text: &str, ids: &mut Vec<i64>) {
        let start = ids.len();
        let mut odd = false;
        ids.extend(text.chars().map(|c| match self.low.get(c as usize) {
            Some(id) => {
                odd |= *id == ODD;
                *id
            }
            None => self.far(c),
        }));
        if odd {
            // What is lower case already has its own id in the table.
            ids.truncate(start);
            self.append(&lower(text), ids);
        }
    }

    #[cold]
    fn far(&self, c: char) -> i64 {
        let id = |c: char| self.high.get(&c).copied().unwrap_or(CUT);
        if !self.lower {
            return id(c);
        }
        only(&lower(c.encode_utf8(&mut [0; 4]))).map_or(CUT, id)
    }
}

fn only(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}
