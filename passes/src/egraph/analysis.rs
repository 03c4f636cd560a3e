//! What is known of each e-class: its type, and its value when that is one number.

use super::language::{ENode, OpTable};
use egg::{DidMerge, EGraph, Id};
use std::rc::Rc;
use ttk_ir::{Op, Scalar, Type};

/// The analysis, and the tables that terms refer to.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) ops: OpTable,
    /// The type of the node about to be added. Inference can fail and [`egg::Analysis::make`] cannot, so
    /// it is done before; this is how the result gets there.
    pub(crate) next: Option<Rc<Type>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) ty: Rc<Type>,
    /// The number every element is.
    pub(crate) splat: Option<Scalar>,
}

impl egg::Analysis<ENode> for Facts {
    type Data = Known;

    fn make(egraph: &mut EGraph<ENode, Facts>, node: &ENode, _: Id) -> Known {
        let ty = egraph.analysis.next.take();
        let ty = ty.expect("a type is left by `Island::add`, the only place that adds nodes");
        let splat = match &**egraph.analysis.ops.get(node.op) {
            Op::Const { value, .. } => Some(*value),
            _ => None,
        };
        Known { ty, splat }
    }

    fn remake(egraph: &mut EGraph<ENode, Facts>, _: &ENode, id: Id) -> Known {
        // A node's type never changes, and constants are folded as nodes are added.
        egraph[id].data.clone()
    }

    fn merge(&mut self, a: &mut Known, b: Known) -> DidMerge {
        debug_assert_eq!(a.ty, b.ty, "a rule joined values of different types");
        let (had, has) = (a.splat.is_some(), b.splat.is_some());
        if !had {
            a.splat = b.splat;
        }
        DidMerge(!had && has, had && !has)
    }
}
