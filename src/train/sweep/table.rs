//! All runs as a table, the best by validation loss first and those that diverged last. A run that could not read some of the
//! validation rows that others read has a loss of other rows: it is shown and not compared.

use std::fmt;

use super::parameter::plain;
use super::record::{Outcome, Run};

/// Runs, printed for people.
pub struct Table<'a> {
    /// The best first.
    runs: Vec<&'a Run>,
    /// The validation rows that those which are compared could not read.
    unread: &'a [usize],
}

impl<'a> Table<'a> {
    /// Sorts the runs.
    pub fn new(runs: &'a [Run]) -> Self {
        let trained = runs.iter().filter(|run| run.val_loss().is_some());
        let fewest = trained
            .map(|run| &*run.unread)
            .min_by_key(|rows| rows.len());
        let mut table = Self {
            runs: runs.iter().collect(),
            unread: fewest.unwrap_or_default(),
        };
        let unread = table.unread;
        let place = |run: &Run| {
            (
                run.unread != unread,
                run.val_loss().unwrap_or(f64::INFINITY),
            )
        };
        table.runs.sort_by(|a, b| {
            let ((a_other, a), (b_other, b)) = (place(a), place(b));
            a_other.cmp(&b_other).then(a.total_cmp(&b))
        });
        table
    }

    /// The run with the lowest validation loss, of equal ones the first that was done; none if all diverged.
    pub fn best(&self) -> Option<&'a Run> {
        let first = self.runs.first().copied();
        first.filter(|run| run.val_loss().is_some() && self.compares(run))
    }

    fn compares(&self, run: &Run) -> bool {
        run.unread == self.unread
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
        for name in self.runs.iter().flat_map(|run| run.settings.keys()) {
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
        for (at, run) in self.runs.iter().enumerate() {
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
            let number = match self.compares(run) {
                true => (at + 1).to_string(),
                false => "*".to_owned(),
            };
            let mut row = vec![number, loss, accuracy, epoch];
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
        if self.runs.iter().any(|run| !self.compares(run)) {
            writeln!(
                f,
                "* not compared: validation texts that others read have no token that it knows"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::train::report::History;
    use crate::train::sweep::Settings;

    #[test]
    fn a_run_whose_loss_is_of_fewer_rows_is_shown_and_not_compared() {
        let run = |num_words: u64, val_loss, unread: &[usize]| Run {
            settings: Settings::from_iter([("num_words".to_owned(), num_words.into())]),
            parameters: 9,
            seconds: 1.0,
            result: Outcome::Trained {
                epoch: 1,
                val_loss,
                val_accuracy: 0.5,
            },
            unread: unread.to_vec(),
            history: History::default(),
        };
        let runs = [
            run(10, 0.1, &[3, 7]),
            run(20, 0.5, &[3]),
            run(30, 0.4, &[3]),
            run(40, 0.2, &[4]),
        ];
        let table = Table::new(&runs);
        assert_eq!(table.best().unwrap(), &runs[2]);
        let shown = table.to_string();
        let first: Vec<&str> = shown
            .lines()
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(first, ["#", "1", "2", "*", "*", "*"], "{shown}");
        assert!(shown.contains("* not compared"), "{shown}");
        assert!(!Table::new(&runs[1..3]).to_string().contains('*'));
    }
}
