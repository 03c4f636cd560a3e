//! `TTK_LOG=cache,passes,codegen,graph,program,steps`: what happens and why, on standard error.

use crate::compile::cache::MissReason;
use std::sync::LazyLock;

static TOPICS: LazyLock<Vec<String>> = LazyLock::new(|| {
    std::env::var("TTK_LOG").map(|v| v.split(',').map(|t| t.trim().to_owned()).collect()).unwrap_or_default()
});

/// Whether a topic was asked for.
pub fn enabled(topic: &str) -> bool {
    TOPICS.iter().any(|t| t == topic || t == "all")
}

pub(crate) fn cache_miss(reason: &MissReason) {
    if enabled("cache") {
        let why = match reason {
            MissReason::NewStructure { operations } => format!("new structure of {operations} operations"),
            MissReason::Differs { sizes, scalars } => {
                format!(
                    "known structure, other numbers: {sizes} sizes and {scalars} scalars become parameters"
                )
            }
        };
        eprintln!("[ttk cache] miss: {why}");
    }
}

pub(crate) fn say(topic: &str, text: impl FnOnce() -> String) {
    if enabled(topic) {
        eprintln!("[ttk {topic}] {}", text());
    }
}
