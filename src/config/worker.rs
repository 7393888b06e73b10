//! What a worker is told, at its own prompt and inside of the server.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::allow::DataPrefix;

/// A database's URL, whose password is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Database(String);

impl Database {
    /// As it was given.
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for Database {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let known = ["sqlite:", "postgres://", "postgresql://"];
        match known.iter().any(|scheme| url.starts_with(scheme)) {
            true => Ok(Self(url.to_owned())),
            false => Err("expected sqlite://PATH or postgres://...".into()),
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split(':').next().unwrap_or_default())
    }
}

/// The URL of a model storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStore(String);

impl ModelStore {
    /// As it was given.
    pub fn url(&self) -> &str {
        &self.0
    }
}

impl FromStr for ModelStore {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let known = [
            "s3://", "s3a://", "gs://", "az://", "abfs://", "abfss://", "file:///",
        ];
        match known.iter().any(|scheme| url.starts_with(scheme)) {
            true => Ok(Self(url.to_owned())),
            false => Err("expected s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER".into()),
        }
    }
}

/// Where a worker finds and leaves things.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkerConfig {
    /// Model storage that servers and workers on many machines share: s3://BUCKET/PREFIX, gs://, az:// or file:///FOLDER, with
    /// keys and endpoints in the cloud's own variables; the folder of models then keeps copies. Without one they share the
    /// folder.
    #[arg(long, value_name = "URL")]
    pub model_store: Option<ModelStore>,

    /// Folder below which the data of training jobs lies.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data_dir: PathBuf,

    /// Prefix of URLs from which training jobs may take data, such as `https://data.example/reviews/`; a server lists what its workers
    /// do. Can be given several times.
    #[arg(long, value_name = "PREFIX", value_delimiter = ',')]
    pub data_allow: Vec<DataPrefix>,

    /// Most bytes of data from one URL.
    #[arg(long, value_name = "BYTES", default_value = "1073741824")]
    pub data_max_bytes: u64,

    /// Time for data from one URL.
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = super::wait)]
    pub data_timeout: Duration,

    /// Folder of the checkpoints of training jobs; workers that share it go on where another was killed.
    #[arg(long, value_name = "DIR", default_value = "data/checkpoints")]
    pub checkpoints: PathBuf,

    /// Steps from one checkpoint of a training job to the next.
    #[arg(long, value_name = "STEPS", default_value = "500")]
    pub checkpoint_every: NonZeroUsize,

    /// Time without a heartbeat after which another worker may take a training job over.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = super::wait)]
    pub lease: Duration,

    /// Time between two looks at the database.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = super::wait)]
    pub poll: Duration,

    /// Threads that train [default: all CPUs of a worker, half of a server's].
    #[arg(long, value_name = "THREADS")]
    pub train_threads: Option<NonZeroUsize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_keeps_its_password_to_itself() {
        let url = "postgres://team:zqxjkv@db/sentiment";
        let database: Database = url.parse().expect("it is one");
        assert_eq!(format!("{database:?}"), "postgres");
        assert_eq!(database.url(), url);
        assert!("mysql://db".parse::<Database>().is_err());
    }
}
