//! How long the rewriting passes take: `cargo run --release -p ttk-passes --example pass_timing`.
//!
//! The graphs are whole training steps, forward, backward and optimizer, as a script would record them:
//! a decoder-only transformer of 12 layers and a small convolutional network.

#![allow(clippy::print_stdout)]

mod models;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use ttk_ir::Graph;
use ttk_passes::egraph::cost::{Cost, cost};
use ttk_passes::{Options, PIPELINE, optimize, trace};

fn main() {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| names.is_empty() || names.iter().any(|n| n == name);
    let size = |layers| models::Size { layers, batch: 8, length: 128, width: 256, heads: 8, vocabulary: 65 };
    for (name, graph) in [
        ("transformer", models::transformer(size(12))),
        ("transformer1", models::transformer(size(1))),
        ("cnn", models::cnn(64, 28, 32)),
    ] {
        if wanted(name) {
            report(name, &graph);
        }
    }
}

fn report(name: &str, graph: &Graph) {
    let options = Options::default();
    println!("{name}: {} operations, {}", operations(graph), summary(graph));
    let mut graphs = vec![graph.clone()];
    graphs.extend(trace(graph, &options).expect("passes").into_iter().map(|(_, g)| g));
    for (pass, pair) in PIPELINE.iter().zip(graphs.windows(2)) {
        let time = mean(|| (pass.run)(&pair[0], &options).expect("pass"));
        println!(
            "  {:<14} {time:>10.2?}  {:>5} operations, cost {}",
            pass.name,
            operations(&pair[1]),
            total(&pair[1])
        );
    }
    println!("  all            {:>10.2?}", mean(|| optimize(graph, &options).expect("passes")));
    println!("  result: {}", summary(&graphs[graphs.len() - 1]));
    let last = &graphs[graphs.len() - 1];
    match ttk_passes::lower(last, &ttk_passes::LowerOptions::default()) {
        Ok(p) => println!(
            "  lower          {:>10.2?}  {} kernels, {} steps",
            mean(|| ttk_passes::lower(last, &Default::default())),
            p.kernels.len(),
            p.steps.len()
        ),
        Err(e) => println!("  lower: {e}"),
    }
    if std::env::var_os("PRINT").is_some() {
        println!("{}", ttk_ir::text::print(&graphs[graphs.len() - 1]));
    }
}

/// The mean of many runs, in time this thread had a processor: what the work takes whatever else runs.
fn mean<T>(mut run: impl FnMut() -> T) -> Duration {
    let origin = Instant::now();
    // Linux counts the nanoseconds a thread runs; elsewhere the clock on the wall has to do.
    let clock = || {
        let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
        let nanoseconds = spent.and_then(|s| s.split(' ').next()?.parse().ok());
        nanoseconds.map_or_else(|| origin.elapsed(), Duration::from_nanos)
    };
    // The count moves in steps of milliseconds.
    let (start, mut runs) = (clock(), 0);
    while clock() - start < Duration::from_millis(400) {
        std::hint::black_box(run());
        runs += 1;
    }
    (clock() - start) / runs.max(1)
}

fn operations(graph: &Graph) -> usize {
    graph.len() - graph.params().len()
}

fn total(graph: &Graph) -> u64 {
    let of = |n: &ttk_ir::Node| {
        let inputs: Vec<_> = n.inputs.iter().map(|v| graph.ty(*v)).collect();
        cost(&n.op, &inputs, &n.ty)
    };
    graph.nodes().iter().map(of).sum::<Cost>().units()
}

fn summary(graph: &Graph) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for node in graph.nodes() {
        *counts.entry(node.op.name()).or_default() += 1;
    }
    let shown = ["dot", "permute", "reshape", "expand", "reduce", "slice", "pad", "concat", "window", "fold"];
    let parts = shown.iter().filter_map(|n| counts.get(n).map(|c| format!("{c} {n}")));
    parts.collect::<Vec<_>>().join(", ")
}
