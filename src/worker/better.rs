//! Whether a new version is good enough to take the place of the active one.

use crate::bundle::{Manifest, Measured, Metrics, SplitMetrics};

/// Standard errors of the difference that are chance: a retraining is never measured on exactly the same rows.
const CHANCE: f64 = 2.0;

/// The first source on which the new version is worse than the active one, in words.
pub(super) fn worse(new: &Metrics, active: &Manifest) -> Option<String> {
    let (name, new, old) = match (&new.test, &active.metrics.test) {
        (Some(new), Some(old)) => ("test", new, old),
        _ => match (&new.validation, &active.metrics.validation) {
            (Some(new), Some(old)) => ("validation", new, old),
            _ => return None,
        },
    };
    let pairs = pairs(new, old);
    let found = pairs.into_iter().find(|(_, new, old)| is_worse(new, old))?;
    let (source, new, old) = found;
    Some(format!(
        "accuracy on the {name} rows of {source:?} is {:.4}, and version {} has {:.4}; \"force\": true publishes it all the same",
        new.accuracy, active.version, old.accuracy
    ))
}

fn pairs<'a>(
    new: &'a SplitMetrics,
    old: &'a SplitMetrics,
) -> Vec<(&'a str, &'a Measured, &'a Measured)> {
    let shared = new.sources.iter().filter_map(|(name, new)| {
        let old = old.sources.get(name)?;
        Some((name.as_str(), new, old))
    });
    let shared: Vec<_> = shared.collect();
    match shared.is_empty() {
        true => vec![("all", &new.all, &old.all)],
        false => shared,
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
}
