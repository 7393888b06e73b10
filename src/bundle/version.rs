//! The number of a bundle among those of its model.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// 1, 2, 3, ...: the folder's name, written as a string wherever it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u32);

/// The text is not a version.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a version: versions are 1, 2, 3, ...")]
pub struct VersionError(String);

impl Version {
    /// The one after the highest of `taken`.
    pub fn next(taken: impl IntoIterator<Item = Self>) -> Self {
        Self(
            taken
                .into_iter()
                .map(|v| v.0)
                .max()
                .unwrap_or(0)
                .saturating_add(1),
        )
    }
}

impl Version {
    /// As a number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            // Only one spelling: no sign, no leading zero.
            Ok(number) if number > 0 && text == u32::to_string(&number) => Ok(Self(number)),
            _ => Err(VersionError(text.to_owned())),
        }
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_plain_spelling_of_a_positive_number_is_a_version() {
        assert_eq!("12".parse::<Version>().ok(), Some(Version(12)));
        for text in ["", "0", "01", "+1", "-1", " 1", "1.0", "x", "4294967296"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_next_version_follows_the_highest_and_leaves_gaps_alone() {
        assert_eq!(Version::next([]), Version(1));
        assert_eq!(Version::next([Version(5), Version(2)]), Version(6));
    }
}
