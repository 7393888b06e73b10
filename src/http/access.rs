//! Who may ask: API keys, the administrator's token, and how often each key may come.
//!
//! It keeps only SHA-256 digests of what it was given, compares them in constant time, and shows none of them. Without a file
//! of keys every path but the administrator's is open; without a token the administrator's are closed to everybody.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Shared;
use super::error::{Code, Problem};

/// Why nobody can be let in.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: io::Error,
    },
    /// A file holds nothing that could be a secret.
    #[error("{}: there is no key in it", .0.display())]
    Empty(PathBuf),
    /// A line of a file could not be sent as a token.
    #[error("{}: line {line} is shorter than {SHORTEST} characters or has some that a header cannot carry", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There is more than one administrator's token.
    #[error("{}: there must be one token in it", .0.display())]
    Several(PathBuf),
}

/// The fewest characters of a secret: shorter ones can be guessed.
const SHORTEST: usize = 16;

/// A secret's digest: equal for equal secrets and of one length, so that a comparison says nothing about either.
#[derive(Clone, Copy)]
struct Secret([u8; 32]);

impl Secret {
    fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }
}

/// Where the secrets lie, and what a key may do.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessSettings<'a> {
    /// A file of keys, one a line.
    pub keys: Option<&'a Path>,
    /// A file with the administrator's token.
    pub admin_token: Option<&'a Path>,
    /// Requests a second of one key.
    pub rate: Option<NonZeroU32>,
}

/// Who may ask.
#[derive(Debug, Default)]
pub struct Access {
    keys: Option<Vec<Key>>,
    admin: Option<Secret>,
}

#[derive(Debug)]
struct Key {
    secret: Secret,
    limiter: Option<DefaultDirectRateLimiter>,
}

impl Access {
    /// Reads the secrets.
    ///
    /// # Errors
    /// A file cannot be read, or what it holds cannot be a secret.
    pub fn load(settings: AccessSettings) -> Result<Self, AccessError> {
        let limiter = || Some(RateLimiter::direct(Quota::per_second(settings.rate?)));
        let key = |secret| Key {
            secret,
            limiter: limiter(),
        };
        let keys = match settings.keys {
            Some(path) => Some(secrets(path)?.into_iter().map(key).collect()),
            None => None,
        };
        let admin = match settings.admin_token {
            Some(path) => match secrets(path)?[..] {
                [token] => Some(token),
                _ => return Err(AccessError::Several(path.to_owned())),
            },
            None => None,
        };
        Ok(Self { keys, admin })
    }

    /// Whether a request needs a key.
    pub fn needs_key(&self) -> bool {
        self.keys.is_some()
    }

    fn is_admin(&self, token: Option<Secret>) -> bool {
        matches!((self.admin, token), (Some(admin), Some(token)) if admin.is(&token))
    }

    fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(keys) = &self.keys else {
            return Ok(());
        };
        let token = token(headers);
        if self.is_admin(token) {
            return Ok(());
        }
        let Some(key) = token.and_then(|token| find(keys, &token)) else {
            return Err(Problem::new(
                Code::Unauthorized,
                "send a key that this server knows: authorization: Bearer KEY",
            ));
        };
        match key.limiter.as_ref().map(RateLimiter::check) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(until)) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                let mut problem =
                    Problem::new(Code::RateLimited, "this key has asked too often lately");
                problem.retry_after = Some(whole_seconds(wait));
                Err(problem)
            }
        }
    }

    fn admit_admin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        if self.admin.is_none() {
            return Err(Problem::new(
                Code::AdminDisabled,
                "the server was started without --admin-token-file",
            ));
        }
        let token = token(headers);
        if self.is_admin(token) {
            return Ok(());
        }
        let keys = self.keys.as_deref().unwrap_or_default();
        let known = token.is_some_and(|token| find(keys, &token).is_some());
        Err(if known {
            Problem::new(
                Code::Forbidden,
                "a key does not open what is for administrators",
            )
        } else {
            Problem::new(
                Code::Unauthorized,
                "send the administrator's token: authorization: Bearer TOKEN",
            )
        })
    }
}

/// Lets in who has a key.
pub(super) async fn with_key(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    shared.access.admit(request.headers())?;
    Ok(next.run(request).await)
}

/// Lets in who has the administrator's token: the layer of what is for administrators.
///
/// # Errors
/// There is no such token, or another or none was sent.
pub async fn with_admin_token(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    shared.access.admit_admin(request.headers())?;
    Ok(next.run(request).await)
}

/// Looks at every key, found or not.
fn find<'a>(keys: &'a [Key], token: &Secret) -> Option<&'a Key> {
    keys.iter().fold(None, |found, key| {
        if key.secret.is(token) {
            Some(key)
        } else {
            found
        }
    })
}

fn token(headers: &HeaderMap) -> Option<Secret> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else {
        return None;
    };
    let (scheme, token) = only.as_bytes().split_at_checked(7)?;
    scheme
        .eq_ignore_ascii_case(b"bearer ")
        .then(|| Secret::of(token.trim_ascii()))
}

fn secrets(path: &Path) -> Result<Vec<Secret>, AccessError> {
    let text = std::fs::read_to_string(path).map_err(|reason| AccessError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    let mut secrets = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.len() < SHORTEST || !line.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(AccessError::Unfit {
                path: path.to_owned(),
                line: at + 1,
            });
        }
        secrets.push(Secret::of(line.as_bytes()));
    }
    if secrets.is_empty() {
        return Err(AccessError::Empty(path.to_owned()));
    }
    Ok(secrets)
}

/// Rounded up, and at least one.
fn whole_seconds(wait: Duration) -> u32 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    u32::try_from(seconds.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const KEY: &str = "key-0123456789abcdef";
    const TOKEN: &str = "token-0123456789abcdef";

    fn access(admin: bool) -> Access {
        let folder = tempfile::tempdir().unwrap();
        let [keys, token] = [("keys", KEY), ("token", TOKEN)].map(|(name, secret)| {
            let path = folder.path().join(name);
            std::fs::write(&path, secret).unwrap();
            path
        });
        Access::load(AccessSettings {
            keys: Some(&keys),
            admin_token: admin.then_some(&token),
            rate: None,
        })
        .unwrap()
    }

    fn bearer(token: &str) -> HeaderMap {
        let value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn administrators_have_a_token_of_their_own() {
        let refused = |access: &Access, headers| {
            let admitted = access.admit_admin(&headers);
            admitted.err().map(|problem| problem.code)
        };
        let open = access(true);
        assert_eq!(refused(&open, bearer(TOKEN)), None);
        assert_eq!(refused(&open, bearer(KEY)), Some(Code::Forbidden));
        assert_eq!(refused(&open, bearer("no")), Some(Code::Unauthorized));
        assert_eq!(refused(&open, HeaderMap::new()), Some(Code::Unauthorized));
        for token in [TOKEN, KEY, "no"] {
            let closed = access(false);
            assert_eq!(refused(&closed, bearer(token)), Some(Code::AdminDisabled));
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        let shown = format!("{:?}", access(true));
        let digest = format!("{:?}", Sha256::digest(KEY).as_slice());
        assert!(!shown.contains(KEY) && !shown.contains(TOKEN), "{shown}");
        assert!(!shown.contains(&digest[1..20]), "{shown}");
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        let told = [0, 1, 1_000, 1_001].map(|ms| whole_seconds(Duration::from_millis(ms)));
        assert_eq!(told, [1, 1, 1, 2]);
    }
}
