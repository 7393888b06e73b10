//! From a URL to the storage that it names.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, ObjectStore, RetryConfig};
use reqwest::Url;

use super::{Storage, StorageError};
use crate::tls;

/// How long one request is tried anew before its caller hears of it.
const RETRY: Duration = Duration::from_secs(10);
/// Time for a connection.
const CONNECT: Duration = Duration::from_secs(5);

impl Storage {
    /// Of `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or `file:///FOLDER`, without asking it anything.
    /// The options are each cloud's own: `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME`,
    /// and so on; those that it does not know are passed over.
    ///
    /// # Errors
    /// It is no such URL, an option is wrong, or the folder cannot be made.
    pub fn open(url: &str, options: &[(String, String)]) -> Result<Self, StorageError> {
        tls::set_up();
        let refused = |error: &dyn std::fmt::Display| StorageError::Url(error.to_string());
        let parsed = Url::parse(url).map_err(|error| refused(&error))?;
        let prefix = Path::from_url_path(parsed.path()).map_err(|error| refused(&error))?;
        let client = ClientOptions::new().with_connect_timeout(CONNECT);
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: 3,
            retry_timeout: RETRY,
        };
        let (objects, root): (Arc<dyn ObjectStore>, Path) = match parsed.scheme() {
            "s3" | "s3a" => {
                let builder = AmazonS3Builder::new().with_client_options(client);
                let builder = known(options)
                    .fold(builder.with_url(url), |builder, (key, value)| {
                        builder.with_config(key, value)
                    });
                let store = builder.with_retry(retry).build();
                (Arc::new(store.map_err(|error| refused(&error))?), prefix)
            }
            "gs" => {
                let builder = GoogleCloudStorageBuilder::new().with_client_options(client);
                let builder = known(options)
                    .fold(builder.with_url(url), |builder, (key, value)| {
                        builder.with_config(key, value)
                    });
                let store = builder.with_retry(retry).build();
                (Arc::new(store.map_err(|error| refused(&error))?), prefix)
            }
            "az" | "abfs" | "abfss" => {
                let builder = MicrosoftAzureBuilder::new().with_client_options(client);
                let builder = known(options)
                    .fold(builder.with_url(url), |builder, (key, value)| {
                        builder.with_config(key, value)
                    });
                let store = builder.with_retry(retry).build();
                (Arc::new(store.map_err(|error| refused(&error))?), prefix)
            }
            "file" => {
                let folder = parsed
                    .to_file_path()
                    .map_err(|()| StorageError::Url(format!("{url} names no folder")))?;
                std::fs::create_dir_all(&folder).map_err(|error| refused(&error))?;
                let store = LocalFileSystem::new_with_prefix(&folder);
                let store = store.map_err(|error| refused(&error))?.with_fsync(true);
                (Arc::new(store), Path::default())
            }
            scheme => {
                return Err(StorageError::Url(format!(
                    "{scheme}: is not known: expected s3://, gs://, az:// or file:///"
                )));
            }
        };
        Ok(Self {
            objects,
            root,
            up: AtomicBool::new(true),
        })
    }
}

/// The options that one cloud's client knows; the others are of another's.
fn known<K: FromStr>(options: &[(String, String)]) -> impl Iterator<Item = (K, &str)> {
    options.iter().filter_map(|(key, value)| {
        let key = key.to_ascii_lowercase().parse().ok()?;
        Some((key, value.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_storage_is_opened_by_its_url() {
        let room = tempfile::tempdir().expect("the system has room");
        let folder = format!("file://{}/models", room.path().display());
        let options = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
            pairs.iter().map(owned).collect()
        };
        let azure = [("AZURE_STORAGE_ACCOUNT_NAME", "team"), ("PATH", "/bin")];
        let s3 = [("AWS_REGION", "eu-west-1")];
        for (url, pairs) in [
            (folder.as_str(), &[][..]),
            ("s3://bucket/some/prefix", &s3),
            ("gs://bucket/prefix", &[]),
            ("az://container/prefix", &azure),
        ] {
            if let Err(error) = Storage::open(url, &options(pairs)) {
                panic!("{url}: {error}");
            }
        }
        for url in [
            "bucket",
            "ftp://host/x",
            "memory:///",
            "https://host/bucket",
        ] {
            assert!(Storage::open(url, &[]).is_err(), "{url}");
        }
    }
}
