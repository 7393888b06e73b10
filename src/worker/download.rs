//! Data by URL: fetched into a file that goes with the training, from listed places alone, bounded in bytes and in time.

use std::io::Write as _;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tempfile::NamedTempFile;

use crate::config::allow::{DataPrefix, allowed, covered};
use crate::tls;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// More hops lead nowhere.
const MOST_HOPS: usize = 5;

/// From where data is taken by URL, and how much.
#[derive(Clone, Debug)]
pub struct ByUrl {
    /// Below these; none is nowhere.
    pub allow: Vec<DataPrefix>,
    /// Bytes of one file.
    pub max_bytes: u64,
    /// Time for one file.
    pub timeout: Duration,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownloadError {
    /// It will not be otherwise the next time.
    #[error("data {0}")]
    Refused(String),
    /// The next time may be better.
    #[error("data {0}")]
    Failed(String),
}

impl ByUrl {
    /// Fetches a file. Its name ends as that of the URL, so that it is read as what it is.
    pub(super) async fn fetch(&self, text: &str) -> Result<NamedTempFile, DownloadError> {
        let url = allowed(&self.allow, text).map_err(DownloadError::Refused)?;
        let refused = |reason: String| DownloadError::Refused(format!("{text}: {reason}"));
        let failed = |reason: String| DownloadError::Failed(format!("{text}: {reason}"));
        let answer = self.ask(url.clone()).await.map_err(|error| {
            let reason = causes(&error);
            match error.is_redirect() {
                true => refused(reason),
                false => failed(reason),
            }
        })?;
        let status = answer.status();
        if status.is_server_error() {
            return Err(failed(format!("the server answers {status}")));
        }
        if !status.is_success() {
            return Err(refused(format!("the server answers {status}")));
        }
        let file = file_for(&url).map_err(|error| failed(error.to_string()))?;
        match self.keep(answer, file).await {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(refused(format!(
                "it has more than the {} bytes of --data-max-bytes",
                self.max_bytes
            ))),
            Err(error) => Err(failed(error)),
        }
    }

    async fn ask(&self, url: Url) -> Result<Response, reqwest::Error> {
        tls::set_up();
        let allow = self.allow.clone();
        let redirects = Policy::custom(move |hop| {
            if hop.previous().len() > MOST_HOPS {
                hop.error("it is redirected too often")
            } else if covered(&allow, hop.url()) {
                hop.follow()
            } else {
                hop.error("it is redirected to where --data-allow lists no prefix")
            }
        });
        let client = Client::builder()
            .redirect(redirects)
            .connect_timeout(CONNECT)
            .timeout(self.timeout)
            .build()?;
        client.get(url).send().await
    }

    /// None where it is too long.
    async fn keep(
        &self,
        mut answer: Response,
        mut file: NamedTempFile,
    ) -> Result<Option<NamedTempFile>, String> {
        let mut bytes = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|error| causes(&error))? {
            bytes += chunk.len() as u64;
            if bytes > self.max_bytes {
                return Ok(None);
            }
            file.write_all(&chunk).map_err(|error| error.to_string())?;
        }
        file.flush().map_err(|error| error.to_string())?;
        Ok(Some(file))
    }
}

/// The error and what it comes from; by itself it says only that something failed.
fn causes(error: &reqwest::Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}

fn file_for(url: &Url) -> std::io::Result<NamedTempFile> {
    let name = url.path().rsplit('/').next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let name = match name.len() <= 100 && name.bytes().all(plain) {
        true => name,
        false => "",
    };
    let (stem, ending) = name.split_at(name.find('.').unwrap_or(name.len()));
    tempfile::Builder::new()
        .prefix(&format!("{stem}-"))
        .suffix(ending)
        .tempfile()
}
