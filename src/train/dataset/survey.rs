//! What is in a data set, as the course looks at it before it trains: counts, lengths as pandas prints them, characters, words.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use super::Row;
use crate::sentiment::Label;
use crate::text::clean::clean;
use crate::text::tokenizer::Document;
use crate::text::{CleanRule, TextError, Tokenizer, TokenizerConfig};

/// Words that are listed.
const TOP: usize = 20;

/// Everything counted over rows.
#[derive(Debug)]
pub struct Survey {
    rules: Vec<CleanRule>,
    tokenizer: Tokenizer,
    /// Rows with a text.
    pub rows: u64,
    /// Rows whose text is empty.
    pub empty: u64,
    /// Rows whose text stood in a row before.
    pub duplicates: u64,
    labels: [u64; 2],
    ratings: BTreeMap<String, (f64, u64)>,
    /// Tokens of each row, after cleaning.
    pub lengths: Vec<usize>,
    characters: BTreeSet<char>,
    seen: HashSet<u64>,
}

impl Survey {
    /// Of rows cleaned and split so.
    pub fn new(rules: Vec<CleanRule>, config: TokenizerConfig) -> Self {
        Self {
            rules,
            tokenizer: Tokenizer::new(config),
            rows: 0,
            empty: 0,
            duplicates: 0,
            labels: [0, 0],
            ratings: BTreeMap::new(),
            lengths: Vec::new(),
            characters: BTreeSet::new(),
            seen: HashSet::new(),
        }
    }

    /// Counts rows.
    ///
    /// # Errors
    /// The tokenizer cannot split with an empty separator.
    pub fn add(&mut self, rows: &[Row]) -> Result<(), TextError> {
        let mut cleaned = Vec::with_capacity(rows.len());
        for row in rows {
            if row.text.trim().is_empty() {
                self.empty += 1;
                continue;
            }
            self.rows += 1;
            let hash = std::hash::BuildHasher::hash_one(&FixedHasher::default(), &row.text);
            self.duplicates += u64::from(!self.seen.insert(hash));
            match row.label {
                Some(Label::Positive) => self.labels[0] += 1,
                Some(Label::Negative) => self.labels[1] += 1,
                None => {}
            }
            if let Some(rating) = row.rating {
                self.ratings
                    .entry(rating.to_string())
                    .or_insert((rating, 0))
                    .1 += 1;
            }
            let text = clean(&self.rules, &row.text);
            self.characters.extend(text.chars());
            cleaned.push(text);
        }
        for text in &cleaned {
            self.lengths
                .push(self.tokenizer.tokens(Document::Text(text))?.len());
        }
        self.tokenizer
            .fit_on_texts(cleaned.iter().map(|text| Document::Text(text)))
    }
}

type FixedHasher = std::hash::BuildHasherDefault<std::collections::hash_map::DefaultHasher>;

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rows        {}", self.rows)?;
        writeln!(f, "duplicates  {}", self.duplicates)?;
        writeln!(f, "empty       {}", self.empty)?;
        writeln!(f, "positive    {}", self.labels[0])?;
        writeln!(f, "negative    {}", self.labels[1])?;
        if !self.ratings.is_empty() {
            writeln!(f, "\nratings")?;
            let mut ratings: Vec<_> = self.ratings.values().collect();
            ratings.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.total_cmp(&other.0)));
            for (rating, count) in ratings {
                writeln!(f, "{rating:<8} {count}")?;
            }
        }
        let unit = match self.tokenizer.config.char_level {
            true => "characters",
            false => "words",
        };
        writeln!(f, "\nlengths in {unit}\n{}", Described::of(&self.lengths))?;
        let characters: String = self.characters.iter().collect();
        writeln!(f, "{} characters: {characters:?}", self.characters.len())?;
        writeln!(
            f,
            "\n{} different {unit}, the most frequent",
            self.tokenizer.word_counts.len()
        )?;
        let mut counts: Vec<(&String, &u64)> = self.tokenizer.word_counts.iter().collect();
        // Equal counts keep the order in which they were first seen.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (word, count) in counts.into_iter().take(TOP) {
            writeln!(f, "{count:>9} {word}")?;
        }
        writeln!(f, "\nsplits      training  set apart")?;
        let rows = self.rows as f64;
        let (tail, random) = ((rows * 0.8).floor(), rows - (rows * 0.2).ceil());
        writeln!(f, "tail 20 %   {tail:>8}  {:>9}", rows - tail)?;
        writeln!(f, "random 20 % {random:>8}  {:>9}", rows - random)
    }
}

/// What pandas's `describe` says of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Described {
    /// How many.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, of a sample.
    pub std: f64,
    /// The least, the quartiles (between two numbers in proportion) and the largest.
    pub quartiles: [f64; 5],
}

impl Described {
    /// Of some lengths.
    pub fn of(lengths: &[usize]) -> Self {
        let mut sorted: Vec<f64> = lengths.iter().map(|&length| length as f64).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / count;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        let at = |share: f64| {
            let place = share * (count - 1.0);
            let below = place.floor();
            let get = |place: f64| sorted.get(place as usize).copied().unwrap_or(f64::NAN);
            get(below) + (get(place.ceil()) - get(below)) * (place - below)
        };
        Self {
            count,
            mean,
            std: (squares / (count - 1.0)).sqrt(),
            quartiles: [0.0, 0.25, 0.5, 0.75, 1.0].map(at),
        }
    }
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [min, first, median, third, max] = self.quartiles;
        let values = [
            self.count, self.mean, self.std, min, first, median, third, max,
        ];
        let mut shown = values.map(|value| match value.is_nan() {
            true => "NaN".to_owned(),
            false => format!("{value:.6}"),
        });
        // Zeros that all of them end in are left out, but for one.
        let ends_in_zero = |shown: &[String; 8]| {
            let mut numbers = shown.iter().filter(|number| *number != "NaN");
            numbers.all(|number| number.ends_with('0') && !number.ends_with(".0"))
        };
        while ends_in_zero(&shown) && shown.iter().any(|number| number != "NaN") {
            for number in shown.iter_mut().filter(|number| *number != "NaN") {
                number.pop();
            }
        }
        // Where a number is over a million and the digits are many, pandas writes all of them with exponents.
        let longest = |shown: &[String; 8]| shown.iter().map(String::len).max().unwrap_or(0);
        if values.iter().any(|value| *value > 1e6) && longest(&shown) > 11 {
            shown = values.map(|value| match value.is_nan() {
                true => "NaN".to_owned(),
                false => scientific(value),
            });
        }
        let width = longest(&shown);
        let names = ["count", "mean", "std", "min", "25%", "50%", "75%", "max"];
        for (name, value) in names.iter().zip(shown) {
            writeln!(f, "{name:<5}    {value:>width$}")?;
        }
        Ok(())
    }
}

/// As C and Python write it: the exponent has a sign and two digits.
fn scientific(value: f64) -> String {
    let shown = format!("{value:.6e}");
    let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn characters_are_those_that_cleaning_leaves() {
        let mut survey = Survey::new(vec![CleanRule::Korean], TokenizerConfig::default());
        let row = Row {
            number: 1,
            text: "좋아요 good!".to_owned(),
            label: None,
            rating: None,
            id: None,
            language: None,
        };
        survey.add(&[row]).unwrap();
        let expected: BTreeSet<char> = "좋아요 ".chars().collect();
        assert_eq!(survey.characters, expected);
    }

    #[test]
    fn lengths_over_a_million_are_described_as_pandas_does() {
        // pandas 3.1.1: pd.Series(lengths).describe().to_string()
        let expected = "count    3.000000e+00\nmean     6.666680e+05\nstd      1.154700e+06\nmin      1.000000e+00\n\
                        25%      1.500000e+00\n50%      2.000000e+00\n75%      1.000002e+06\nmax      2.000001e+06\n";
        assert_eq!(Described::of(&[1, 2, 2_000_001]).to_string(), expected);
        let expected = "count          4.00\nmean      500001.50\nstd       999999.00\nmin            1.00\n\
                        25%            1.75\n50%            2.50\n75%       500002.25\nmax      2000000.00\n";
        assert_eq!(Described::of(&[1, 2, 2_000_000, 3]).to_string(), expected);
        let many = [vec![3; 1_000_001], vec![5; 1_000_000]].concat();
        let expected = "count    2000001.0\nmean           4.0\nstd            1.0\nmin            3.0\n\
                        25%            3.0\n50%            3.0\n75%            5.0\nmax            5.0\n";
        assert_eq!(Described::of(&many).to_string(), expected);
    }

    #[test]
    fn lengths_are_described_as_pandas_does() {
        // pandas 2.3: print(pd.Series([3, 1, 4, 1, 5, 9, 2, 6]).describe().to_string())
        let expected = "count    8.000000\nmean     3.875000\nstd      2.748376\nmin      1.000000\n\
                        25%      1.750000\n50%      3.500000\n75%      5.250000\nmax      9.000000\n";
        assert_eq!(
            Described::of(&[3, 1, 4, 1, 5, 9, 2, 6]).to_string(),
            expected
        );
        // pd.Series([2, 4, 6]).describe()
        let expected = "count    3.0\nmean     4.0\nstd      2.0\nmin      2.0\n25%      3.0\n50%      4.0\n\
                        75%      5.0\nmax      6.0\n";
        assert_eq!(Described::of(&[2, 4, 6]).to_string(), expected);
    }
}
