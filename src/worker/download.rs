//! Data by URL: fetched into a file that goes with the training, from listed places alone, bounded in bytes and in time.

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use tempfile::NamedTempFile;

use super::reviews::NoData;
use crate::config::allow::{DataPrefix, allowed, covered};
use crate::tls;
use crate::train::dataset::input;

/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// More hops lead nowhere.
const MOST_HOPS: usize = 5;
/// Answers that say no more than that the next time may be better, beside all of 5xx.
const MAY_PASS: [StatusCode; 3] = [
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::TOO_EARLY,
    StatusCode::TOO_MANY_REQUESTS,
];

/// From where data is taken by URL, and how much.
#[derive(Clone, Debug)]
pub struct ByUrl {
    /// Below these; none is nowhere.
    pub allow: Vec<DataPrefix>,
    /// Bytes of one file, as it comes and as it is unpacked.
    pub max_bytes: u64,
    /// Time for one file.
    pub timeout: Duration,
}

impl ByUrl {
    /// Fetches a file into a folder. Its name ends as that of the URL it comes from, so that it is read as what it is.
    pub(super) async fn fetch(&self, text: &str, dir: &Path) -> Result<NamedTempFile, NoData> {
        let url = allowed(&self.allow, text)
            .map_err(|reason| NoData::Refused(format!("data {reason}")))?;
        let refused = |reason: String| NoData::Refused(format!("data {text}: {reason}"));
        let failed = |reason: String| NoData::Failed(format!("data {text}: {reason}"));
        let answer = self.ask(url).await.map_err(|error| {
            let reason = causes(&error);
            match error.is_redirect() {
                true => refused(reason),
                false => failed(reason),
            }
        })?;
        let status = answer.status();
        if status.is_server_error() || MAY_PASS.contains(&status) {
            return Err(failed(format!("the server answers {status}")));
        }
        if !status.is_success() {
            return Err(refused(format!("the server answers {status}")));
        }
        let file = file_for(answer.url(), dir).map_err(|error| failed(error.to_string()))?;
        match self.keep(answer, file).await {
            Ok(Some(file)) => Ok(file),
            Ok(None) => Err(refused(self.too_long())),
            Err(error) => Err(failed(error)),
        }
    }

    /// That a file that was fetched is not too long once it is unpacked, as far as it goes on.
    pub(super) fn check_unpacked(
        &self,
        text: &str,
        path: &Path,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<(), NoData> {
        let mut left = self.max_bytes;
        // What is wrong with it is said with its row when it is read.
        let Ok((mut bytes, _)) = input::open(path) else {
            return Ok(());
        };
        while goes_on() {
            let read = bytes.fill_buf().map_or(0, <[u8]>::len);
            if read == 0 {
                break;
            }
            bytes.consume(read);
            left = left.checked_sub(read as u64).ok_or_else(|| {
                let unpacked = format!("unpacked, {}", self.too_long());
                NoData::Refused(format!("data {text}: {unpacked}"))
            })?;
        }
        Ok(())
    }

    fn too_long(&self) -> String {
        let most = self.max_bytes;
        format!("it has more than the {most} bytes of --data-max-bytes")
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

fn file_for(url: &Url, dir: &Path) -> std::io::Result<NamedTempFile> {
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
        .tempfile_in(dir)
}
