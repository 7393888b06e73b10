//! Labelled sentences composed from templates, for what reviews hardly show: short texts, and words that turn others round.
//!
//! Templates with lexicons, as in CheckList (Ribeiro et al. 2020, arXiv:2005.04118), but to learn from:
//!
//! ```text
//! # slots: a name, and what may stand there; the same name again goes on
//! good: good | great | moving
//! not:  is not | was never
//! # templates of both labels, the last drawn three times as often
//! + the film is {very?} {good}
//! very: really | so very
//! -3 the film {not} {good}
//! ```
//!
//! `{name?}` is left out half the time, `{은/는}` is the particle that the letter before it asks for: the first behind a final
//! consonant, the second behind a vowel. Spaces are joined to one, and go before a mark that ends a sentence.

use std::collections::{BTreeMap, HashSet};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::sentiment::Label;

/// Draws in a row that may give nothing new before there is said to be nothing more.
const PATIENCE: usize = 10_000;

/// Slots in slots in slots.
const DEPTH: usize = 50;

/// Bytes of a sentence.
const LONGEST: usize = 10_000;

/// Why a file of templates composes nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplatesError {
    /// A line is none of what a line may be.
    #[error("line {line}: {reason}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A slot stands in itself, or in too many others.
    #[error("slot {0:?} stands in itself, or in more than {DEPTH} others")]
    Deep(String),
    /// No template of a label.
    #[error("there is no {} template", .0.as_str())]
    Missing(Label),
    /// Slots double a sentence too often.
    #[error("a sentence has more than {LONGEST} bytes: {0}...")]
    Long(String),
    /// Fewer sentences than are asked for.
    #[error("these templates have no {wanted} different {} sentences, only about {found}", .label.as_str())]
    Few {
        /// The label.
        label: Label,
        /// How many were found.
        found: usize,
        /// How many are wanted.
        wanted: usize,
    },
}

/// Templates and what may stand in their slots.
#[derive(Debug)]
pub struct Templates {
    names: Vec<String>,
    slots: Vec<Vec<Template>>,
    /// One that is drawn three times as often stands there three times.
    positive: Vec<Template>,
    negative: Vec<Template>,
}

type Template = Vec<Piece>;

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Slot {
        at: usize,
        optional: bool,
    },
    /// Behind a final consonant, and behind a vowel.
    Particle([String; 2]),
}

impl Templates {
    /// Reads a file of templates.
    ///
    /// # Errors
    /// A line cannot be read, names a slot that there is none of, a slot stands in itself, or a label has no template.
    pub fn parse(text: &str) -> Result<Self, TemplatesError> {
        let lines = || {
            let lines = text.lines().map(str::trim).zip(1..);
            lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        };
        let mut places = BTreeMap::new();
        for name in lines().filter_map(|(line, _)| slot(line)).map(|it| it.0) {
            let next = places.len();
            places.entry(name).or_insert(next);
        }
        let mut found = Self {
            names: vec![String::new(); places.len()],
            slots: vec![Vec::new(); places.len()],
            positive: Vec::new(),
            negative: Vec::new(),
        };
        for (name, at) in &places {
            (*name).clone_into(&mut found.names[*at]);
        }
        for (text, line) in lines() {
            let at = |reason| TemplatesError::Line { line, reason };
            if let Some((name, choices)) = slot(text) {
                for choice in choices.split('|') {
                    found.slots[places[name]].push(pieces(choice, &places).map_err(at)?);
                }
                continue;
            }
            let (label, rest) = match text.split_at_checked(1) {
                Some(("+", rest)) => (&mut found.positive, rest),
                Some(("-", rest)) => (&mut found.negative, rest),
                _ => {
                    let reason = "expected NAME: CHOICE | CHOICE, or a template behind + or -";
                    return Err(at(reason.to_owned()));
                }
            };
            let (times, template) = rest
                .split_once(char::is_whitespace)
                .ok_or_else(|| at("the template is empty".to_owned()))?;
            let times = match times {
                "" => 1,
                times => times
                    .parse()
                    .ok()
                    .filter(|times| (1..=1000).contains(times))
                    .ok_or_else(|| at(format!("{times:?} is no number from 1 to 1000")))?,
            };
            let template = pieces(template, &places).map_err(at)?;
            label.extend(std::iter::repeat_n(template, times));
        }
        for (label, templates) in [
            (Label::Positive, &found.positive),
            (Label::Negative, &found.negative),
        ] {
            if templates.is_empty() {
                return Err(TemplatesError::Missing(label));
            }
        }
        found.check_depth()?;
        Ok(found)
    }

    /// Without following each of the ways from a slot to another, of which there may be very many.
    fn check_depth(&self) -> Result<(), TemplatesError> {
        // How deep a slot is, as far as is known: each pass may find some one deeper.
        let mut depths = vec![0; self.slots.len()];
        loop {
            let mut still = true;
            for (at, choices) in self.slots.iter().enumerate() {
                let inside = choices.iter().flatten().filter_map(|piece| match piece {
                    Piece::Slot { at, .. } => Some(depths[*at] + 1),
                    _ => None,
                });
                let depth = inside.max().unwrap_or(0);
                if depth > DEPTH {
                    return Err(TemplatesError::Deep(self.names[at].clone()));
                }
                still &= depth == depths[at];
                depths[at] = depth;
            }
            if still {
                return Ok(());
            }
        }
    }

    /// `count` different sentences, positive and negative in turn, the same for the same seed.
    ///
    /// # Errors
    /// There are no so many, or one is far too long.
    pub fn compose(&self, count: usize, seed: u64) -> Result<Vec<(Label, String)>, TemplatesError> {
        let mut noise = ChaCha8Rng::seed_from_u64(seed);
        let mut seen = HashSet::new();
        let mut composed = Vec::new();
        for at in 0..count {
            let (label, templates) = match at % 2 {
                0 => (Label::Positive, &self.positive),
                _ => (Label::Negative, &self.negative),
            };
            let mut draws = 0;
            let sentence = loop {
                let sentence = self.sentence(
                    &templates[noise.random_range(..templates.len())],
                    &mut noise,
                )?;
                if !sentence.is_empty() && seen.insert(sentence.clone()) {
                    break sentence;
                }
                draws += 1;
                if draws == PATIENCE {
                    return Err(TemplatesError::Few {
                        label,
                        found: at / 2,
                        wanted: (count + 1 - at % 2) / 2,
                    });
                }
            };
            composed.push((label, sentence));
        }
        Ok(composed)
    }

    fn sentence(
        &self,
        template: &Template,
        noise: &mut ChaCha8Rng,
    ) -> Result<String, TemplatesError> {
        let mut drawn = String::new();
        self.write(template, noise, &mut drawn)?;
        let mut sentence = String::with_capacity(drawn.len());
        for word in drawn.split_whitespace() {
            if !sentence.is_empty() && !word.starts_with(['.', ',', '!', '?']) {
                sentence.push(' ');
            }
            sentence.push_str(word);
        }
        Ok(sentence)
    }

    fn write(
        &self,
        template: &Template,
        noise: &mut ChaCha8Rng,
        to: &mut String,
    ) -> Result<(), TemplatesError> {
        for piece in template {
            match piece {
                Piece::Text(text) => to.push_str(text),
                Piece::Particle([closed, open]) => to.push_str(match ends_closed(to) {
                    true => closed,
                    false => open,
                }),
                Piece::Slot { at, optional } => {
                    let choices = &self.slots[*at];
                    if !optional || noise.random_bool(0.5) {
                        self.write(&choices[noise.random_range(..choices.len())], noise, to)?;
                    }
                }
            }
            if to.len() > LONGEST {
                return Err(TemplatesError::Long(to.chars().take(40).collect()));
            }
        }
        Ok(())
    }
}

/// A slot's name, and what may stand in it.
fn slot(line: &str) -> Option<(&str, &str)> {
    let (name, choices) = line.split_once(':')?;
    let letters = |name: &str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    (!name.is_empty() && letters(name)).then_some((name, choices))
}

/// A template, or a choice of a slot, cut at its slots.
fn pieces(text: &str, places: &BTreeMap<&str, usize>) -> Result<Template, String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim();
    while let Some((before, behind)) = rest.split_once('{') {
        let (inside, after) = behind
            .split_once('}')
            .ok_or_else(|| format!("{{{behind} is not closed"))?;
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(match inside.split_once('/') {
            Some((closed, open)) => Piece::Particle([closed.to_owned(), open.to_owned()]),
            None => {
                let name = inside.strip_suffix('?').unwrap_or(inside);
                let at = places.get(name);
                Piece::Slot {
                    at: *at.ok_or_else(|| format!("there is no slot {name:?}"))?,
                    optional: name.len() < inside.len(),
                }
            }
        });
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

/// Whether the last letter is a Hangul syllable with a final consonant.
fn ends_closed(text: &str) -> bool {
    let last = text.trim_end().chars().next_back().map_or(0, u32::from);
    (0xAC00..=0xD7A3).contains(&last) && !(last - 0xAC00).is_multiple_of(28)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATES: &str = "# films\n\
        good: good | great\n\
        it: this {film} | it\n\
        film: film | movie\n\
        good: moving\n\
        + {it} is {really?} {good}{end}\n\
        really: really | very\n\
        end: . | ! |\n\
        -3 {it} is not {good}\n\
        - nothing is {good} here .\n";

    fn composed(text: &str, count: usize) -> Result<Vec<(Label, String)>, TemplatesError> {
        Templates::parse(text)?.compose(count, 7)
    }

    #[test]
    fn sentences_are_of_the_templates_and_no_two_the_same() {
        let found = composed(TEMPLATES, 24).expect("the templates compose");
        assert_eq!(
            found,
            composed(TEMPLATES, 24).expect("the templates compose")
        );
        let labels = found.iter().map(|(label, _)| *label);
        assert_eq!(labels.filter(|it| *it == Label::Positive).count(), 12);
        let of = |label: Label| -> HashSet<&str> {
            let own = found.iter().filter(|it| it.0 == label);
            own.map(|it| &*it.1).collect()
        };
        // All there are: three ways to say it, three words.
        let all: HashSet<String> = ["this film", "this movie", "it"]
            .iter()
            .flat_map(|it| ["good", "great", "moving"].map(|good| format!("{it} is not {good}")))
            .chain(["good", "great", "moving"].map(|good| format!("nothing is {good} here.")))
            .collect();
        assert_eq!(of(Label::Negative), all.iter().map(|it| &**it).collect());
        for sentence in of(Label::Positive) {
            assert!(
                sentence.starts_with("this ") || sentence.starts_with("it is "),
                "{sentence}"
            );
            assert!(
                !sentence.contains("  ") && !sentence.contains(" ."),
                "{sentence}"
            );
        }
    }

    #[test]
    fn one_that_is_drawn_three_times_as_often_is() {
        let text = "n: a | b | c | d | e | f | g | h | i | j\nw: {n}{n}{n}{n}\n+ x\n-3 not {w}\n- no {w}\n+ {w}";
        let found = composed(text, 8_000).expect("the templates compose");
        let often = found.iter().filter(|it| it.1.starts_with("not")).count();
        assert!((2_850..3_150).contains(&often), "{often}");
    }

    #[test]
    fn a_particle_goes_by_the_letter_before_it() {
        let found = composed("t: 영화 | 내용 | DVD\n+ {t}{은/는} {t}{이/가}\n- x", 2);
        assert!(found.is_ok());
        let templates =
            Templates::parse("t: 영화\nu: 내용 \n+ {t}{은/는} {u}{이/가}\n- DVD{을/를}")
                .expect("the templates compose");
        let sentences = templates.compose(2, 1).expect("the templates compose");
        assert_eq!(sentences[0].1, "영화는 내용이");
        assert_eq!(sentences[1].1, "DVD를");
    }

    #[test]
    fn what_composes_nothing_is_refused_by_line_and_name() {
        let deep: String = (0..60)
            .map(|at| format!("{0}: {{{0}a}}\n", "a".repeat(at + 1)))
            .chain([format!("{}: end\n+ {{a}}\n- x", "a".repeat(61))])
            .collect();
        for (text, error) in [
            ("+ a\n- {b}", "line 2: there is no slot \"b\""),
            ("+ a {b\n- b", "line 1: {b is not closed"),
            (
                "+ a\n\nwhat\n",
                "line 3: expected NAME: CHOICE | CHOICE, or a template behind + or -",
            ),
            ("+\n", "line 1: the template is empty"),
            ("+0 a\n", "line 1: \"0\" is no number from 1 to 1000"),
            ("-x a\n", "line 1: \"x\" is no number from 1 to 1000"),
            (
                "é",
                "line 1: expected NAME: CHOICE | CHOICE, or a template behind + or -",
            ),
            ("- a", "there is no positive template"),
            ("", "there is no positive template"),
            (
                "a: {b}\nb: {a}\n+ {a}\n- x",
                "slot \"a\" stands in itself, or in more than 50 others",
            ),
            (
                &deep,
                "slot \"a\" stands in itself, or in more than 50 others",
            ),
        ] {
            let found = Templates::parse(text)
                .map(drop)
                .expect_err("it is refused")
                .to_string();
            assert_eq!(found, error, "{text}");
        }
        let few = composed(TEMPLATES, 30)
            .expect_err("it is refused")
            .to_string();
        assert_eq!(
            few,
            "these templates have no 15 different negative sentences, only about 12"
        );
        let doubled: String = ('a'..='y')
            .zip('b'..='z')
            .map(|(a, b)| format!("{a}: {{{b}}}{{{b}}}\n"))
            .chain(["z: word\n+ {a}\n- x".to_owned()])
            .collect();
        let long = composed(&doubled, 1)
            .expect_err("it is refused")
            .to_string();
        assert!(
            long.starts_with("a sentence has more than 10000 bytes: wordword"),
            "{long}"
        );
    }
}
