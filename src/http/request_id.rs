//! The name by which a request is found again, in answers and in logs.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries it.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest that is taken over from a client.
const LONGEST: usize = 128;

/// Visible ASCII without quotes, so that it can stand in a log line as it is.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The request's own if it is a sane one, else a new one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut given = headers.get_all(HEADER).iter();
        match (given.next(), given.next()) {
            (Some(only), None) if sane(only.as_bytes()) => Self(only.clone()),
            _ => Self::new(),
        }
    }

    fn new() -> Self {
        // Seeded by the system's randomness once a process; the counter keeps them apart within it.
        static SEEDS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!(
            "{:016x}{:016x}",
            SEEDS.0.hash_one(count),
            SEEDS.1.hash_one(count)
        );
        Self(HeaderValue::try_from(id).expect("hexadecimal digits make a header"))
    }

    /// As a header.
    pub fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn sane(id: &[u8]) -> bool {
    let usual = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(given: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in given {
            headers.append(HEADER, HeaderValue::try_from(*id).expect("a header"));
        }
        RequestId::of(&headers).to_string()
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_of(&["a1-B2_c.d:e/f"]), "a1-B2_c.d:e/f");
        let long = "x".repeat(129);
        for given in [&[][..], &[""], &["a b"], &["a\"b"], &[&long], &["a", "b"]] {
            let id = id_of(given);
            assert_eq!(id.len(), 32, "{given:?} became {id}");
        }
        assert_ne!(id_of(&[]), id_of(&[]));
    }
}
