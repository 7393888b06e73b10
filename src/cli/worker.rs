//! `sentiment worker`: training jobs from a database.

use std::io::{IsTerminal as _, stderr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

use super::Progress;
use crate::config::{self, Database, LogFormat, WorkerConfig, usable_cpus};
use crate::engine::session::Runtime;
use crate::storage::Storage;
use crate::store::Store;
use crate::system;
use crate::telemetry;
use crate::train::view::Standing;
use crate::worker::{Worker, WorkerSettings};

/// The arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Database of the jobs: sqlite://PATH or postgres://...
    #[arg(long, value_name = "URL")]
    database: Database,
    /// Folder of models, into which bundles are published.
    #[arg(long, value_name = "DIR", default_value = "models")]
    models: PathBuf,
    #[command(flatten)]
    worker: WorkerConfig,
    /// End when no job waits.
    #[arg(long)]
    once: bool,
    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// What is logged: error, warn, info, debug, trace, or filter directives.
    #[arg(long, default_value = "info,ort=warn", value_parser = config::log_level)]
    log_level: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let _logging = telemetry::start(args.log_format, &args.log_level)?;
    let runtime = Runtime::load()?;
    let storage = args.worker.model_store.as_ref();
    let storage = storage.map(|place| Storage::open(place.url(), &config::cloud_options()));
    let threads = args.worker.train_threads;
    let settings = WorkerSettings {
        models: args.models.clone(),
        storage: storage.transpose()?.map(Arc::new),
        once: args.once,
        ..WorkerSettings::new(&args.worker, threads.map_or_else(usable_cpus, usize::from))
    };
    let (stop, stopped) = watch::channel(false);
    super::on_interrupt(move || {
        if stop.send_replace(true) {
            super::note("error: interrupted again");
            system::end_at_once(1);
        }
    })?;
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("the threads of the worker cannot be started")?
        .block_on(async {
            let store = Arc::new(Store::new(args.database.url())?);
            let worker = Worker::new(settings, Arc::clone(&store), runtime)?;
            if args.log_format == LogFormat::Text && stderr().is_terminal() {
                telemetry::go_around(Progress::around);
                tokio::spawn(draw(worker.standing()));
            }
            worker.run(stopped).await?;
            store.close().await;
            Ok(())
        })
}

/// The bar that `sentiment train` draws.
async fn draw(mut seen: watch::Receiver<Option<Standing>>) {
    let mut progress = None;
    while seen.changed().await.is_ok() {
        let standing = *seen.borrow_and_update();
        match standing {
            Some(standing) => progress
                .get_or_insert_with(|| Progress::new("train"))
                .at(Some(standing.progress.share()), standing),
            None => progress = None,
        }
    }
}
