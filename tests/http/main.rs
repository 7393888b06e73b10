//! The service as its clients meet it: the real program on small models, every answer held against openapi.yaml.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod agreement;
mod clients;
mod contract;
mod limits;
mod malformed;
mod metrics;
mod models;
mod operations;
#[path = "../program/mod.rs"]
mod program;
mod sentiment;
mod server;
mod shipped;
mod shutdown;
#[path = "../small/mod.rs"]
mod small;
mod start;
mod stream;
mod tracing;
mod wire;
mod words;
