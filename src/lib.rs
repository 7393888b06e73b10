//! `sentiment` trains LSTM sentiment models on a team's own reviews and serves them over HTTP.
//!
//! # Layers
//!
//! Ground floor up; a file imports only from its own floor and lower ones.
//!
//! | floor | modules |
//! |---|---|
//! | 0 | [`text`], [`sentiment`], [`system`], `onnx` |
//! | 1 | [`recipe`], [`bundle`], [`config`], [`metrics`], [`tls`], [`telemetry`] |
//! | 2 | [`store`], [`storage`], [`engine`], [`train`], [`vectors`] |
//! | 3 | [`catalog`], [`import`], [`worker`] |
//! | 4 | [`http`] |
//! | 5 | [`app`] |
//! | 6 | [`cli`], `main` |
//!
//! # As a library
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//!
//! use sentiment::bundle::Bundle;
//! use sentiment::engine::session::{Device, Runtime};
//! use sentiment::engine::{Engine, EngineSettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bundle = Arc::new(Bundle::load(Path::new("models/naver/2"))?);
//! assert_eq!(bundle.encoder.tokenize("배송이 빨라요").tokens.len(), 7);
//! let settings = EngineSettings { device: Device::Cpu, threads: 1, max_batch: 64, queue: 1 };
//! let engine = Engine::start(&Runtime::load()?, bundle, settings, None)?;
//! for answer in engine.predict_bulk(&["배송이 빨라요", "별로예요"]) {
//!     println!("{:?}", answer?.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//!
//! 1. Training and serving meet in exactly two places: [`text::Encoder`] and the bundle on disk.
//! 2. The server and the worker meet only in the jobs table: they run in one process or in many.
//! 3. `ort` is named in one folder, SQL in one, status codes in one file, environment variables in one file.
//! 4. The predict path touches neither the database nor the disk.
//! 5. A bundle is immutable once renamed into place; a version is never rewritten.

pub mod app;
pub mod bundle;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod engine;
pub mod http;
pub mod import;
pub mod metrics;
mod onnx;
pub mod recipe;
pub mod sentiment;
pub mod storage;
pub mod store;
pub mod system;
pub mod telemetry;
pub mod text;
pub mod tls;
pub mod train;
pub mod vectors;
pub mod worker;
