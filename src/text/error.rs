//! What the Keras functions raise.

/// An error of a Keras function, by the Python exception that it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// `ValueError`.
    #[error("{0}")]
    Value(String),
    /// `TypeError`.
    #[error("{0}")]
    Type(String),
    /// `KeyError`.
    #[error("{0:?} is missing")]
    Key(String),
    /// `IndexError`.
    #[error("{0}")]
    Index(String),
}

impl TextError {
    /// The name of Python's exception.
    pub fn python_type(&self) -> &'static str {
        match self {
            Self::Value(_) => "ValueError",
            Self::Type(_) => "TypeError",
            Self::Key(_) => "KeyError",
            Self::Index(_) => "IndexError",
        }
    }
}
