//! Lazy tensors with PyTorch's semantics: the hub that joins the compiler's crates.

pub mod autocast;
mod blame;
pub mod capture;
pub mod compile;
pub mod composite;
pub mod counters;
pub mod device;
pub mod error;
pub mod grad;
pub mod host;
pub mod index;
pub mod log;
pub mod materialize;
pub mod node;
pub mod ops;
pub mod pending;
pub mod pieces;
pub mod profile;
pub mod random;
pub mod record;
pub mod source;
pub mod storage;
pub mod tensor;
pub mod trace;
pub mod view;

pub use error::{Error, Exception, Result};
pub use tensor::Tensor;
