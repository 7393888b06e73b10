//! Texts of the command line: any number of them, without a deadline and without places in the queue, for a thread that may wait.

use super::queue::Ran;
use super::{Closer, Engine, ItemError, Prediction, Seen, Terms, Ticket};

/// Texts that are sorted by length together.
const WINDOW: usize = 4_096;

const TERMS: Terms = Terms {
    deadline: None,
    bulk: true,
};

/// Texts under way: what became of each, and the tickets of those that wait.
struct Window {
    outcomes: Vec<Result<(), ItemError>>,
    tickets: Vec<Ticket>,
}

impl Engine {
    /// Answers texts in order.
    pub fn predict_bulk(&self, texts: &[&str]) -> Vec<Result<Prediction, ItemError>> {
        let mut predictions = Vec::with_capacity(texts.len());
        let mut ahead: Option<Window> = None;
        // One window is encoded while the one before it runs.
        for texts in texts.chunks(WINDOW) {
            let mut asks = Vec::with_capacity(texts.len());
            let encoded = texts
                .iter()
                .map(|text| self.encode(text).map(|ask| asks.push(ask)));
            let outcomes = encoded.collect();
            let window = Window {
                outcomes,
                tickets: self.enqueue(asks, TERMS, || None),
            };
            if let Some(window) = ahead.replace(window) {
                self.collect(window, &mut predictions);
            }
        }
        if let Some(window) = ahead {
            self.collect(window, &mut predictions);
        }
        predictions
    }

    fn collect(&self, window: Window, predictions: &mut Vec<Result<Prediction, ItemError>>) {
        let mut tickets = window.tickets.into_iter();
        for outcome in window.outcomes {
            let prediction = outcome.and_then(|()| {
                let ticket = tickets.next().ok_or(ItemError::Failed)?;
                let (encoded, encode) = (ticket.encoded, ticket.encode);
                Ok(self.predicted(encoded, encode, ran(ticket)?))
            });
            predictions.push(prediction);
        }
    }

    /// A closer look at a text that has been predicted.
    ///
    /// # Errors
    /// A run failed.
    pub fn look_at(&self, text: &str, of: &Prediction, closer: Closer) -> Result<Seen, ItemError> {
        let (look, rows) = self.look(text, &self.encode(text)?, closer);
        let tickets = self.enqueue(rows, TERMS, || None).into_iter();
        let logits: Vec<f64> = tickets
            .map(|ticket| Ok(f64::from(ran(ticket)?.logit)))
            .collect::<Result<_, ItemError>>()?;
        Ok(look.seen(of.logit, &logits, self.bundle.manifest.calibration))
    }
}

/// Waits for a run, however long it takes.
fn ran(ticket: Ticket) -> Result<Ran, ItemError> {
    // The other side is dropped only when no batch thread is left.
    let answer = ticket.answer.blocking_recv();
    answer.map_err(|_| ItemError::Failed)?
}
