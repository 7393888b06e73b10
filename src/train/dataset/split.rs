//! Rows into training, validation and test: one shuffle of all, test set apart first, then validation. Sources that are only
//! learned from join at the end, so that the other splits do not change with them.

use super::shuffle::shuffle;
use super::{DataError, Dataset};
use crate::recipe::{DataRecipe, Split, SplitKind};
use crate::sentiment::Label;

/// Places in [`Dataset::examples`], in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splits {
    /// To learn from.
    pub train: Vec<usize>,
    /// To choose the epoch and the temperature by.
    pub validation: Vec<usize>,
    /// To score once.
    pub test: Vec<usize>,
}

/// Splits a data set as its recipe says.
///
/// # Errors
/// A split is empty or holds rows of one label only.
pub fn split(recipe: &DataRecipe, dataset: &Dataset) -> Result<Splits, DataError> {
    let only_taught = |row: &usize| {
        let source = dataset.sources.get(dataset.examples[*row].source);
        source.is_some_and(|source| source.train_only)
    };
    let (taught, mut train): (Vec<usize>, Vec<usize>) =
        (0..dataset.examples.len()).partition(only_taught);
    if let Some(seed) = recipe.shuffle_seed {
        shuffle(&mut train, seed);
    }
    let mut take = |split: &Option<Split>| match split {
        Some(split) => take(split, &mut train),
        None => Vec::new(),
    };
    let test = take(&recipe.test);
    let validation = take(&recipe.validation);
    train.extend(taught);
    let named = [
        ("test", &test, recipe.test.is_some()),
        ("validation", &validation, recipe.validation.is_some()),
        ("training", &train, true),
    ];
    for (name, rows, wanted) in named {
        if wanted {
            both_labels(name, rows, dataset)?;
        }
    }
    Ok(Splits {
        train,
        validation,
        test,
    })
}

/// Moves a split's rows out of `rows`; both keep their order.
fn take(split: &Split, rows: &mut Vec<usize>) -> Vec<usize> {
    let count = rows.len() as f64;
    match split.split {
        // Keras cuts at floor(n (1 - fraction)).
        SplitKind::Tail => rows.split_off((count * (1.0 - split.fraction)).floor() as usize),
        // scikit-learn's train_test_split takes ceil(n fraction).
        SplitKind::Random => {
            let taken = ((count * split.fraction).ceil() as usize).min(rows.len());
            let mut drawn: Vec<usize> = (0..rows.len()).collect();
            shuffle(&mut drawn, split.seed);
            let mut out = vec![false; rows.len()];
            for &at in &drawn[..taken] {
                out[at] = true;
            }
            let (mut kept, mut split_off) = (Vec::new(), Vec::new());
            for (&row, out) in rows.iter().zip(out) {
                if out { &mut split_off } else { &mut kept }.push(row);
            }
            *rows = kept;
            split_off
        }
    }
}

fn both_labels(name: &str, rows: &[usize], dataset: &Dataset) -> Result<(), DataError> {
    let positive = rows
        .iter()
        .filter(|&&row| dataset.examples[row].label == Label::Positive)
        .count();
    let only = match (positive, rows.len() - positive) {
        (0, 0) => return Err(DataError::Split(format!("the {name} set is empty"))),
        (0, _) => Label::Negative,
        (_, 0) => Label::Positive,
        _ => return Ok(()),
    };
    let others = dataset.examples.iter().filter(|it| it.label != only);
    if others.count() == 0 {
        return Err(DataError::Split(format!(
            "all {} reviews are {}: a model learns from both labels",
            dataset.examples.len(),
            only.as_str()
        )));
    }
    Err(DataError::Split(format!(
        "all {} rows of the {name} set are {}: set data.shuffle_seed, or split = \"random\", so that it holds both labels",
        rows.len(),
        only.as_str()
    )))
}
