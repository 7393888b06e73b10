//! Hearing of changes in the registry: at once on PostgreSQL, by asking again elsewhere.

use std::time::Duration;

use sqlx::postgres::PgListener;

use super::{Dialect, Store};

/// At most before one that could not be listened to is tried again: until then nothing is heard.
const RETRY: Duration = Duration::from_secs(5);

/// Waits for changes.
#[derive(Debug, Default)]
pub struct Watch {
    listener: Option<PgListener>,
}

impl Watch {
    /// Waits until a change may have been made, no longer than `most`.
    pub async fn changed(&mut self, store: &Store, most: Duration) {
        if store.dialect == Dialect::Postgres && self.listener.is_none() {
            self.listener = listen(&store.url).await;
            // What changed before it listened, nobody tells it.
            if self.listener.is_some() {
                return;
            }
        }
        let Some(listener) = &mut self.listener else {
            let deaf = store.dialect == Dialect::Postgres;
            tokio::time::sleep(if deaf { most.min(RETRY) } else { most }).await;
            return;
        };
        // Nothing comes from a connection that is just made anew: what it was told before that is lost, so that it is time
        // to look.
        if let Ok(Err(error)) = tokio::time::timeout(most, listener.try_recv()).await {
            tracing::debug!(%error, "not listening to the registry any more");
            self.listener = None;
            tokio::time::sleep(most.min(RETRY)).await;
        }
    }
}

/// None where the database is not there: the next time may be better.
async fn listen(url: &str) -> Option<PgListener> {
    let connect = async {
        let mut listener = PgListener::connect(url).await?;
        listener.listen("sentiment_registry").await?;
        Ok::<_, sqlx::Error>(listener)
    };
    let connected = tokio::time::timeout(super::PATIENCE, connect).await;
    connected.ok()?.ok()
}
