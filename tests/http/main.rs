//! The service as its clients meet it: the real program on small models, every answer held against openapi.yaml.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod access;
mod agreement;
mod clients;
mod closer;
mod contract;
mod feedback;
mod inference;
mod jobs;
mod limits;
mod malformed;
mod metrics;
mod models;
mod operations;
#[expect(dead_code, reason = "other tests restart the server")]
#[path = "../postgres/mod.rs"]
mod postgres;
#[path = "../program/mod.rs"]
mod program;
#[path = "../s3/mod.rs"]
mod s3;
mod sentiment;
mod server;
mod shipped;
#[expect(dead_code, reason = "other tests look at everything published")]
#[path = "../train/shop.rs"]
mod shop;
mod shutdown;
#[path = "../small/mod.rs"]
mod small;
mod start;
#[path = "../stderr/mod.rs"]
mod stderr;
mod storage;
mod store;
mod stream;
mod swap;
mod tracing;
mod wire;
mod words;
