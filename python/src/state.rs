//! Modes and counters of the process.

use crate::errors::{guard, guard_unlocked};
use crate::object::{as_tensor, wrap};
use crate::parse::{overflow, type_name, wrong_type};
use crate::types::PyDType;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};
use std::cell::Cell;
use std::sync::LazyLock;
use ttk_frontend::autocast::{self, Kind};
use ttk_frontend::{counters, materialize, pieces, profile, record};

/// `TTK_EAGER=1`: every operator is computed at once, for debugging.
static EAGER: LazyLock<bool> = LazyLock::new(|| std::env::var("TTK_EAGER").is_ok_and(|v| v == "1"));

thread_local! {
    static INFERENCE: Cell<bool> = const { Cell::new(false) };
}

/// What comes before every operator, which is called at `place` of the program.
pub(crate) fn before_operator(py: Python<'_>, place: u64) -> PyResult<()> {
    if pieces::is_due(place) { guard_unlocked(py, materialize::flush) } else { Ok(()) }
}

/// What follows every operator.
pub(crate) fn after_operator(py: Python<'_>) -> PyResult<()> {
    if *EAGER { guard_unlocked(py, materialize::flush) } else { Ok(()) }
}

#[pyfunction]
fn is_grad_enabled() -> bool {
    record::grad_enabled()
}

#[pyfunction]
fn _set_grad_enabled(on: &Bound<'_, PyAny>) -> PyResult<bool> {
    match on.extract() {
        Ok(on) => Ok(record::set_grad_enabled(on)),
        Err(_) => Err(wrong_type("set_grad_enabled", "enabled", 1, "bool", on)),
    }
}

/// Says that numbers in the operators called from now on will be others the next time; what it was before.
#[pyfunction]
fn _set_varying(on: bool) -> bool {
    record::set_varying(on)
}

/// What operators lower their precision to on the processor, or on GPUs; `None`: they do not.
#[pyfunction]
fn _set_autocast(cuda: bool, dtype: Option<&PyDType>) {
    let kind = if cuda { Kind::Cuda } else { Kind::Cpu };
    autocast::set(kind, dtype.map(|d| d.0));
}

#[pyfunction]
fn _autocast_is_on() -> bool {
    autocast::is_on()
}

/// An argument of an operator that is composed in Python, cast where the operator asks for it.
#[pyfunction]
fn _autocast_operand<'py>(operator: &str, value: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match as_tensor(&value) {
        Some(t) => {
            let cast = autocast::operand(operator, t);
            if cast.is(t) { Ok(value) } else { wrap(value.py(), cast) }
        }
        None => Ok(value),
    }
}

#[pyfunction]
fn is_inference_mode_enabled() -> bool {
    INFERENCE.get()
}

#[pyfunction]
fn _set_inference_mode(on: bool) -> bool {
    INFERENCE.replace(on)
}

#[pyfunction]
fn set_num_threads(n: &Bound<'_, PyAny>) -> PyResult<()> {
    if !n.is_instance_of::<PyInt>() {
        let got = type_name(n);
        return Err(PyRuntimeError::new_err(format!("set_num_threads expects an int, but got {got}")));
    }
    let n: i64 = n.extract().map_err(|_| overflow())?;
    if n <= 0 {
        return Err(PyRuntimeError::new_err("set_num_threads expects a positive integer"));
    }
    // More threads than any machine has would be refused by the system, one by one.
    guard(|| {
        ttk_runtime::threads::set_num_threads(n.min(MAX_THREADS) as usize);
        Ok(())
    })
}

const MAX_THREADS: i64 = 1024;

#[pyfunction]
fn get_num_threads() -> usize {
    ttk_runtime::threads::num_threads()
}

/// What the lazy machinery did: counts since the last reset, and memory now.
#[pyfunction]
fn _counters(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let d = PyDict::new(py);
    for (name, value) in counters::all() {
        d.set_item(name, value)?;
    }
    d.set_item("plans", materialize::plan_count())?;
    let memory = ttk_runtime::memory::stats();
    d.set_item("live_bytes", memory.live)?;
    d.set_item("peak_bytes", memory.peak)?;
    d.set_item("system_allocations", memory.system_allocations)?;
    d.set_item("live_nodes", ttk_frontend::node::live_nodes())?;
    Ok(d)
}

#[pyfunction]
fn _reset_counters() {
    counters::reset();
}

/// Begins to note the steps of plans that run.
#[pyfunction]
fn _profile_start() {
    profile::start();
}

/// Name, line, start, time (both in seconds), bytes and operations of a step.
type ProfileEvent = (String, String, f64, f64, f64, f64);

/// Ends one profile; what ran since the last call of this.
#[pyfunction]
fn _profile_stop() -> Vec<ProfileEvent> {
    let event = |e: profile::Event| {
        (e.name, e.line, e.start.as_secs_f64(), e.time.as_secs_f64(), e.bytes, e.operations)
    };
    profile::stop().into_iter().map(event).collect()
}

/// Forgets every compiled plan.
#[pyfunction]
fn _clear_plans() {
    materialize::clear_plans();
}

/// Runs the `ttk` program; its exit code.
#[pyfunction]
fn _cli_main(py: Python<'_>, argv: Vec<std::ffi::OsString>) -> PyResult<i32> {
    guard(|| Ok(py.detach(|| ttk_cli::main_with(argv))))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(is_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(_set_grad_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(_set_varying, m)?)?;
    m.add_function(wrap_pyfunction!(_set_autocast, m)?)?;
    m.add_function(wrap_pyfunction!(_autocast_is_on, m)?)?;
    m.add_function(wrap_pyfunction!(_autocast_operand, m)?)?;
    m.add_function(wrap_pyfunction!(is_inference_mode_enabled, m)?)?;
    m.add_function(wrap_pyfunction!(_set_inference_mode, m)?)?;
    m.add_function(wrap_pyfunction!(set_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(get_num_threads, m)?)?;
    m.add_function(wrap_pyfunction!(_counters, m)?)?;
    m.add_function(wrap_pyfunction!(_reset_counters, m)?)?;
    m.add_function(wrap_pyfunction!(_profile_start, m)?)?;
    m.add_function(wrap_pyfunction!(_profile_stop, m)?)?;
    m.add_function(wrap_pyfunction!(_clear_plans, m)?)?;
    m.add_function(wrap_pyfunction!(_cli_main, m)?)?;
    Ok(())
}
