//! Graphs as text.

use super::attributes::attributes;
use super::expr::write_type;
use super::lex::name_text;
use crate::graph::{Graph, LocId, ValueId};
use crate::op::Op;
use std::fmt::{self, Write};

/// What a listing shows beside the graph itself.
#[derive(Clone, Copy, Debug)]
pub struct PrintOptions<'a> {
    /// Source lines, as comments.
    pub locs: bool,
    /// Names for the inputs, in order; those beyond the list, and empty ones, are `p0`, `p1` and so on.
    /// They ought to be distinct.
    pub params: &'a [String],
}

impl Default for PrintOptions<'_> {
    fn default() -> Self {
        PrintOptions { locs: true, params: &[] }
    }
}

/// The text of a graph.
pub fn print(graph: &Graph) -> String {
    print_with(graph, &PrintOptions::default())
}

/// The text of a graph, with a choice of what it shows.
pub fn print_with(graph: &Graph, options: &PrintOptions<'_>) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_graph(&mut out, graph, options);
    out
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_graph(f, self, &PrintOptions::default())
    }
}

fn write_graph(out: &mut dyn Write, graph: &Graph, options: &PrintOptions<'_>) -> fmt::Result {
    let symbols = symbol_names(graph);
    let names = value_names(graph, options);

    write!(out, "graph @{}", name_text(&graph.name))?;
    if !symbols.is_empty() {
        write!(out, "[{}]", symbols.join(", "))?;
    }
    out.write_str("(")?;
    for (i, &p) in graph.params().iter().enumerate() {
        write!(out, "{}{}: ", if i > 0 { ", " } else { "" }, names[p.index()])?;
        write_type(out, graph.ty(p), symbols.as_slice())?;
    }
    out.write_str(") -> (")?;
    for (i, &o) in graph.outputs.iter().enumerate() {
        out.write_str(if i > 0 { ", " } else { "" })?;
        write_type(out, graph.ty(o), symbols.as_slice())?;
    }
    out.write_str(") {\n")?;

    let operands = |ids: &[ValueId]| {
        let list: Vec<&str> = ids.iter().map(|i| names[i.index()].as_str()).collect();
        if list.is_empty() { String::new() } else { format!(" {}", list.join(", ")) }
    };
    for id in graph.ids() {
        let node = graph.node(id);
        if matches!(node.op, Op::Param { .. }) {
            continue;
        }
        write!(out, "  {} = {}{}", names[id.index()], node.op.name(), operands(&node.inputs))?;
        let attributes = attributes(&node.op, symbols.as_slice());
        if !attributes.is_empty() {
            let list: Vec<String> = attributes.into_iter().map(|(n, v)| format!("{n}={v}")).collect();
            write!(out, " {{{}}}", list.join(", "))?;
        }
        out.write_str(" : ")?;
        write_type(out, &node.ty, symbols.as_slice())?;
        if options.locs && node.loc != LocId(0) {
            let loc = graph.loc(node.loc);
            let file: String = loc.file.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            write!(out, "  ; {file}:{}", loc.line)?;
        }
        out.write_str("\n")?;
    }
    writeln!(out, "  return{}\n}}", operands(&graph.outputs))
}

/// `%p0`, `%p1` for inputs and `%0`, `%1` for results.
fn value_names(graph: &Graph, options: &PrintOptions<'_>) -> Vec<String> {
    let mut names = vec![String::new(); graph.len()];
    let mut results = 0;
    for id in graph.ids() {
        names[id.index()] = match &graph.node(id).op {
            Op::Param { index, .. } => match options.params.get(*index as usize) {
                Some(name) if !name.is_empty() => format!("%{}", name_text(name)),
                _ => format!("%p{index}"),
            },
            _ => {
                results += 1;
                format!("%{}", results - 1)
            }
        };
    }
    names
}

/// The symbols' names where they read back, else `s0`, `s1`.
fn symbol_names(graph: &Graph) -> Vec<String> {
    let names: Vec<String> = graph.symbols.iter().map(|s| s.name.clone()).collect();
    let distinct = names.iter().enumerate().all(|(i, n)| !names[..i].contains(n));
    if distinct && names.iter().all(|n| is_symbol_name(n)) {
        return names;
    }
    (0..names.len()).map(|i| format!("s{i}")).collect()
}

/// Whether a symbol of this name can be written and read: a word that is no function of expressions.
pub(crate) fn is_symbol_name(name: &str) -> bool {
    let start = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    start && word && !matches!(name, "floordiv" | "mod" | "clamp")
}
