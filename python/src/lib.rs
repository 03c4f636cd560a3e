//! The native module `tiny_torch._C`: Python objects around the frontend's.

// The module's name is PyTorch's.
#![allow(non_snake_case)]

mod autograd;
mod convert;
mod cuda;
mod dispatch;
mod errors;
mod graph;
mod index;
mod make;
mod object;
mod operators;
mod parse;
mod source;
mod state;
mod storage;
mod types;

use pyo3::prelude::*;

#[pymodule]
fn _C(m: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::quiet_panics();
    types::register(m)?;
    object::register(m)?;
    storage::register(m)?;
    dispatch::register(m)?;
    convert::register(m)?;
    autograd::register(m)?;
    state::register(m)?;
    graph::register(m)?;
    cuda::register(m)?;
    Ok(())
}
