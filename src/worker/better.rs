//! Whether a new version is good enough to take the place of the active one.

use super::reviews::FEEDBACK;
use crate::bundle::{Manifest, Measured, Metrics, SplitMetrics};

/// Standard errors of the difference that are chance: a retraining is never measured on exactly the same rows.
const CHANCE: f64 = 2.0;

/// Why the new version is not known to be as good as the active one: the first source on which it is worse, or on which it
/// was not measured, in words.
///
/// Feedback is no such source: it comes and is deleted, and a training without it is no mistake.
pub(super) fn worse(new: &Metrics, active: &Manifest) -> Option<String> {
    reason(new, &active.metrics, &active.version.to_string())
}

fn reason(new: &Metrics, old: &Metrics, version: &str) -> Option<String> {
    let forced = "\"force\": true publishes it all the same";
    let (split, new, old) = match both(new, old) {
        Ok(Some(both)) => both,
        Ok(None) => return None,
        Err(splits) => {
            return Some(format!(
                "version {version} was measured on {splits} rows and this one was not, so that nothing says it is as good; {forced}"
            ));
        }
    };
    if old.sources.is_empty() {
        let worse = is_worse(&new.all, &old.all);
        return worse.then(|| {
            let (new, old) = (new.all.accuracy, old.all.accuracy);
            format!(
                "accuracy on the {split} rows is {new:.4}, and version {version} has {old:.4}; {forced}"
            )
        });
    }
    old.sources.iter().find_map(|(source, old)| {
        let Some(new) = new.sources.get(source) else {
            return (source != FEEDBACK).then(|| {
                format!(
                    "version {version} was measured on {split} rows of {source:?} and this one has none; {forced}"
                )
            });
        };
        is_worse(new, old).then(|| {
            let (new, old) = (new.accuracy, old.accuracy);
            format!(
                "accuracy on the {split} rows of {source:?} is {new:.4}, and version {version} has {old:.4}; {forced}"
            )
        })
    })
}

type Both<'a> = (&'static str, &'a SplitMetrics, &'a SplitMetrics);

/// The split on which both were measured; none if the old one was measured on none.
///
/// # Errors
/// They have none in common: the splits of the old one.
fn both<'a>(new: &'a Metrics, old: &'a Metrics) -> Result<Option<Both<'a>>, &'static str> {
    let test = new.test.as_ref().zip(old.test.as_ref());
    let validation = new.validation.as_ref().zip(old.validation.as_ref());
    let both = test.map(|(new, old)| ("test", new, old));
    let both = both.or(validation.map(|(new, old)| ("validation", new, old)));
    match (both, &old.test, &old.validation) {
        (Some(both), _, _) => Ok(Some(both)),
        (None, None, None) => Ok(None),
        (None, Some(_), None) => Err("test"),
        (None, None, Some(_)) => Err("validation"),
        (None, Some(_), Some(_)) => Err("test and validation"),
    }
}

fn is_worse(new: &Measured, old: &Measured) -> bool {
    let variance = |m: &Measured| m.accuracy * (1.0 - m.accuracy) / (m.rows.max(1) as f64);
    let chance = CHANCE * (variance(new) + variance(old)).sqrt();
    old.accuracy - new.accuracy > chance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Confusion;

    fn measured(rows: u64, accuracy: f64) -> Measured {
        Measured {
            rows,
            accuracy,
            auc: None,
            loss: 0.5,
            ece: 0.0,
            confusion: Confusion::default(),
        }
    }

    #[test]
    fn only_what_chance_does_not_explain_is_worse() {
        let old = measured(1_000, 0.90);
        assert!(!is_worse(&measured(1_000, 0.95), &old));
        assert!(!is_worse(&measured(1_000, 0.89), &old));
        assert!(is_worse(&measured(1_000, 0.85), &old));
        assert!(!is_worse(&measured(20, 0.85), &old));
    }

    fn split(sources: &[(&str, f64)]) -> SplitMetrics {
        let sources = sources.iter();
        SplitMetrics {
            all: measured(1_000, 0.9),
            sources: sources
                .map(|(name, accuracy)| ((*name).to_owned(), measured(1_000, *accuracy)))
                .collect(),
        }
    }

    fn metrics(test: Option<SplitMetrics>, validation: Option<SplitMetrics>) -> Metrics {
        Metrics { test, validation }
    }

    #[test]
    fn a_version_is_compared_on_every_source_of_the_one_that_serves() {
        let old = split(&[("films", 0.9), ("shop", 0.9), ("feedback", 0.9)]);
        let better = split(&[("films", 0.9), ("shop", 0.92), ("more", 0.1)]);
        assert_eq!(lacks(&better, &old), None, "feedback comes and goes");
        let worse = split(&[("films", 0.95), ("shop", 0.8)]);
        assert!(lacks(&worse, &old).is_some_and(|why| why.contains("\"shop\" is 0.8000")));
        let lost = split(&[("films", 0.95)]);
        assert!(lacks(&lost, &old).is_some_and(|why| why.contains("\"shop\"")));
    }

    fn lacks(new: &SplitMetrics, old: &SplitMetrics) -> Option<String> {
        let new = metrics(None, Some(new.clone()));
        reason(&new, &metrics(None, Some(old.clone())), "1")
    }

    #[test]
    fn a_version_that_cannot_be_compared_is_not_as_good() {
        let some = || Some(split(&[("shop", 0.9)]));
        let none = metrics(None, None);
        for (old, said) in [
            (metrics(some(), None), "test rows"),
            (metrics(None, some()), "validation rows"),
            (metrics(some(), some()), "test and validation rows"),
        ] {
            let why = reason(&none, &old, "1");
            assert!(
                why.as_ref().is_some_and(|why| why.contains(said)),
                "{why:?}"
            );
        }
        // What was measured on nothing keeps nobody back.
        assert_eq!(reason(&metrics(some(), some()), &none, "1"), None);
        // On what both have.
        assert_eq!(
            reason(&metrics(None, some()), &metrics(some(), some()), "1"),
            None
        );
    }
}
