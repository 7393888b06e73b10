//! What a search tries: parameters with the values or the range that they take, all combinations of them or some drawn at
//! random. The same grid and seed give the same runs in the same order, and more runs begin with the fewer.

use std::str::FromStr;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Number, Value};

use super::parameter;

/// Parameters with the values of one run, as they were written.
pub type Settings = serde_json::Map<String, Value>;

/// More combinations than anyone means to train.
const MOST: usize = 10_000;

/// Draws in a row that give nothing new, after which there is nothing new.
const PATIENCE: usize = 1000;

/// Why there is nothing to search.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// Not `name=values`.
    #[error(
        "{0:?} is not a parameter with its values, such as lr=0.001,0.002 or lr=1e-4..1e-2:log"
    )]
    Form(String),
    /// An empty value.
    #[error("{0} has an empty value")]
    Empty(String),
    /// No range.
    #[error("{name}: {range:?} is not a range of numbers from low to high")]
    Range {
        /// The parameter.
        name: String,
        /// What was given.
        range: String,
    },
    /// One parameter, two axes.
    #[error("{0} is given twice")]
    Twice(String),
    /// A grid of a range.
    #[error("{0} is a range, which has no end of values: say with --random how many runs to draw")]
    Endless(String),
    /// A grid of thousands.
    #[error("the grid has more than {MOST} combinations: draw some with --random")]
    TooLarge,
}

/// One or more parameters: `lr=0.001,0.002`, `lr=1e-4..1e-2:log`, `lr=0.001,0.002,units=32,64`.
#[derive(Clone, Debug, PartialEq)]
pub struct Axes(Vec<Axis>);

#[derive(Clone, Debug, PartialEq)]
struct Axis {
    name: String,
    choice: Choice,
}

#[derive(Clone, Debug, PartialEq)]
enum Choice {
    List(Vec<Value>),
    Whole { low: i64, high: i64, log: bool },
    Real { low: f64, high: f64, log: bool },
}

/// All parameters of a search.
#[derive(Clone, Debug)]
pub struct Grid(Vec<Axis>);

impl FromStr for Axes {
    type Err = GridError;

    /// No value holds a `=`, so a piece with one begins the next parameter.
    fn from_str(text: &str) -> Result<Self, GridError> {
        let mut written: Vec<(&str, Vec<&str>)> = Vec::new();
        for piece in text.split(',') {
            match (piece.split_once('='), written.last_mut()) {
                (Some((name, first)), _) if !name.trim().is_empty() => {
                    written.push((name.trim(), vec![first.trim()]));
                }
                (None, Some((_, values))) => values.push(piece.trim()),
                _ => return Err(GridError::Form(text.to_owned())),
            }
        }
        let axes = written.into_iter().map(|(name, values)| {
            if values.iter().any(|value| value.is_empty()) {
                return Err(GridError::Empty(name.to_owned()));
            }
            let choice = match values[..] {
                [range] if range.contains("..") => choice(name, range)?,
                _ => Choice::List(values.into_iter().map(value).collect()),
            };
            let name = name.to_owned();
            Ok(Axis { name, choice })
        });
        Ok(Self(axes.collect::<Result<_, _>>()?))
    }
}

/// A number or truth value if it reads as one, else a name.
fn value(text: &str) -> Value {
    let number = || text.parse().ok().and_then(Number::from_f64);
    match text.parse::<i64>() {
        Ok(whole) => whole.into(),
        Err(_) => match (text.parse::<bool>(), number()) {
            (Ok(truth), _) => truth.into(),
            (_, Some(number)) => number.into(),
            _ => text.into(),
        },
    }
}

fn choice(name: &str, text: &str) -> Result<Choice, GridError> {
    let refused = || GridError::Range {
        name: name.to_owned(),
        range: text.to_owned(),
    };
    let (range, log) = match text.strip_suffix(":log") {
        Some(range) => (range, true),
        None => (text, false),
    };
    let (low, high) = range.split_once("..").ok_or_else(refused)?;
    if let (Ok(low), Ok(high)) = (low.parse(), high.parse())
        && low < high
        && (!log || low > 0)
    {
        return Ok(Choice::Whole { low, high, log });
    }
    match (low.parse::<f64>(), high.parse::<f64>()) {
        (Ok(low), Ok(high))
            if low < high && low.is_finite() && high.is_finite() && (!log || low > 0.0) =>
        {
            Ok(Choice::Real { low, high, log })
        }
        _ => Err(refused()),
    }
}

impl Grid {
    /// Puts the parameters of several arguments together.
    ///
    /// # Errors
    /// A parameter has two axes.
    pub fn new(arguments: impl IntoIterator<Item = Axes>) -> Result<Self, GridError> {
        let axes: Vec<Axis> = arguments.into_iter().flat_map(|axes| axes.0).collect();
        for (at, axis) in axes.iter().enumerate() {
            let path = parameter::path(&axis.name);
            if axes[..at]
                .iter()
                .any(|one| parameter::path(&one.name) == path)
            {
                return Err(GridError::Twice(axis.name.clone()));
            }
        }
        Ok(Self(axes))
    }

    /// Every combination, the last parameter changing fastest.
    ///
    /// # Errors
    /// There is no end of them, or no use.
    pub fn all(&self) -> Result<Vec<Settings>, GridError> {
        let mut found = vec![Settings::new()];
        for axis in &self.0 {
            let Choice::List(values) = &axis.choice else {
                return Err(GridError::Endless(axis.name.clone()));
            };
            if found.len() * values.len() > MOST {
                return Err(GridError::TooLarge);
            }
            let with = |settings: &Settings, value: &Value| {
                let mut settings = settings.clone();
                settings.insert(axis.name.clone(), value.clone());
                settings
            };
            found = found
                .iter()
                .flat_map(|settings| values.iter().map(move |value| with(settings, value)))
                .collect();
        }
        Ok(found)
    }

    /// So many different combinations drawn at random, or all that can be found.
    pub fn draw(&self, count: usize, seed: u64) -> Vec<Settings> {
        let mut noise = ChaCha8Rng::seed_from_u64(seed ^ 0x7365_6172_6368_2121);
        let mut found: Vec<Settings> = Vec::new();
        let mut repeated = 0;
        while found.len() < count && repeated < PATIENCE {
            let axes = self.0.iter();
            let settings: Settings = axes
                .map(|axis| (axis.name.clone(), axis.choice.draw(&mut noise)))
                .collect();
            if found.contains(&settings) {
                repeated += 1;
            } else {
                repeated = 0;
                found.push(settings);
            }
        }
        found
    }
}

impl Choice {
    fn draw(&self, noise: &mut ChaCha8Rng) -> Value {
        let between = |noise: &mut ChaCha8Rng, low: f64, high: f64, log: bool| {
            let share: f64 = noise.random();
            if log {
                (low.ln() + share * (high.ln() - low.ln())).exp()
            } else {
                low + share * (high - low)
            }
        };
        match *self {
            Self::List(ref values) => values[noise.random_range(0..values.len())].clone(),
            Self::Whole {
                low,
                high,
                log: false,
            } => noise.random_range(low..=high).into(),
            Self::Whole { low, high, log } => {
                let drawn = between(noise, low as f64, high as f64 + 1.0, log);
                (drawn.floor() as i64).clamp(low, high).into()
            }
            Self::Real { low, high, log } => {
                let drawn = between(noise, low, high, log);
                // Nobody wants to type, or read, more digits than these.
                let short: f64 = format!("{drawn:.3e}").parse().unwrap_or(drawn);
                short.clamp(low, high).into()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn grid(arguments: &[&str]) -> Result<Grid, GridError> {
        let axes = arguments.iter().map(|text| text.parse::<Axes>());
        Grid::new(axes.collect::<Result<Vec<_>, _>>()?)
    }

    #[test]
    fn one_argument_or_several_give_the_same_combinations_in_order() {
        let runs = grid(&["lr=0.001,2e-3,units=32,64"]).and_then(|grid| grid.all());
        let runs = runs.expect("it is a grid");
        let expected = [(0.001, 32), (0.001, 64), (0.002, 32), (0.002, 64)];
        let expected = expected.map(|(lr, units)| json!({"lr": lr, "units": units}));
        assert_eq!(
            runs.iter().cloned().map(Value::from).collect::<Vec<_>>(),
            expected
        );
        let apart = grid(&["lr=0.001,2e-3", "units=32,64"]).and_then(|grid| grid.all());
        assert_eq!(apart.expect("it is a grid"), runs);
    }

    #[test]
    fn what_is_no_grid_is_named() {
        for (arguments, said) in [
            (&["0.1,0.2"][..], "\"0.1,0.2\" is not a parameter"),
            (&["=1"], "\"=1\" is not a parameter"),
            (&["lr=0.1,,0.2"], "lr has an empty value"),
            (&["lr=2..1"], "lr: \"2..1\" is not a range"),
            (&["lr=0..1:log"], "lr: \"0..1:log\" is not a range"),
            (&["lr=1..inf"], "lr: \"1..inf\" is not a range"),
            (
                &["lr=1", "fit.learning_rate=2"],
                "fit.learning_rate is given twice",
            ),
            (&["layers[2].units=1", "layers.2.units=2"], "given twice"),
            (&["lr=1..2"], "lr is a range"),
        ] {
            match grid(arguments).and_then(|grid| grid.all()) {
                Err(error) => assert!(error.to_string().contains(said), "{error}"),
                Ok(runs) => panic!("{arguments:?} gave {runs:?}"),
            }
        }
    }

    #[test]
    fn draws_differ_lie_in_their_ranges_and_more_begin_with_the_fewer() {
        let grid = grid(&["lr=1e-4..1e-2:log", "units=8..512:log", "clipnorm=1,2"]);
        let grid = grid.expect("it is a grid");
        let drawn = grid.draw(400, 7);
        assert_eq!(drawn.len(), 400);
        assert_eq!(grid.draw(20, 7), drawn[..20]);
        assert_ne!(grid.draw(20, 8), drawn[..20]);
        let of = |name: &'static str| {
            drawn
                .iter()
                .map(move |run| run[name].as_f64().unwrap_or(f64::NAN))
        };
        assert!(of("lr").all(|lr| (1e-4..=1e-2).contains(&lr)));
        assert!(of("units").all(|units| (8.0..=512.0).contains(&units) && units.fract() == 0.0));
        // Half of a logarithmic range lies below the geometric mean.
        for (name, middle) in [("lr", 1e-3), ("units", 64.0)] {
            let below = of(name).filter(|value| *value < middle).count();
            assert!((160..240).contains(&below), "{name}: {below}");
        }
    }

    #[test]
    fn no_more_is_drawn_than_there_is() {
        let grid = grid(&["units=1..3", "lr=0.1,0.2"]).expect("it is a grid");
        assert_eq!(grid.draw(50, 1).len(), 6);
    }
}
