//! `sentiment train` as its users start it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod checkpoint;
mod follow;
mod pretrained;
#[path = "../program/mod.rs"]
mod program;
mod publish;
mod shop;
mod sweep;
