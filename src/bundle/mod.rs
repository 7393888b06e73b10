//! A model on disk: what is in `models/<name>/<version>/`, how it is verified, written and chosen.

pub mod trim;

pub use trim::Trim;
