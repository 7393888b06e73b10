//! Training: recipe and reviews in, a trained network out.

pub mod adam;
pub mod batches;
pub mod checkpoint;
mod crop;
pub mod curves;
pub mod dataset;
#[cfg(test)]
mod drop_check;
pub mod export;
pub mod fit;
pub mod golden;
#[cfg(test)]
mod gradient_check;
pub mod histogram;
pub mod init;
pub mod kernel;
pub mod layers;
pub mod layout;
pub mod network;
pub mod origin;
mod panel;
pub mod pretrained;
pub mod real;
pub mod report;
pub mod run;
#[cfg(test)]
mod set_check;
pub mod state;
pub mod step;
pub mod summary;
pub mod sweep;
pub mod vector;
pub mod view;
