//! Training: recipe and reviews in, a trained network out.

pub mod network;
