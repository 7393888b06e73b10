//! Settings from outside the program: the server's flags, their checks, and the environment variable of every flag.
//!
//! The only file that reads environment variables. What is refused here is refused before a port is bound.

pub mod allow;
mod worker;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use clap::ArgAction;
use clap::builder::FalseyValueParser;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub use worker::{Database, ModelStore, WorkerConfig};

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A GPU where one is usable, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU; without a usable one the program does not start.
    Cuda,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines: a JSON object a line.
    Json,
}

/// What `sentiment serve` is told.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,

    /// Address and port of their own for /healthz, /readyz, /v2/health/..., /metrics, /docs, /openapi.yaml and /, which
    /// need no key.
    #[arg(long, value_parser = address)]
    pub ops_listen: Option<SocketAddr>,

    /// File of keys, one a line; without one of them, sent as `authorization: Bearer KEY`, everything but /healthz, /readyz,
    /// /v2/health/..., /metrics, /docs, /openapi.yaml and / is closed.
    #[arg(long)]
    pub api_key_file: Option<PathBuf>,

    /// File with the token that opens what is for administrators, which is closed without it.
    #[arg(long)]
    pub admin_token_file: Option<PathBuf>,

    /// Requests that each key may make in a second.
    #[arg(long, requires = "api_key_file")]
    pub rate_limit: Option<NonZeroU32>,

    /// Origin whose pages may ask from a browser, such as `https://shop.example`; `*` for all. Can be given several times.
    #[arg(long, value_parser = origin, value_delimiter = ',')]
    pub cors_origin: Vec<String>,

    /// Folder of the models.
    #[arg(long, default_value = "models")]
    pub models: PathBuf,

    /// Database of jobs, feedback and the registry of models: sqlite://PATH or postgres://...; without one those answer that
    /// they are not there.
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub database: Option<Database>,

    /// Train in this process too, on threads that yield to those that serve.
    #[arg(long, requires = "database")]
    pub with_worker: bool,

    /// What the worker works with.
    #[command(flatten)]
    pub worker: WorkerConfig,

    /// Time for which feedback is kept, such as 720h; 0s keeps it for ever.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub feedback_retention: Duration,

    /// Where the models compute.
    #[arg(long, value_enum, default_value_t)]
    pub device: Device,

    /// Batch threads of each model [default: the CPUs that this process may use].
    #[arg(long, value_parser = threads)]
    pub threads: Option<u16>,

    /// Most texts that go through a model together.
    #[arg(long, default_value = "64", value_parser = positive)]
    pub max_batch: usize,

    /// Texts that may wait for each model; a request that finds no place for all of its texts is turned away.
    #[arg(long, default_value = "1024", value_parser = queue)]
    pub queue: usize,

    /// Time from a read request to its answer.
    #[arg(long, default_value = "2s", value_parser = wait)]
    pub deadline: Duration,

    /// Largest body in bytes, after decompression.
    #[arg(long, default_value = "8388608", value_parser = positive)]
    pub max_body: usize,

    /// Most bytes of bodies and lines that are held at once, from all clients together; a request that brings more is turned away.
    #[arg(long, default_value = "268435456", value_parser = positive)]
    pub max_held: usize,

    /// Most texts in a request.
    #[arg(long, default_value = "1000", value_parser = positive)]
    pub max_items: usize,

    /// Most characters in a text.
    #[arg(long, default_value = "20000", value_parser = positive)]
    pub max_characters: usize,

    /// Time for a client to send a request's head, and then its body.
    #[arg(long, default_value = "10s", value_parser = wait)]
    pub read_timeout: Duration,

    /// Time that a connection may wait for its next request; longer than a load balancer keeps its own.
    #[arg(long, default_value = "75s", value_parser = wait)]
    pub idle_timeout: Duration,

    /// Most connections at once; more wait to be accepted.
    #[arg(long, default_value = "10000", value_parser = positive)]
    pub max_connections: usize,

    /// Time to go on serving after SIGTERM while readiness already says no.
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub lame_duck: Duration,

    /// Time for requests under way to finish after that.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub drain: Duration,

    /// Model for texts without any letters [default: the first by name].
    #[arg(long)]
    pub default_model: Option<String>,

    /// How log lines look.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// No line in the log for each request.
    #[arg(long)]
    pub no_access_log: bool,

    /// OpenTelemetry collector that spans are sent to, OTLP over HTTP: `http://127.0.0.1:4318`.
    #[arg(long)]
    pub otlp_endpoint: Option<String>,

    /// What is logged: error, warn, info, debug, trace, or filter directives.
    #[arg(long, default_value = "info,ort=warn", value_parser = log_level)]
    pub log_level: String,
}

impl ServeConfig {
    /// The batch threads of each model.
    pub fn batch_threads(&self) -> usize {
        self.threads.map_or_else(usable_cpus, usize::from)
    }
}

/// The CPUs that affinity and cgroup leave to this process.
pub fn usable_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The ONNX Runtime library that `ORT_DYLIB_PATH` names; empty counts as not set.
pub fn onnxruntime_library() -> Option<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// What the clouds' own variables say, for model storage: keys, regions, endpoints.
pub fn cloud_options() -> Vec<(String, String)> {
    let clouds = ["AWS_", "AZURE_", "GOOGLE_"];
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| clouds.iter().any(|cloud| name.starts_with(cloud)))
        .collect()
}

/// `2s`, `500ms`, `1m`: a whole number and its unit.
///
/// # Errors
/// It is not one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("{text:?} is not a time such as 500ms, 2s or 1m");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let milliseconds = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => None,
    };
    // A year is longer than any wait; beyond it the clock's own arithmetic could overflow.
    milliseconds
        .filter(|&ms| ms <= 366 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(wrong)
}

/// Lets every flag of every subcommand also be given as `SENTIMENT_<FLAG>`, so that no flag can be forgotten.
pub fn with_environment(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long() {
        Some("help" | "version") | None => arg,
        Some(flag) => {
            let variable = format!("SENTIMENT_{}", flag.to_uppercase().replace('-', "_"));
            if !matches!(arg.get_action(), ArgAction::SetTrue) {
                return arg.env(variable).hide_env_values(true);
            }
            // A variable that says no is as good as none: a flag that is there asks for others.
            let said = std::env::var(&variable).ok();
            let arg = arg.value_parser(FalseyValueParser::new());
            match said.is_some_and(|said| says_no(&said)) {
                true => arg,
                false => arg.env(variable).hide_env_values(true),
            }
        }
    });
    command.mut_subcommands(with_environment)
}

/// As [`FalseyValueParser`] reads it.
fn says_no(text: &str) -> bool {
    let no = ["", "n", "no", "f", "false", "off", "0"];
    no.contains(&text.to_lowercase().as_str())
}

fn wait(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|wait| {
        if wait.is_zero() {
            Err("it must be longer than nothing".into())
        } else {
            Ok(wait)
        }
    })
}

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("it must be a whole number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

/// Threads that compute: more than any machine has cores are a slip.
pub fn threads(text: &str) -> Result<u16, String> {
    const MOST: u16 = 1_024;
    match text.parse() {
        Ok(threads @ 1..=MOST) => Ok(threads),
        _ => Err(format!("it must be a whole number from 1 to {MOST}")),
    }
}

/// A number to compare ratings with.
pub fn finite(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| "it must be a number".into())
}

fn queue(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 20;
    positive(text).and_then(|places| {
        if places <= MOST {
            Ok(places)
        } else {
            Err(format!("it must be at most {MOST}"))
        }
    })
}

/// The filter of the log.
pub fn log_level(text: &str) -> Result<String, String> {
    // A filter takes any other word for the name of a part, and the log would be silent.
    for directive in text.split(',').map(str::trim) {
        let level = !directive.is_empty() && LevelFilter::from_str(directive).is_ok();
        if !level && !directive.contains(['=', '[']) {
            return Err(format!(
                "{directive:?} is none of error, warn, info, debug, trace and off; of one part: target=debug"
            ));
        }
    }
    EnvFilter::builder()
        .parse(text)
        .map(|_| text.to_owned())
        .map_err(|error| error.to_string())
}

/// A scheme and a host, as a browser sends them: nothing else would ever be equal to what comes.
fn origin(text: &str) -> Result<String, String> {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let sane = |host: &str| {
        let usual = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
        !host.is_empty() && host.bytes().all(usual)
    };
    if text == "*" || host.is_some_and(sane) {
        Ok(text.to_owned())
    } else {
        Err("it must be * or like https://shop.example, in small letters and without a path".into())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .map_err(|error| format!("not an address and a port: {error}"))?
        .next()
        .ok_or_else(|| "the name has no address".into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeConfig,
    }

    #[test]
    fn times_are_a_whole_number_and_a_unit() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("2s", 2_000),
            ("3m", 180_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_millis(ms));
        }
        for text in [
            "",
            "2",
            "s",
            "-1s",
            "1.5s",
            "2 s",
            "2d",
            "18446744073709551615s",
            "9000h",
        ] {
            assert!(duration(text).unwrap_err().contains(text), "{text:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_interface() {
        let serve = Line::parse_from(["sentiment"]).serve;
        assert_eq!(serve.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(serve.max_body, 8 << 20);
        assert_eq!((serve.max_items, serve.max_characters), (1_000, 20_000));
        assert_eq!((serve.max_batch, serve.queue), (64, 1_024));
        assert_eq!(serve.deadline, Duration::from_secs(2));
        assert_eq!(serve.drain, Duration::from_secs(10));
        assert_eq!(serve.lame_duck, Duration::ZERO);
    }

    #[test]
    fn what_could_never_work_is_refused_with_the_flag_named() {
        for (flag, value) in [
            ("--listen", "8080"),
            ("--threads", "0"),
            ("--threads", "100000"),
            ("--log-level", "warning"),
            ("--log-level", "info,"),
            ("--queue", "0"),
            ("--queue", "99999999999"),
            ("--max-batch", "many"),
            ("--deadline", "0s"),
            ("--drain", "soon"),
            ("--rate-limit", "5"),
            ("--cors-origin", "https://shop.example/"),
            ("--device", "tpu"),
        ] {
            let Err(error) = Line::try_parse_from(["sentiment", flag, value]) else {
                panic!("{flag} {value} was taken");
            };
            assert!(error.to_string().contains(flag), "{error}");
        }
    }
}
