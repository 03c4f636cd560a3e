//! Dead code: operations that no output depends on.

use crate::error::PassError;
use crate::options::Options;
use smallvec::SmallVec;
use ttk_ir::{Graph, ValueId};

/// Drops what no output depends on. The inputs of the graph stay, used or not: they are its signature.
///
/// # Errors
/// None but [`PassError::Type`], which means a defect.
pub fn dce(graph: &Graph, _: &Options) -> Result<Graph, PassError> {
    let live = graph.live();
    let mut out = Graph::like(graph);
    // Dead nodes get a number nobody asks for: a live node's operands are live.
    let mut map = vec![ValueId(u32::MAX); graph.len()];
    for id in graph.ids().filter(|id| live[id.index()]) {
        let node = graph.node(id);
        let inputs: SmallVec<[ValueId; 3]> = node.inputs.iter().map(|v| map[v.index()]).collect();
        map[id.index()] = out
            .add_at(node.op.clone(), &inputs, node.loc)
            .map_err(|error| PassError::Type { pass: "dce", error })?;
    }
    out.outputs = graph.outputs.iter().map(|v| map[v.index()]).collect();
    Ok(out)
}
