//! Runs whose addresses repeat, recorded as graphs: one call to the driver instead of one a kernel.

use super::device::Device;
use super::driver::{Address, Graph, Stream};
use super::error::CudaError;
use super::plan::Places;
use parking_lot::Mutex;
use std::sync::Arc;

/// What was seen of the runs of a program with certain sizes.
#[derive(Default)]
pub(super) struct Replays {
    /// The most recently used first.
    seen: Mutex<Vec<Seen>>,
}

struct Seen {
    addresses: Box<[Address]>,
    runs: u32,
    graph: Option<Arc<Graph>>,
}

/// How many sets of addresses are remembered. The pool gives the same few again and again in a loop.
const KEPT: usize = 8;

/// A set of addresses is recorded when it comes up for this time: recording costs about as much as a run.
const RECORD_AT: u32 = 3;

impl Replays {
    /// Runs what `issue` gives to a stream, from a recording when there is one for these addresses.
    ///
    /// # Errors
    /// Those of `issue` and of the driver.
    pub(super) fn run(
        &self,
        device: &Device,
        places: &Places,
        issue: impl Fn(&Stream) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let addresses = || {
            places.buffers.iter().chain(&places.scratch).copied().chain([places.faults]).collect::<Box<[_]>>()
        };
        let key = addresses();
        let (graph, record) = self.note(key.clone());
        if let Some(graph) = graph {
            return device.stream().replay(&graph);
        }
        if !record {
            return issue(device.stream());
        }
        // On a stream of its own, for other threads may use the device's meanwhile. What cannot be recorded
        // runs as before, and says itself what is wrong.
        let Ok(graph) = Stream::new(device.context()).and_then(|s| s.capture(&issue)) else {
            return issue(device.stream());
        };
        let graph = Arc::new(graph);
        device.stream().replay(&graph)?;
        let mut seen = self.seen.lock();
        if let Some(entry) = seen.iter_mut().find(|s| s.addresses == key) {
            entry.graph = Some(graph);
        }
        Ok(())
    }

    /// Counts a run; its recording, or whether to make one.
    fn note(&self, addresses: Box<[Address]>) -> (Option<Arc<Graph>>, bool) {
        let mut seen = self.seen.lock();
        match seen.iter().position(|s| s.addresses == addresses) {
            Some(at) => {
                seen[..=at].rotate_right(1);
                let entry = &mut seen[0];
                entry.runs = entry.runs.saturating_add(1);
                (entry.graph.clone(), entry.runs == RECORD_AT)
            }
            None => {
                seen.truncate(KEPT - 1);
                seen.insert(0, Seen { addresses, runs: 1, graph: None });
                (None, false)
            }
        }
    }

    /// How many recordings there are.
    pub(super) fn recorded(&self) -> usize {
        self.seen.lock().iter().filter(|s| s.graph.is_some()).count()
    }
}
