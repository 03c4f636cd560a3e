//! Counts of what the lazy machinery did, for tests, benchmarks and curious users.

use std::sync::atomic::{AtomicU64, Ordering};
use ttk_runtime::sync::bias;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        $($(#[$doc])* pub static $name: AtomicU64 = AtomicU64::new(0);)*

        /// Every counter's name and value.
        pub fn all() -> Vec<(&'static str, u64)> {
            vec![$(($text, $name.load(Ordering::Relaxed)),)*]
        }

        /// Sets every counter to zero. What another thread counts at this moment may be lost, or stay.
        pub fn reset() {
            $($name.store(0, Ordering::Relaxed);)*
        }
    };
}

counters! {
    /// Runs whose plan was found.
    CACHE_HITS "cache_hits";
    /// Runs whose plan had to be made (from the disk cache or by compiling).
    CACHE_MISSES "cache_misses";
    /// Graphs that went through the passes.
    PASSES_RUN "passes_run";
    /// Kernels that went through the code generator.
    KERNELS_COMPILED "kernels_compiled";
    /// Plans that came from the disk cache.
    DISK_HITS "disk_hits";
    /// Plans run.
    RUNS "runs";
    /// Nanoseconds in passes.
    PASS_NS "pass_ns";
    /// Nanoseconds in code generation.
    CODEGEN_NS "codegen_ns";
    /// Nanoseconds in looking for plans on disk and reading them.
    LOAD_NS "load_ns";
}

/// Adds to a counter. For threads that record: see [`bias`].
pub fn add(counter: &AtomicU64, by: u64) {
    bias::add(counter, by);
}
