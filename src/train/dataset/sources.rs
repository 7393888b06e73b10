//! Which path belongs to which of a recipe's sources.

use std::path::PathBuf;
use std::str::FromStr;

use super::{Columns, DataError};
use crate::recipe::{DataRecipe, SourceRecipe};

/// A path from the command line, `SOURCE=PATH` or `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataArg {
    /// The source that it is for; without one, sources take paths in order.
    pub source: Option<String>,
    /// A file or folder.
    pub path: PathBuf,
}

impl FromStr for DataArg {
    type Err = String;

    /// What stands before the first `=` is a source unless it holds `/` or `.`, so `./a=b.tsv` is a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (source, path) = match text.split_once('=') {
            Some((source, path)) if !source.contains(['/', '.']) => (Some(source), path),
            _ => (None, text),
        };
        if path.is_empty() || source.is_some_and(str::is_empty) {
            return Err("expected PATH or SOURCE=PATH".to_owned());
        }
        Ok(Self {
            source: source.map(str::to_owned),
            path: path.into(),
        })
    }
}

/// One source with its path.
#[derive(Debug, PartialEq)]
pub(super) struct Assigned {
    pub name: String,
    pub path: PathBuf,
    pub weight: f64,
    pub train_only: bool,
    pub columns: Columns,
}

/// Puts what the command line says of columns in the place of what the recipe says, in all sources.
pub fn override_columns(recipe: &mut DataRecipe, columns: &Columns) {
    for source in &mut recipe.source {
        if columns.text.is_some() {
            source.text.clone_from(&columns.text);
        }
        if columns.label.is_some() {
            source.label.clone_from(&columns.label);
        }
        if columns.label_above.is_some() {
            source.label_above = columns.label_above;
        }
    }
}

/// Whether these paths are what the recipe's sources need, without looking at them.
///
/// # Errors
/// A source has no path, or a path no source.
pub fn check_sources(recipe: &DataRecipe, inputs: &[DataArg]) -> Result<(), DataError> {
    assign(&recipe.source, inputs).map(drop)
}

/// Gives every source of the recipe its path: by name first, the rest in order.
pub(super) fn assign(
    sources: &[SourceRecipe],
    inputs: &[DataArg],
) -> Result<Vec<Assigned>, DataError> {
    let mut paths: Vec<Option<PathBuf>> = vec![None; sources.len()];
    for input in inputs {
        let Some(name) = &input.source else { continue };
        let Some(at) = sources.iter().position(|source| source.name == *name) else {
            return Err(DataError::Sources(format!(
                "--data {name}={}: the recipe has no source {name:?}, only {}",
                input.path.display(),
                names(sources)
            )));
        };
        if paths[at].replace(input.path.clone()).is_some() {
            let message = format!("--data gives source {name:?} twice");
            return Err(DataError::Sources(message));
        }
    }
    let mut free = paths.iter_mut().filter(|path| path.is_none());
    for input in inputs.iter().filter(|input| input.source.is_none()) {
        let Some(path) = free.next() else {
            return Err(DataError::Sources(format!(
                "--data {} is one too many: the recipe has {} sources, {}",
                input.path.display(),
                sources.len(),
                names(sources)
            )));
        };
        *path = Some(input.path.clone());
    }
    let missing: Vec<String> = sources
        .iter()
        .zip(&paths)
        .filter(|(_, path)| path.is_none())
        .map(|(source, _)| format!("--data {}=PATH", source.name))
        .collect();
    if !missing.is_empty() {
        let message = format!("the recipe also needs {}", missing.join(" and "));
        return Err(DataError::Sources(message));
    }
    if sources.is_empty() {
        let message = "the recipe has no [[data.source]]".to_owned();
        return Err(DataError::Sources(message));
    }
    Ok(sources
        .iter()
        .zip(paths.into_iter().flatten())
        .map(|(source, path)| Assigned {
            name: source.name.clone(),
            path,
            weight: source.weight,
            train_only: source.train_only,
            columns: Columns {
                text: source.text.clone(),
                label: source.label.clone(),
                label_above: source.label_above,
            },
        })
        .collect())
}

fn names(sources: &[SourceRecipe]) -> String {
    let names: Vec<String> = sources.iter().map(|s| format!("{:?}", s.name)).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arg(text: &str) -> DataArg {
        text.parse().expect("the test's argument is one")
    }

    fn sources(names: &[&str]) -> Vec<SourceRecipe> {
        let source = |name: &&str| SourceRecipe {
            name: (*name).to_owned(),
            label_above: None,
            weight: 1.0,
            train_only: false,
            text: None,
            label: None,
        };
        names.iter().map(source).collect()
    }

    #[test]
    fn an_argument_is_a_path_unless_a_source_stands_before_it() {
        assert_eq!(arg("a.tsv").source, None);
        assert_eq!(arg("shopping=a=b.tsv").source.as_deref(), Some("shopping"));
        assert_eq!(arg("shopping=a=b.tsv").path, PathBuf::from("a=b.tsv"));
        assert_eq!(arg("./a=b.tsv").path, PathBuf::from("./a=b.tsv"));
        assert!("shopping=".parse::<DataArg>().is_err());
        assert!("=a.tsv".parse::<DataArg>().is_err());
    }

    #[test]
    fn named_paths_find_their_source_and_the_others_fill_up_in_order() {
        let sources = sources(&["one", "two", "three"]);
        let found = assign(&sources, &[arg("a"), arg("two=b"), arg("c")]);
        let paths: Vec<PathBuf> = found
            .expect("all are given")
            .into_iter()
            .map(|s| s.path)
            .collect();
        assert_eq!(paths, ["a", "b", "c"].map(PathBuf::from));
    }

    #[test]
    fn missing_and_extra_paths_are_named() {
        let sources = sources(&["one", "two"]);
        let message = |inputs: &[DataArg]| {
            let error = assign(&sources, inputs).expect_err("they do not match");
            error.to_string()
        };
        assert!(message(&[arg("two=b")]).contains("--data one=PATH"));
        assert!(message(&[arg("a"), arg("b"), arg("c.tsv")]).contains("c.tsv"));
        assert!(message(&[arg("tow=b")]).contains("\"two\""));
        assert!(message(&[arg("one=a"), arg("one=b")]).contains("twice"));
    }
}
