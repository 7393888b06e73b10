//! Which column or key is the text, the label, the id: named by the recipe or the command line, else found by its name.

/// Names that a text column goes by where none is given.
const TEXT: [&str; 7] = [
    "text", "review", "document", "sentence", "comment", "content", "body",
];
/// Names that a label column goes by where none is given.
const LABEL: [&str; 6] = ["label", "rating", "sentiment", "stars", "score", "polarity"];
const ID: [&str; 1] = ["id"];
const LANGUAGE: [&str; 1] = ["language"];

/// What the recipe or the command line says of columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    /// The text's column.
    pub text: Option<String>,
    /// The label's or the rating's column.
    pub label: Option<String>,
    /// A rating above this is positive.
    pub label_above: Option<f64>,
}

impl Columns {
    /// Whether a column is named, so that the file must have a header.
    pub fn named(&self) -> bool {
        self.text.is_some() || self.label.is_some()
    }
}

/// Where the columns of a header, or the keys of an object, are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The text's.
    pub text: usize,
    /// The label's, where labels are wanted.
    pub label: Option<usize>,
    /// The id's, where there is one.
    pub id: Option<usize>,
    /// The language's, where there is one.
    pub language: Option<usize>,
}

/// Whether a first line reads like a header.
pub fn is_header<'a>(cells: impl IntoIterator<Item = &'a str>) -> bool {
    cells.into_iter().any(|cell| matches(&TEXT, cell))
}

/// Finds the columns among names.
///
/// # Errors
/// The name of the column that is not there, and the reason.
pub fn find(
    names: &[&str],
    columns: &Columns,
    labels: bool,
) -> Result<Places, (&'static str, String)> {
    let text = pick(names, columns.text.as_deref(), &TEXT)
        .and_then(|at| at.ok_or_else(|| missing(names, &TEXT)))
        .map_err(|reason| ("text", reason))?;
    let label = if labels {
        let at = pick(names, columns.label.as_deref(), &LABEL)
            .and_then(|at| at.ok_or_else(|| missing(names, &LABEL)));
        Some(at.map_err(|reason| ("label", reason))?)
    } else {
        None
    };
    let optional = |known: &[&str]| pick(names, None, known).ok().flatten();
    Ok(Places {
        text,
        label,
        id: optional(&ID),
        language: optional(&LANGUAGE),
    })
}

fn pick(names: &[&str], given: Option<&str>, known: &[&str]) -> Result<Option<usize>, String> {
    let mut places = (0..names.len()).filter(|&at| match given {
        Some(given) => names[at].trim() == given,
        None => matches(known, names[at]),
    });
    match (places.next(), places.next(), given) {
        (None, _, Some(given)) => Err(format!("there is no {given:?} among {}", shown(names))),
        (Some(one), Some(other), _) => Err(format!(
            "both {:?} and {:?} could be it: name one",
            names[one], names[other]
        )),
        (found, ..) => Ok(found),
    }
}

fn missing(names: &[&str], known: &[&str]) -> String {
    format!(
        "none of {} is one of {}: name it",
        shown(names),
        known.join(", ")
    )
}

fn matches(known: &[&str], name: &str) -> bool {
    known.iter().any(|k| name.trim().eq_ignore_ascii_case(k))
}

fn shown(names: &[&str]) -> String {
    const MOST: usize = 12;
    let mut quoted: Vec<String> = names
        .iter()
        .take(MOST)
        .map(|name| format!("{:?}", name.chars().take(40).collect::<String>()))
        .collect();
    if names.len() > MOST {
        quoted.push("...".to_owned());
    }
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_names_are_found_in_any_case_and_given_ones_exactly() {
        let names = ["ID", "Document", "label"];
        let places = find(&names, &Columns::default(), true);
        let expected = Places {
            text: 1,
            label: Some(2),
            id: Some(0),
            language: None,
        };
        assert_eq!(places, Ok(expected));
        let given = Columns {
            text: Some("document".into()),
            ..Columns::default()
        };
        let (column, reason) = find(&names, &given, true).expect_err("the case differs");
        assert_eq!(column, "text");
        assert!(reason.contains("\"document\""), "{reason}");
    }

    #[test]
    fn two_candidates_are_an_error_until_one_is_named() {
        let names = ["text", "review", "stars"];
        assert!(find(&names, &Columns::default(), false).is_err());
        let given = Columns {
            text: Some("review".into()),
            ..Columns::default()
        };
        let places = find(&names, &given, true).expect("the text is named");
        assert_eq!((places.text, places.label), (1, Some(2)));
    }
}
