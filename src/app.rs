//! The server: every long-lived part built from its configuration, run until it is told to stop, drained.
//!
//! SIGTERM and SIGINT make readiness say no; after the lame-duck time no connection is taken any more, and requests under
//! way have the drain time to finish. A second signal ends the process at once. A part that crashes is a signal too, after which the
//! process does not end well.

mod background;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use axum::http::HeaderValue;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::catalog::{Catalog, CatalogSettings};
use crate::config::{self, ServeConfig};
use crate::engine::EngineSettings;
use crate::engine::session::Runtime;
use crate::http::{
    self, Access, AccessSettings, Budget, ConnectionLimits, Drained, Origins, RequestLimits,
    Shared, Turns,
};
use crate::metrics::Metrics;
use crate::storage::Storage;
use crate::store::Store;
use crate::system;
use crate::telemetry::{self, Logging, Spans};
use background::Background;

/// Files beside connections: the database's, models, the log.
const OTHER_FILES: usize = 64;

/// Requests a second that each core turns away: some 5 % of its time, and as much of their clients'.
const REFUSALS: u32 = 2_500;

/// How long work on threads that may wait is waited for at the very end.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Serves until a signal.
///
/// # Errors
/// A part cannot be built: no runtime, no models, no port.
pub fn serve(config: &ServeConfig) -> anyhow::Result<()> {
    let silence = if config.no_access_log {
        ",access=off"
    } else {
        ""
    };
    let logging = telemetry::start(config.log_format, &format!("{}{silence}", config.log_level))?;
    let files = system::raise_open_files();
    let wanted = config.max_connections.saturating_add(OTHER_FILES);
    if let Some(files) = files
        && usize::try_from(files).is_ok_and(|files| files < wanted)
    {
        tracing::warn!(
            files,
            max_connections = config.max_connections,
            "fewer files can be open than connections may come: raise `ulimit -n` or lower --max-connections"
        );
    }
    let runtime = Runtime::load()?;
    let metrics = Arc::new(Metrics::new());
    let access = Access::load(AccessSettings {
        keys: config.api_key_file.as_deref(),
        admin_token: config.admin_token_file.as_deref(),
        rate: config.rate_limit,
    })?;
    let storage = match &config.worker.model_store {
        Some(place) => {
            // A new machine has no copies yet.
            std::fs::create_dir_all(&config.models)
                .with_context(|| format!("--models {}", config.models.display()))?;
            let storage = Storage::open(place.url(), &config::cloud_options())?;
            Some(Arc::new(storage))
        }
        None => None,
    };
    system::keep_free_memory(false);
    let catalog = Catalog::load(&runtime, &catalog_settings(config), &metrics)?;
    system::keep_free_memory(true);
    // What loading took is a fifth of what the process holds.
    system::give_memory_back();
    let catalog = Arc::new(catalog);
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the threads of the server cannot be started")?;
    let store = {
        let _within = threads.enter();
        let database = config.database.as_ref();
        let store = database.map(|database| Store::new(database.url()));
        store.transpose()?.map(Arc::new)
    };
    let shared = Arc::new(Shared {
        catalog,
        metrics,
        limits: RequestLimits {
            max_body: config.max_body,
            max_items: config.max_items,
            max_characters: config.max_characters,
            read_timeout: config.read_timeout,
            deadline: config.deadline,
            idle: config.idle_timeout,
        },
        budget: Budget::of(config.max_held),
        answers: Budget::of(config.max_held),
        turns: Turns::new(config::usable_cpus()),
        store,
        storage,
        store_trouble: watch::Sender::new(false),
        data_allow: config.worker.data_allow.clone(),
        access,
        spans: config.otlp_endpoint.as_deref().map(Spans::to).transpose()?,
        draining: AtomicBool::new(false),
        stopping: watch::Sender::new(false),
    });
    let outcome = threads.block_on(run(config, &shared, &logging));
    // From here on nothing waits for a signal, and a second one ends the process all the same.
    system::end_at_signals();
    // A training may sit in a system call for ever, on a disk that does not answer.
    threads.shutdown_timeout(LAST_WORK);
    outcome?;
    if let Some(spans) = &shared.spans {
        spans.finish();
    }
    Ok(())
}

fn catalog_settings(config: &ServeConfig) -> CatalogSettings {
    if config.queue < config.max_items {
        tracing::warn!(
            queue = config.queue,
            max_items = config.max_items,
            "requests with more texts than the queue has places are always turned away"
        );
    }
    CatalogSettings {
        models: config.models.clone(),
        default_model: config.default_model.clone(),
        more_come: config.database.is_some() && config.worker.model_store.is_some(),
        engine: EngineSettings {
            device: config.device,
            threads: config.batch_threads(),
            max_batch: config.max_batch,
            queue: config.queue,
        },
    }
}

async fn run(config: &ServeConfig, shared: &Arc<Shared>, logging: &Logging) -> anyhow::Result<()> {
    let mut signals = Signals::listen().context("signals cannot be listened to")?;
    let listener = bind(config.listen).await?;
    let operations = match config.ops_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    for reason in shared.catalog.troubles() {
        tracing::warn!(reason, "not ready");
    }
    if let Some(listener) = &operations {
        tracing::info!("operations on http://{}", listener.local_addr()?);
    }
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let mut background = Background::start(config, shared)?;
    let limits = ConnectionLimits {
        most: config.max_connections,
        first_head: config.read_timeout,
        idle: config.idle_timeout,
        drain: config.drain,
        refusals: u32::try_from(config::usable_cpus())
            .unwrap_or(u32::MAX)
            .saturating_mul(REFUSALS),
    };
    let origins = origins(&config.cors_origin)?;
    let router = match operations {
        Some(_) => http::api(Arc::clone(shared), &origins),
        None => http::router(Arc::clone(shared), &origins),
    };
    let (said, stop) = signal_to_stop();
    let (done, stop_operations) = signal_to_stop();
    let serving = async move {
        let drained = http::serve(listener, router, limits, stop).await;
        // Probes and scrapers have their answers for as long as anybody has.
        drop(done);
        drained
    };
    let operating = Arc::clone(shared);
    let operations = async move {
        if let Some(listener) = operations {
            let router = http::operations(operating);
            // Everybody's requests have been answered by then.
            let drain = limits.drain.min(LAST_WORK);
            let limits = ConnectionLimits { drain, ..limits };
            http::serve(listener, router, limits, stop_operations).await;
        }
    };
    // Among the threads that read the sockets: this one would have to wake one of them for each that it accepts.
    let mut serving = tokio::spawn(async { tokio::join!(serving, operations).0 });
    let crash = tokio::select! {
        _ = &mut serving => anyhow::bail!("the server ended by itself"),
        signal = signals.next() => {
            tracing::info!(signal, lame_duck = ?config.lame_duck, drain = ?config.drain, "shutting down");
            None
        }
        crash = background.crashed() => {
            tracing::error!(crash, "shutting down");
            Some(crash)
        }
    };
    shared.draining.store(true, Ordering::Release);
    let ended = async {
        let lame_duck = tokio::time::sleep(config.lame_duck);
        tokio::select! {
            // It cannot end before it is told to.
            drained = &mut serving => return drained,
            () = lame_duck => {}
        }
        drop(said);
        shared.stopping.send_replace(true);
        serving.await
    };
    let stopped = background.stop(config.lame_duck + config.drain);
    let ended = async { tokio::join!(ended, stopped) };
    let stopped = tokio::select! {
        (drained, stopped) = ended => {
            match drained.context("the server broke")? {
                Drained::Fully => tracing::info!("every request was answered"),
                Drained::CutOff(connections) => {
                    tracing::warn!(connections, "cut off after the drain time");
                }
            }
            stopped
        }
        signal = signals.next() => {
            tracing::warn!(signal, "a second signal: ending at once");
            logging.flush();
            system::end_at_once(1);
        }
    };
    match crash.map_or(stopped, Err) {
        Ok(()) => Ok(()),
        Err(crash) => anyhow::bail!(crash),
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}

/// A handle and what ends once the handle is dropped.
fn signal_to_stop() -> (oneshot::Sender<()>, impl Future<Output = ()>) {
    let (handle, dropped) = oneshot::channel::<()>();
    (handle, async {
        // Nothing is ever sent.
        let _ = dropped.await;
    })
}

fn origins(listed: &[String]) -> anyhow::Result<Origins> {
    if listed.is_empty() {
        return Ok(Origins::Own);
    }
    if listed.iter().any(|origin| origin == "*") {
        return Ok(Origins::Any);
    }
    let origins = listed.iter().map(HeaderValue::try_from);
    let origins: Result<_, _> = origins.collect();
    Ok(Origins::Listed(origins.context("--cors-origin")?))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
