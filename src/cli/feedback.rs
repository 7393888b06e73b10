//! Feedback in a database as labelled reviews: `--data feedback`.

use std::path::Path;

use anyhow::Context as _;

use super::Usage;
use super::registry::Registry;
use crate::config::Database;
use crate::store::FeedbackFilter;
use crate::train::dataset::DataArg;
use crate::worker::{Aside, FEEDBACK};

/// Where it is kept, and which of it.
#[derive(Debug, clap::Args)]
pub(super) struct FeedbackArgs {
    /// Database that keeps feedback: sqlite://PATH or postgres://...
    #[arg(long, value_name = "URL")]
    database: Option<Database>,
    /// Only feedback on this model's answers.
    #[arg(long, value_name = "NAME", requires = "database")]
    feedback_model: Option<String>,
}

/// Whether this is not a path but what the database keeps.
pub(super) fn is_feedback(data: &DataArg) -> bool {
    data.source.is_none() && data.path == Path::new(FEEDBACK)
}

impl FeedbackArgs {
    /// What is kept in these languages, as a file; none without a database.
    pub fn read(&self, data: &[DataArg], languages: &[String]) -> anyhow::Result<Option<Aside>> {
        let Some(database) = &self.database else {
            return Ok(None);
        };
        if !data.iter().any(is_feedback) {
            let reason = "--database is asked for feedback alone: add --data feedback";
            return Err(Usage(reason.into()).into());
        }
        let filter = FeedbackFilter {
            languages: languages.to_vec(),
            model: self.feedback_model.clone(),
            until_ms: None,
        };
        let no_room = "feedback cannot be put aside";
        let mut kept = Aside::within(&std::env::temp_dir()).context(no_room)?;
        Registry::open(database, None)?.feedback(&filter, &mut kept)?;
        let kept = kept.whole().context(no_room)?;
        match (kept.rows(), &self.feedback_model) {
            (1.., _) => Ok(Some(kept)),
            (0, Some(model)) => anyhow::bail!("there is no feedback on answers of {model:?}"),
            (0, None) => anyhow::bail!("there is no feedback in the model's languages"),
        }
    }
}
