//! All runs as a table, the best by validation loss first and those that diverged last.

use std::fmt;

use super::parameter::plain;
use super::record::{Outcome, Run};

/// Runs, printed for people.
pub struct Table<'a>(Vec<&'a Run>);

impl<'a> Table<'a> {
    /// Sorts the runs.
    pub fn new(runs: &'a [Run]) -> Self {
        let mut sorted: Vec<&Run> = runs.iter().collect();
        let loss = |run: &Run| run.val_loss().unwrap_or(f64::INFINITY);
        sorted.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        Self(sorted)
    }

    /// The run with the lowest validation loss, of equal ones the first that was done; none if all diverged.
    pub fn best(&self) -> Option<&'a Run> {
        self.0
            .first()
            .copied()
            .filter(|run| run.val_loss().is_some())
    }
}

/// A loss; those of networks that went wrong can be of any size.
pub fn loss_in_words(loss: f64) -> String {
    if loss < 1000.0 {
        format!("{loss:.4}")
    } else {
        format!("{loss:.1e}")
    }
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<&String> = Vec::new();
        for name in self.0.iter().flat_map(|run| run.settings.keys()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let fixed = [
            "#",
            "val_loss",
            "val_accuracy",
            "epoch",
            "parameters",
            "seconds",
        ];
        let mut rows = vec![fixed.map(str::to_owned).to_vec()];
        rows[0].extend(names.iter().map(|name| (*name).clone()));
        for (at, run) in self.0.iter().enumerate() {
            let done = run.history.epochs.len();
            let [loss, accuracy, epoch] = match run.result {
                Outcome::Trained {
                    epoch,
                    val_loss,
                    val_accuracy,
                } => [
                    loss_in_words(val_loss),
                    format!("{:.2}%", 100.0 * val_accuracy),
                    format!("{epoch}/{done}"),
                ],
                Outcome::Diverged { .. } => {
                    ["diverged".to_owned(), "-".to_owned(), format!("-/{done}")]
                }
            };
            let mut row = vec![(at + 1).to_string(), loss, accuracy, epoch];
            row.push(run.parameters.to_string());
            row.push(format!("{:.1}", run.seconds));
            let setting = |name: &&String| run.settings.get(*name).map_or("-".to_owned(), plain);
            row.extend(names.iter().map(setting));
            rows.push(row);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths);
            let cells: Vec<String> = cells
                .map(|(cell, &width)| format!("{cell:>width$}"))
                .collect();
            writeln!(f, "{}", cells.join("  "))?;
        }
        Ok(())
    }
}
