//! How the rows of a batch may be shortened without changing any answer.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much of a row a graph has to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trim {
    /// Rows are padded at the front to the longest of the batch: the graph holds the states after any number of pads.
    Table,
    /// Rows start at the left and `lengths` says where they end: pads are never read.
    Masked,
    /// Rows are padded to `maxlen`.
    None,
}

impl Trim {
    /// The name used in manifests and graphs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Masked => "masked",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Trim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Trim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Table, Self::Masked, Self::None]
            .into_iter()
            .find(|trim| trim.as_str() == text)
            .ok_or_else(|| format!("no way of trimming is called {text:?}"))
    }
}
