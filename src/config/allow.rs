//! From where training jobs may take data by URL: nowhere but below the prefixes that are listed.
//!
//! Whoever may ask for a job must not learn by it what else the worker can reach. So a URL is compared in the form in which it
//! will be asked for, and whatever a server could read in two ways is refused.

use std::str::FromStr;

use reqwest::Url;

/// A folder of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataPrefix(Url);

impl FromStr for DataPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = parse(text)?;
        match url.query() {
            Some(_) => Err(format!("{text}: a prefix has no \"?\"")),
            None => Ok(Self(url)),
        }
    }
}

impl DataPrefix {
    /// Whether it is this very place, or one below it.
    fn covers(&self, url: &Url) -> bool {
        let Self(prefix) = self;
        let same_server = url.scheme() == prefix.scheme()
            && url.host() == prefix.host()
            && url.port_or_known_default() == prefix.port_or_known_default();
        let folder = prefix.path();
        let folder = folder.strip_suffix('/').unwrap_or(folder);
        let rest = url.path().strip_prefix(folder);
        let below = rest.is_some_and(|rest| rest.starts_with('/'));
        same_server && (below || url.path() == prefix.path())
    }
}

/// Whether data is named by a URL and not by a path.
pub fn is_url(name: &str) -> bool {
    name.contains("://")
}

/// A URL that one of the prefixes covers.
///
/// # Errors
/// None does, or it is not one that means the same to everybody.
pub fn allowed(prefixes: &[DataPrefix], text: &str) -> Result<Url, String> {
    let url = parse(text)?;
    match covered(prefixes, &url) {
        true => Ok(url),
        false => Err(format!("{text}: --data-allow lists no prefix of it")),
    }
}

/// Whether a URL, such as one that a server redirects to, is below one of the prefixes.
pub fn covered(prefixes: &[DataPrefix], url: &Url) -> bool {
    check(url).is_ok() && prefixes.iter().any(|prefix| prefix.covers(url))
}

fn parse(text: &str) -> Result<Url, String> {
    let refused = |reason: &str| format!("{text}: {reason}");
    // A parser takes them out, and what the job says would not be what is asked for.
    if text.split(['/', '\\', '?']).any(|part| part == "..") {
        return Err(refused("\"..\" is not followed"));
    }
    let url = Url::parse(text).map_err(|error| refused(&error.to_string()))?;
    check(&url).map_err(refused)?;
    Ok(url)
}

fn check(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("expected http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user or a password is not followed");
    }
    if url.fragment().is_some() {
        return Err("a URL with \"#\" is not followed");
    }
    let path = url.path().to_ascii_lowercase();
    let hidden = ["%2e", "%2f", "%5c", "%00"];
    match hidden.iter().any(|hidden| path.contains(hidden)) {
        true => Err("dots and slashes must stand for themselves"),
        false => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_a_listed_prefix_is_followed() {
        let prefixes = [
            "https://Data.example/reviews/",
            "http://10.0.0.7:8000/x.tsv",
        ];
        let prefixes = prefixes.map(|prefix| prefix.parse().unwrap());
        for url in [
            "https://data.example/reviews/a.tsv",
            "https://data.example:443/reviews/2024/a.csv.gz?version=3",
            "http://10.0.0.7:8000/x.tsv",
        ] {
            assert!(allowed(&prefixes, url).is_ok(), "{url}");
        }
        for url in [
            "http://data.example/reviews/a.tsv",
            "https://data.example:444/reviews/a.tsv",
            "https://data.example/reviews",
            "https://data.example/reviews-of-others/a.tsv",
            "https://data.example/reviews/../secret.tsv",
            "https://data.example/reviews/..\\secret.tsv",
            "https://data.example/reviews/%2e%2e/secret.tsv",
            "https://data.example/reviews/..%2fsecret.tsv",
            "https://data.example@evil.example/reviews/a.tsv",
            "https://me:pw@data.example/reviews/a.tsv",
            "https://evil.example/https://data.example/reviews/a.tsv",
            "https://data.example.evil.example/reviews/a.tsv",
            "https://data.example/reviews/a.tsv#b",
            "file:///etc/passwd",
            "ftp://data.example/reviews/a.tsv",
            "http://10.0.0.7:8000/y.tsv",
            "http://169.254.169.254/latest/meta-data",
        ] {
            assert!(allowed(&prefixes, url).is_err(), "{url}");
        }
        assert!(allowed(&[], "https://data.example/reviews/a.tsv").is_err());
    }
}
