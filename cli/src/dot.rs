//! A graph in Graphviz's language.

use std::fmt::Write;
use ttk_ir::{Graph, Op};

/// The graph as a `digraph`; weights and constants are drawn small.
pub(crate) fn dot(graph: &Graph) -> String {
    let mut out =
        format!("digraph {:?} {{\n  rankdir=TB; node [shape=box, fontname=monospace];\n", graph.name);
    for id in graph.ids() {
        let node = graph.node(id);
        let sizes: Vec<String> = node
            .ty
            .shape
            .iter()
            .map(|d| match d.fixed() {
                Some(n) => n.to_string(),
                None => "?".into(),
            })
            .collect();
        let leaf = matches!(node.op, Op::Param { .. } | Op::Const { .. } | Op::Iota { .. });
        let style = if leaf { ", style=filled, fillcolor=lightgrey" } else { "" };
        let _ = writeln!(
            out,
            "  n{} [label=\"{}\\n{}[{}]\"{style}];",
            id.index(),
            node.op.name(),
            node.ty.dtype,
            sizes.join(",")
        );
        for input in &node.inputs {
            let _ = writeln!(out, "  n{} -> n{};", input.index(), id.index());
        }
    }
    for (i, o) in graph.outputs.iter().enumerate() {
        let _ = writeln!(out, "  out{i} [label=\"output {i}\", shape=ellipse];\n  n{} -> out{i};", o.index());
    }
    out.push_str("}\n");
    out
}
