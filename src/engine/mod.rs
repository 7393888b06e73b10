//! Inference: a loaded bundle, ready to answer.

pub mod session;
