//! A matrix of ids to logits: the only folder that names `ort`.
//!
//! It owns the process's one ONNX Runtime environment and the sessions opened in it. It refuses every input that the
//! runtime would abort on (no rows, no steps), wrap silently (negative ids, more steps than the graph's table of states) or
//! read past (lengths), so that no request can end the process. A session belongs to one thread and computes on it alone:
//! the runtime's own pools count the host's cores, not the cgroup's.

mod graph;
mod limit;
mod lstm;
mod operator;
mod sequences;
mod weights;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::bundle::Trim;
use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::RunOptions;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::TensorRef;

pub use crate::config::Device;
pub use limit::Timed;
pub use weights::Weights;

use graph::Rewritten;

/// Why the runtime, a graph or a batch is refused.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// No library in any of the places looked at.
    #[error(
        "ONNX Runtime is missing: set ORT_DYLIB_PATH to {LIBRARY}, or run `make`, which fetches it"
    )]
    Missing,
    /// `ORT_DYLIB_PATH` names no file.
    #[error(
        "ONNX Runtime is missing: ORT_DYLIB_PATH names {0}, which is no file; correct it, or unset it and run `make`, which fetches the library"
    )]
    MissingAt(PathBuf),
    /// The library is there and cannot be used.
    #[error("ONNX Runtime cannot be loaded: {0}")]
    Unusable(String),
    /// `cuda` was asked for.
    #[error("no usable GPU for device \"cuda\": {0}")]
    NoCuda(String),
    /// The graph is not one that this program writes, or the runtime cannot read it.
    #[error("graph refused: {0}")]
    Graph(String),
    /// The batch was refused before the runtime saw it.
    #[error("batch refused: {0}")]
    Batch(String),
    /// The runtime failed.
    #[error("inference failed: {0}")]
    Run(String),
    /// It was given up.
    #[error("the graph did not answer within {} s", limit.as_secs_f64())]
    Endless {
        /// What it was given.
        limit: Duration,
    },
}

/// How a session is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where it computes.
    pub device: Device,
    /// With the runtime's own operators alone, as another program would run the graph. Else, on a CPU, an LSTM is the
    /// trainer's, which takes about half the time.
    pub standard: bool,
}

/// ONNX Runtime, loaded. Cheap to clone; the library and its environment stay for the life of the process.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    library: PathBuf,
}

/// The library's file name.
const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libonnxruntime.dylib"
} else {
    "libonnxruntime.so"
};

/// The runtime allows one environment in a process.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Loads the library that `ORT_DYLIB_PATH` names, else the one beside the binary, else the one that `make` fetched.
    /// Later calls in the same process answer with what the first one loaded.
    ///
    /// # Errors
    /// There is no library, or it cannot be used.
    pub fn load() -> Result<Self, SessionError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = &*loaded {
            return Ok(runtime.clone());
        }
        let library = find_library(crate::config::onnxruntime_library())?;
        let unusable = |reason: String| SessionError::Unusable(one_line(&reason));
        let environment = ort::init_from(&library)
            .map_err(|error| unusable(error.to_string()))?
            .with_name("sentiment")
            .with_telemetry(false)
            .with_logger(Arc::new(
                |level: LogLevel, _: &str, _: &str, location: &str, message: &str| {
                    forward_log(level, location, message);
                },
            ))
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        environment.set_log_level(LogLevel::Warning);
        let runtime = Self {
            environment,
            library,
        };
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library in use.
    pub fn library(&self) -> &Path {
        &self.library
    }
}

fn find_library(configured: Option<PathBuf>) -> Result<PathBuf, SessionError> {
    if let Some(path) = configured {
        let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        return if absolute.is_file() {
            Ok(absolute)
        } else {
            Err(SessionError::MissingAt(path))
        };
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|binary| Some(binary.parent()?.join(LIBRARY)));
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".ort")
        .join(LIBRARY);
    beside
        .into_iter()
        .chain([fetched])
        .find(|path| path.is_file())
        .ok_or(SessionError::Missing)
}

/// Whatever the runtime finds worth saying is a warning of ours at most: its failures also come back as errors, and are
/// logged once, by whoever handles them.
fn forward_log(level: LogLevel, location: &str, message: &str) {
    if level >= LogLevel::Warning {
        tracing::warn!(target: "onnxruntime", location, "{}", one_line(message));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One graph, open on one device, for one thread.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    provider: &'static str,
    ragged: bool,
    limits: Limits,
}

/// What the graph says it can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    trim: Trim,
    maxlen: usize,
    rows: i64,
}

impl Session {
    /// Opens a graph.
    ///
    /// # Errors
    /// It is not one of ours, the runtime cannot read it, or the device is not usable.
    pub fn open(
        runtime: &Runtime,
        onnx: &[u8],
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        Self::open_with(runtime, onnx, options, &Weights::default())
    }

    /// The same, with tensors that other sessions of the graph hold too.
    ///
    /// # Errors
    /// As without them.
    pub fn open_with(
        runtime: &Runtime,
        onnx: &[u8],
        options: SessionOptions,
        weights: &Weights,
    ) -> Result<Self, SessionError> {
        let cuda = || {
            let provider = CUDA::default().build().error_on_failure();
            commit(runtime, onnx, &Weights::default(), Some(provider))
        };
        let cpu = || {
            let graph = match options.standard {
                true => Rewritten::unchanged(onnx),
                false => graph::with_our_operators(onnx),
            };
            let session =
                commit(runtime, &graph.onnx, weights, None).map_err(SessionError::Graph)?;
            Ok((session, "cpu", graph.ragged))
        };
        let (inner, provider, ragged) = match options.device {
            Device::Cpu => cpu()?,
            Device::Cuda => (cuda().map_err(SessionError::NoCuda)?, "cuda", false),
            Device::Auto => match cuda() {
                Ok(session) => (session, "cuda", false),
                Err(reason) => {
                    tracing::debug!(reason, "no usable GPU, taking the CPU");
                    cpu()?
                }
            },
        };
        let limits = Limits::of(&inner)?;
        Ok(Self {
            inner,
            provider,
            ragged,
            limits,
        })
    }

    /// The logits of `ids`, rows of `shape.1` steps one after another; `lengths` counts each row's real tokens.
    ///
    /// # Errors
    /// The batch is one that the graph cannot take, or the runtime failed.
    ///
    /// # Panics
    /// An operator of ours did.
    pub fn run(
        &mut self,
        ids: &[i64],
        shape: (usize, usize),
        lengths: &[i64],
    ) -> Result<Vec<f32>, SessionError> {
        self.answer((ids, shape, lengths), None)
    }

    fn answer(
        &mut self,
        (ids, shape, lengths): Batch<'_>,
        options: Option<&RunOptions>,
    ) -> Result<Vec<f32>, SessionError> {
        self.limits
            .check(ids, shape, lengths)
            .map_err(SessionError::Batch)?;
        let (batch, time) = shape;
        let ids = TensorRef::from_array_view(([batch, time], ids)).map_err(failed)?; // [batch, time]
        let lengths = TensorRef::from_array_view(([batch], lengths)).map_err(failed)?; // [batch]
        let inputs = ort::inputs!["ids" => ids, "lengths" => lengths];
        let outputs = match options {
            Some(options) => self.inner.run_with_options(inputs, options),
            None => self.inner.run(inputs),
        };
        let outputs = outputs.map_err(|error| {
            operator::panic_on();
            failed(error)
        })?;
        let (_, logits) = outputs["logit"]
            .try_extract_tensor::<f32>()
            .map_err(failed)?;
        if logits.len() != batch {
            return Err(SessionError::Run(format!(
                "{} logits for {batch} rows",
                logits.len()
            )));
        }
        Ok(logits.to_vec())
    }

    /// The provider that really computes: `cpu` or `cuda`.
    pub fn provider(&self) -> &'static str {
        self.provider
    }

    /// Whether pads cost nothing, where longer rows come before shorter ones.
    pub fn ragged(&self) -> bool {
        self.ragged
    }
}

/// Ids, their shape, and lengths.
type Batch<'a> = (&'a [i64], (usize, usize), &'a [i64]);

fn failed(error: ort::Error) -> SessionError {
    SessionError::Run(one_line(&error.to_string()))
}

fn commit(
    runtime: &Runtime,
    onnx: &[u8],
    weights: &Weights,
    provider: Option<ExecutionProviderDispatch>,
) -> Result<ort::session::Session, String> {
    let open = || -> ort::Result<ort::session::Session> {
        let builder: SessionBuilder = ort::session::Session::builder(&runtime.environment)?
            .with_log_level(LogLevel::Warning)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_parallel_execution(false)?
            // One pattern is kept for each shape that was ever run, and no run is faster for it.
            .with_memory_pattern(false)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?;
        let mut builder = match provider {
            Some(provider) => builder.with_execution_providers([provider])?,
            None => builder.with_operators(operator::domain()?)?,
        };
        for (name, value) in weights.iter() {
            builder = builder.with_initializer(name, Arc::clone(value))?;
        }
        builder.commit_from_memory(onnx)
    };
    first_alone(open).map_err(|error| one_line(&error.to_string()))
}

/// Opens the first session of the process while no other is opened: the runtime adds the name of our operators to a table of
/// the process, and two sessions that both find it missing there would both add it, of which the second fails.
fn first_alone<T>(open: impl FnOnce() -> ort::Result<T>) -> ort::Result<T> {
    static OPENED: Mutex<bool> = Mutex::new(false);
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if *opened {
        drop(opened);
        return open();
    }
    let answer = open();
    *opened = answer.is_ok();
    answer
}

impl Limits {
    fn of(session: &ort::session::Session) -> Result<Self, SessionError> {
        let names = |outlets: &[ort::value::Outlet]| {
            let mut names: Vec<_> = outlets.iter().map(|o| o.name().to_owned()).collect();
            names.sort();
            names
        };
        if names(session.inputs()) != ["ids", "lengths"] || names(session.outputs()) != ["logit"] {
            return Err(SessionError::Graph(
                "it does not take ids and lengths and give a logit".into(),
            ));
        }
        let metadata = session
            .metadata()
            .map_err(|error| SessionError::Graph(one_line(&error.to_string())))?;
        let trim = read(metadata.custom("trim"), "trim")?;
        let maxlen = read(metadata.custom("maxlen"), "maxlen")?;
        let rows = read(metadata.custom("rows"), "rows")?;
        Ok(Self { trim, maxlen, rows })
    }

    fn check(
        &self,
        ids: &[i64],
        (batch, time): (usize, usize),
        lengths: &[i64],
    ) -> Result<(), String> {
        if batch == 0 || time == 0 {
            return Err(format!("{batch} rows of {time} steps"));
        }
        if batch.checked_mul(time) != Some(ids.len()) || lengths.len() != batch {
            return Err(format!(
                "{} ids and {} lengths for {batch} rows of {time} steps",
                ids.len(),
                lengths.len()
            ));
        }
        let fits = match self.trim {
            Trim::Table => time <= self.maxlen,
            Trim::Masked => true,
            Trim::None => time == self.maxlen,
        };
        if !fits {
            return Err(format!(
                "rows of {time} steps, where the graph was made for {}",
                self.maxlen
            ));
        }
        if let Some(id) = ids.iter().find(|id| !(0..self.rows).contains(id)) {
            return Err(format!(
                "id {id}, where the embedding has {} rows",
                self.rows
            ));
        }
        if let Some(length) = lengths
            .iter()
            .find(|&&length| usize::try_from(length).map_or(true, |n| n == 0 || n > time))
        {
            return Err(format!("length {length} in rows of {time} steps"));
        }
        Ok(())
    }
}

fn read<T: FromStr>(value: Option<String>, key: &str) -> Result<T, SessionError> {
    value
        .and_then(|value| value.parse().ok())
        .ok_or_else(|| SessionError::Graph(format!("its metadata has no usable {key:?}")))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    const TABLE: Limits = Limits {
        trim: Trim::Table,
        maxlen: 4,
        rows: 10,
    };

    #[test]
    fn what_the_runtime_would_abort_on_or_misread_is_refused() {
        assert_eq!(TABLE.check(&[1, 2, 3, 9], (2, 2), &[1, 2]), Ok(()));
        for (ids, shape, lengths, words) in [
            (&[][..], (0, 2), &[][..], "0 rows of 2 steps"),
            (&[], (2, 0), &[1, 1], "2 rows of 0 steps"),
            (&[1, 2, 3], (2, 2), &[1, 1], "3 ids and 2 lengths"),
            (&[1, 2], (1, 2), &[1, 1], "2 ids and 2 lengths"),
            (&[1, -1], (1, 2), &[1], "id -1"),
            (&[1, 10], (1, 2), &[1], "id 10"),
            (&[1, 2], (1, 2), &[0], "length 0"),
            (&[1, 2], (1, 2), &[3], "length 3"),
            (&[1, 2], (1, 2), &[-1], "length -1"),
            (&[1; 5], (1, 5), &[1], "rows of 5 steps"),
        ] {
            let refused = TABLE.check(ids, shape, lengths).unwrap_err();
            assert!(refused.contains(words), "{refused:?} lacks {words:?}");
        }
    }

    #[test]
    fn only_a_masked_graph_takes_rows_of_any_length() {
        let row = [1; 5];
        for (trim, fits) in [
            (Trim::Table, [true, true, false]),
            (Trim::Masked, [true, true, true]),
            (Trim::None, [false, true, false]),
        ] {
            let limits = Limits { trim, ..TABLE };
            let taken = [3, 4, 5].map(|time| limits.check(&row[..time], (1, time), &[1]).is_ok());
            assert_eq!(taken, fits, "{trim:?}");
        }
    }

    #[test]
    fn a_missing_library_is_named_in_one_line_with_what_to_do() {
        let refused = find_library(Some("nowhere/libonnxruntime.so".into()))
            .unwrap_err()
            .to_string();
        assert!(refused.contains("nowhere/libonnxruntime.so") && refused.contains("`make`"));
        let refused = SessionError::Missing.to_string();
        assert!(refused.contains("ORT_DYLIB_PATH") && refused.contains("`make`"));
        assert!(!refused.contains('\n'));
    }
}
