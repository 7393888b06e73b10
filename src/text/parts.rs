//! The parts of a text, and a model's row without each of them: what it takes to see which parts move a score.
//!
//! A part is a token of a model that reads words, and what stands between white space for a model that reads characters; parts
//! that the model does not read, being cut off or unknown without a token to stand for them, are none. The way from a text to
//! its ids is that of `encoder`, walked slowly and with every character's place kept.

use std::ops::Range;

use super::Encoder;
use super::clean::break_len;
use super::encoder::rules;
use super::lower::lower;
use super::spec::{CleanRule, Moment, Side};
use super::vocabulary::CUT;

/// A text without one of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The part, as bytes of the text as it came.
    pub part: Range<usize>,
    /// The row without it, cut to `maxlen` and not padded.
    pub ids: Vec<i64>,
    /// Ids that stand for tokens in it.
    pub used: usize,
}

/// A character on its way into a model.
#[derive(Clone, Copy, Debug)]
struct Placed {
    c: char,
    /// What it came from, as bytes of the text.
    start: usize,
    end: usize,
}

/// A word, and the ids that it and what stands before it became.
#[derive(Clone, Debug)]
struct Word {
    bytes: Range<usize>,
    before: usize,
    ids: Range<usize>,
}

impl Encoder {
    /// The text without each of its parts, in their order; where there are more than `most`, neighbours are left out together.
    pub fn without_each_part(&self, text: &str, moment: Moment, most: usize) -> Vec<Rest> {
        let placed = self.placed(text, moment);
        let (ids, words) = self.words_of(&placed);
        let read = self.read_of(ids.len());
        let is_read = |word: &Word| {
            let overlap = word.ids.start.max(read.start)..word.ids.end.min(read.end);
            !overlap.is_empty()
        };
        let read: Vec<usize> = (0..words.len()).filter(|at| is_read(&words[*at])).collect();
        let groups = most.min(read.len());
        let bounds = |group: usize| group * read.len() / groups;
        (0..groups)
            .map(|group| {
                let (first, last) = (read[bounds(group)], read[bounds(group + 1) - 1]);
                // With what separates it from the word before; the first one with what separates it from the next.
                let gone = match first {
                    0 => {
                        let next = words.get(last + 1).map_or(ids.len(), |next| next.ids.start);
                        words[0].ids.start..next
                    }
                    _ => words[first].before..words[last].ids.end,
                };
                let (ids, used) = self.row_of(&ids[..gone.start], &ids[gone.end..]);
                Rest {
                    part: words[first].bytes.start..words[last].bytes.end,
                    ids,
                    used,
                }
            })
            .collect()
    }

    /// The characters that are taken apart into tokens.
    fn placed(&self, text: &str, moment: Moment) -> Vec<Placed> {
        let placed = |(start, c): (usize, char)| Placed {
            c,
            start,
            end: start + c.len_utf8(),
        };
        let mut characters: Vec<Placed> = text.char_indices().map(placed).collect();
        for rule in rules(self.spec(), moment) {
            match rule {
                CleanRule::Korean => {
                    characters.retain(|placed| super::clean::is_kept_by_korean(placed.c));
                }
                CleanRule::HtmlBreaks => characters = without_breaks(&characters),
            }
        }
        if !self.tokenizer().config.lower {
            return characters;
        }
        // As a whole, because a character's lower case may depend on its neighbours; how many characters it has does not.
        let whole: String = characters.iter().map(|placed| placed.c).collect();
        let from = characters.into_iter().flat_map(|placed| {
            let count = match placed.c {
                c if c.is_ascii() => 1,
                c => lower(c.encode_utf8(&mut [0; 4])).chars().count(),
            };
            std::iter::repeat_n(placed, count)
        });
        let lowered = lower(&whole);
        let lowered = lowered.chars().zip(from);
        lowered.map(|(c, placed)| Placed { c, ..placed }).collect()
    }

    /// All ids, without a start and not cut, and the words that they stand for.
    fn words_of(&self, characters: &[Placed]) -> (Vec<i64>, Vec<Word>) {
        let config = &self.tokenizer().config;
        let mut ends = config.split.chars();
        let ends = ends.next().filter(|_| ends.next().is_none());
        let separates = |placed: &Placed| match (config.char_level, ends) {
            (true, _) => placed.c.is_whitespace(),
            (false, Some(end)) => placed.c == end || config.filters.contains(placed.c),
            // What a longer separator takes apart is not looked into.
            (false, None) => false,
        };
        let (mut ids, mut words) = (Vec::new(), Vec::new());
        let append = |part: &[Placed], ids: &mut Vec<i64>| {
            let part: String = part.iter().map(|placed| placed.c).collect();
            let first = ids.len();
            self.append(&part, ids);
            match self.oov() {
                Some(oov) => ids[first..]
                    .iter_mut()
                    .filter(|id| **id == CUT)
                    .for_each(|id| *id = oov),
                None => ids.retain(|id| *id != CUT),
            }
        };
        let mut at = 0;
        while at < characters.len() {
            let rest = &characters[at..];
            let start = rest.iter().position(|placed| !separates(placed));
            let (gap, rest) = rest.split_at(start.unwrap_or(rest.len()));
            let end = rest.iter().position(separates).unwrap_or(rest.len());
            let word = &rest[..end];
            let before = ids.len();
            append(gap, &mut ids);
            let first = ids.len();
            append(word, &mut ids);
            if let (Some(from), Some(to)) = (word.first(), word.last()) {
                words.push(Word {
                    bytes: from.start..to.end,
                    before,
                    ids: first..ids.len(),
                });
            }
            at += gap.len() + word.len();
        }
        (ids, words)
    }

    /// Which of so many ids are in the row.
    fn read_of(&self, count: usize) -> Range<usize> {
        let padding = &self.spec().padding;
        let start = usize::from(self.start().is_some());
        let over = (count + start).saturating_sub(padding.maxlen);
        match padding.truncating {
            Side::Pre => over.saturating_sub(start)..count,
            Side::Post => 0..count - over.min(count),
        }
    }

    /// The row of these ids and those, and how many of them are in it.
    fn row_of(&self, before: &[i64], after: &[i64]) -> (Vec<i64>, usize) {
        let count = before.len() + after.len();
        let read = self.read_of(count);
        let padding = &self.spec().padding;
        let cut = count + usize::from(self.start().is_some()) > padding.maxlen;
        let start = self
            .start()
            .filter(|_| !cut || padding.truncating == Side::Post);
        let ids = before.iter().chain(after).skip(read.start).take(read.len());
        (start.into_iter().chain(ids.copied()).collect(), read.len())
    }
}

/// A break becomes a space that stands where it stood.
fn without_breaks(characters: &[Placed]) -> Vec<Placed> {
    let whole: String = characters.iter().map(|placed| placed.c).collect();
    let mut left = Vec::with_capacity(characters.len());
    let (mut at, mut byte) = (0, 0);
    while let Some(placed) = characters.get(at) {
        // A break is ASCII.
        match break_len(&whole.as_bytes()[byte..]).filter(|_| placed.c == '<') {
            Some(len) => {
                left.push(Placed {
                    c: ' ',
                    start: placed.start,
                    end: characters[at + len - 1].end,
                });
                (at, byte) = (at + len, byte + len);
            }
            None => {
                left.push(*placed);
                (at, byte) = (at + 1, byte + placed.c.len_utf8());
            }
        }
    }
    left
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::super::{
        EncoderSpec, Encoding, Level, PaddingSpec, TextSpec, TokenizerSpec, made_up,
    };
    use super::*;

    const SERVE: Moment = Moment::Serve;

    fn encoder(
        clean: &[CleanRule],
        tokenizer: TokenizerSpec,
        padding: PaddingSpec,
        text: &str,
    ) -> Encoder {
        let spec = EncoderSpec {
            text: TextSpec {
                clean: clean.to_vec(),
                ..TextSpec::default()
            },
            tokenizer,
            padding,
        };
        Encoder::fit(spec, [text]).unwrap()
    }

    fn padding(maxlen: usize, truncating: Side) -> PaddingSpec {
        PaddingSpec {
            maxlen,
            padding: Side::Pre,
            truncating,
            value: 0,
        }
    }

    fn words(truncating: Side, maxlen: usize) -> Encoder {
        let oov = TokenizerSpec {
            oov: Some("<oov>".to_owned()),
            ..TokenizerSpec::default()
        };
        let text = "good bad the a 좋아요 ας";
        encoder(
            &[CleanRule::HtmlBreaks],
            oov,
            padding(maxlen, truncating),
            text,
        )
    }

    fn characters() -> Encoder {
        let level = TokenizerSpec {
            level: Level::Char,
            ..TokenizerSpec::default()
        };
        let text = "배송이 빨라요 좋아 0";
        encoder(&[CleanRule::Korean], level, padding(100, Side::Pre), text)
    }

    fn reviews() -> Encoder {
        let imdb = TokenizerSpec {
            encoding: Encoding::Imdb,
            index_from: 3,
            start_char: Some(1),
            oov_char: Some(2),
            ..TokenizerSpec::default()
        };
        encoder(
            &[CleanRule::HtmlBreaks],
            imdb,
            padding(5, Side::Pre),
            "good bad the a",
        )
    }

    fn parts<'a>(encoder: &Encoder, text: &'a str, most: usize) -> Vec<&'a str> {
        let rests = encoder.without_each_part(text, SERVE, most);
        rests.into_iter().map(|rest| &text[rest.part]).collect()
    }

    #[test]
    fn nothing_left_out_is_the_row_that_the_fast_way_gives() {
        let alphabet = [
            "good", "BAD", "the", "좋아", "배송", " ", " ", ",", ".", "İ", "ΑΣ", "σ", "😀",
            "<br />", "<BR>", "<b>", "<", "0", "\n", "unheard",
        ];
        let encoders = [
            words(Side::Pre, 100),
            words(Side::Pre, 3),
            words(Side::Post, 3),
            characters(),
            reviews(),
        ];
        let mut random = ChaCha8Rng::seed_from_u64(7);
        for round in 0..2_000 {
            let text = made_up::text(&mut random, &alphabet, round % 14);
            for encoder in &encoders {
                let (ids, _) = encoder.words_of(&encoder.placed(&text, SERVE));
                let mut expected = Vec::new();
                let encoded = encoder.encode(&text, SERVE, &mut expected);
                assert_eq!(
                    encoder.row_of(&ids, &[]),
                    (expected, encoded.used),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn a_word_left_out_is_a_text_without_it() {
        let encoder = words(Side::Pre, 100);
        let text = "😀 Good,the좋아요 <br />bad!";
        let rests = encoder.without_each_part(text, SERVE, 64);
        assert_eq!(
            parts(&encoder, text, 64),
            ["😀", "Good", "the좋아요", "bad"]
        );
        for rest in rests {
            let without = [&text[..rest.part.start], &text[rest.part.end..]].concat();
            let mut ids = Vec::new();
            let encoded = encoder.encode(&without, SERVE, &mut ids);
            assert_eq!((rest.ids, rest.used), (ids, encoded.used), "{without}");
        }
    }

    #[test]
    fn characters_are_left_out_by_words_with_the_space_before_them() {
        let encoder = characters();
        let text = "<b>배송이</b> 빨라요!! 😀 좋아";
        assert_eq!(parts(&encoder, text, 64), ["배송이", "빨라요", "좋아"]);
        let rows = encoder.without_each_part(text, SERVE, 64);
        for (rest, without) in rows
            .iter()
            .zip(["빨라요  좋아", "배송이  좋아", "배송이 빨라요"])
        {
            let mut ids = Vec::new();
            encoder.encode(without, SERVE, &mut ids);
            assert_eq!(rest.ids, ids, "{without}");
        }
    }

    #[test]
    fn what_is_not_read_is_no_part_and_too_many_go_together() {
        let text = "good bad the a good bad the a";
        assert_eq!(parts(&words(Side::Pre, 3), text, 64), ["bad", "the", "a"]);
        assert_eq!(
            parts(&words(Side::Post, 3), text, 64),
            ["good", "bad", "the"]
        );
        let unknown = encoder(
            &[],
            TokenizerSpec::default(),
            padding(9, Side::Pre),
            "good bad",
        );
        assert_eq!(parts(&unknown, "good unheard bad", 64), ["good", "bad"]);
        let all = words(Side::Pre, 100);
        assert_eq!(
            parts(&all, text, 3),
            ["good bad", "the a good", "bad the a"]
        );
        assert!(parts(&all, " ", 64).is_empty() && parts(&all, "", 64).is_empty());
    }
}
