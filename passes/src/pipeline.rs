//! The rewriting passes in order.

use crate::canonicalize::canonicalize;
use crate::cse::cse;
use crate::dce::dce;
use crate::egraph::rewrite;
use crate::error::PassError;
use crate::layout::layout;
use crate::options::Options;
use crate::products::products;
use crate::reciprocal::reciprocal;
use crate::rematerialize::rematerialize;
use ttk_ir::Graph;

/// A step of the optimiser: a pure function from a graph to an equal graph.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What `ttk inspect --after` calls it.
    pub name: &'static str,
    /// One line for a listing.
    pub doc: &'static str,
    pub run: fn(&Graph, &Options) -> Result<Graph, PassError>,
}

/// All passes, in the order in which they run. A comment says what an entry needs of those before it.
pub const PIPELINE: &[Pass] = &[
    // First because it is the cheapest and a recorded graph has many duplicates (masks, constants,
    // broadcasts of one scalar): all later passes see fewer nodes.
    Pass { name: "cse", doc: "merge equal operations on equal operands", run: cse },
    // Before the e-graph: one form for each thing, so that a rule there need not list the others.
    // Keeps equal values merged as it goes, because identities ask whether two operands are the same.
    Pass {
        name: "canonicalize",
        doc: "identities, constants and one form for equal things",
        run: canonicalize,
    },
    // After canonicalize, so that products of views read what lies behind the views; before the e-graph, whose
    // islands are smaller than a long sum. Additions it has joined are dropped with the rest.
    Pass { name: "products", doc: "one product for a sum of products", run: products },
    // After canonicalize, whose forms it looks for; before the e-graph, which may then move the products. It
    // asks how a divisor came about, so it cannot be a rule there: an island may begin after that.
    Pass { name: "reciprocal", doc: "multiply by the reciprocal of a repeated divisor", run: reciprocal },
    // Before what takes the cost of operations into account, after what leaves replaced ones behind.
    Pass { name: "dce", doc: "drop operations that no output depends on", run: dce },
    Pass { name: "rewrite", doc: "equality saturation with structural rules", run: rewrite },
    // After the e-graph, which decides what the products are: their results are what lies in another order
    // than it is written in.
    Pass { name: "layout", doc: "choose in which order of axes values lie in memory", run: layout },
    // A chosen graph holds views of views where the rule that made one did not know of the other.
    Pass { name: "cleanup", doc: "canonicalize again what the rewrites made", run: canonicalize },
    Pass { name: "prune", doc: "drop what the second canonicalization replaced", run: dce },
    // Last: all that could be merged has been, and nothing after it may merge what it has taken apart.
    Pass { name: "rematerialize", doc: "compute again what is dear to keep", run: rematerialize },
];

/// The pass of that name, of the pipeline.
///
/// # Errors
/// [`PassError::UnknownPass`].
pub fn find(name: &str) -> Result<&'static Pass, PassError> {
    PIPELINE.iter().find(|p| p.name == name).ok_or_else(|| PassError::UnknownPass {
        name: name.to_owned(),
        known: PIPELINE.iter().map(|p| p.name).collect(),
    })
}

/// Runs one pass and, in debug builds, checks what it made.
///
/// # Errors
/// A defect of the pass.
pub fn run_pass(pass: &Pass, graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    let out = (pass.run)(graph, options)?;
    if cfg!(debug_assertions) {
        check(pass.name, graph, &out)?;
    }
    Ok(out)
}

/// The graph after all passes.
///
/// # Errors
/// A defect of a pass.
pub fn optimize(graph: &Graph, options: &Options) -> Result<Graph, PassError> {
    let mut graph = std::borrow::Cow::Borrowed(graph);
    for pass in PIPELINE {
        graph = std::borrow::Cow::Owned(run_pass(pass, &graph, options)?);
    }
    Ok(graph.into_owned())
}

/// The graph after the passes up to and with the one named.
///
/// # Errors
/// [`PassError::UnknownPass`], or a defect of a pass.
pub fn optimize_until(graph: &Graph, options: &Options, last: &str) -> Result<Graph, PassError> {
    find(last)?;
    let mut graph = graph.clone();
    for pass in PIPELINE {
        graph = run_pass(pass, &graph, options)?;
        if pass.name == last {
            break;
        }
    }
    Ok(graph)
}

/// The graph after each pass, with the pass's name.
///
/// # Errors
/// A defect of a pass.
pub fn trace(graph: &Graph, options: &Options) -> Result<Vec<(&'static str, Graph)>, PassError> {
    let mut steps: Vec<(&'static str, Graph)> = Vec::with_capacity(PIPELINE.len());
    for pass in PIPELINE {
        let before = steps.last().map_or(graph, |(_, g)| g);
        let after = run_pass(pass, before, options)?;
        steps.push((pass.name, after));
    }
    Ok(steps)
}

/// A pass may change everything but the signature, and leaves a graph that verifies.
fn check(pass: &'static str, before: &Graph, after: &Graph) -> Result<(), PassError> {
    if let Err(error) = ttk_ir::verify::verify(after) {
        return Err(PassError::Verify { pass, error, graph: ttk_ir::text::print(after) });
    }
    for (side, a, b) in
        [("input", before.params(), after.params()), ("output", &before.outputs, &after.outputs)]
    {
        let equal = |i: usize| match (a.get(i), b.get(i)) {
            (Some(&x), Some(&y)) => before.ty(x) == after.ty(y),
            _ => false,
        };
        if let Some(index) = (0..a.len().max(b.len())).find(|&i| !equal(i)) {
            return Err(PassError::Signature { pass, side, index });
        }
    }
    Ok(())
}
