//! What ran, step by step, for `torch.profiler`.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use ttk_ir::program::work::step_work;
use ttk_ir::program::{Action, Program};

/// How many profiles are running.
static RUNNING: AtomicU32 = AtomicU32::new(0);
static EVENTS: Mutex<Events> = Mutex::new(Events { since: None, list: Vec::new() });

struct Events {
    since: Option<Instant>,
    list: Vec<Event>,
}

/// One step of a plan that ran.
#[derive(Clone, Debug)]
pub struct Event {
    /// The kernel, or what it is (`gemm`, `argsort`).
    pub name: String,
    /// The line of the user's program, as `file:line`; empty if it is not known.
    pub line: String,
    /// Since the first of the running profiles began.
    pub start: Duration,
    pub time: Duration,
    /// See [`ttk_ir::program::work::StepWork`].
    pub bytes: f64,
    pub operations: f64,
}

/// Begins to note what runs, until as many calls of [`stop`] as of this.
pub fn start() {
    let mut events = EVENTS.lock();
    if RUNNING.fetch_add(1, Ordering::Relaxed) == 0 {
        *events = Events { since: Some(Instant::now()), list: Vec::new() };
    }
}

/// Ends one profile; what ran since the last call of this.
pub fn stop() -> Vec<Event> {
    let mut events = EVENTS.lock();
    let _ = RUNNING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
    std::mem::take(&mut events.list)
}

/// Whether a profile is running.
pub(crate) fn is_on() -> bool {
    RUNNING.load(Ordering::Relaxed) > 0
}

/// Notes a run that began at `start`, by the times of its steps and the algorithms of some.
pub(crate) fn note(
    program: &Program,
    symbols: &[i64],
    algorithms: &[Option<&'static str>],
    start: Instant,
    times: &[Duration],
) {
    let mut events = EVENTS.lock();
    let Some(since) = events.since else { return };
    let mut at = start.saturating_duration_since(since);
    for (i, (step, &time)) in program.steps.iter().zip(times).enumerate() {
        let work = step_work(program, i, symbols);
        let line =
            if step.loc.line == 0 { String::new() } else { format!("{}:{}", step.loc.file, step.loc.line) };
        let mut name = name_of(program, &step.action);
        if let Some(algorithm) = algorithms.get(i).copied().flatten() {
            name = format!("{name} ({algorithm})");
        }
        let event = Event { name, line, start: at, time, bytes: work.bytes, operations: work.operations };
        events.list.push(event);
        at += time;
    }
}

/// What tables call a step: steps of one name are added up there.
fn name_of(program: &Program, action: &Action) -> String {
    let name = action.name(&program.kernels);
    if let Action::Gemm(gemm) = action
        && let Some(epilogue) = &gemm.epilogue
    {
        return format!("{name} + {}", program.kernels[epilogue.kernel as usize].name);
    }
    name.to_owned()
}
