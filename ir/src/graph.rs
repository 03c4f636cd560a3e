//! The graph: operations in an order in which each comes after its operands.

use crate::infer::{InferError, infer};
use crate::op::Op;
use crate::shape::Type;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// A node of a graph, and the one value it makes. Operands have smaller numbers than their users.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ValueId(pub u32);

impl ValueId {
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which source line made a node; an index into [`Graph::locs`]. Number 0 is "unknown".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct LocId(pub u32);

/// A line of the user's program.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Loc {
    pub file: Arc<str>,
    pub line: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    pub op: Op,
    pub inputs: SmallVec<[ValueId; 3]>,
    pub ty: Type,
    pub loc: LocId,
}

/// A size known only at run time. Symbol `i` of a graph is `Atom::Symbol(i)`; it is at least 1.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Symbol {
    pub name: String,
}

/// A pure function of tensors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph {
    pub name: String,
    pub symbols: Vec<Symbol>,
    nodes: Vec<Node>,
    params: Vec<ValueId>,
    pub outputs: Vec<ValueId>,
    locs: Vec<Loc>,
    loc_ids: FxHashMap<Loc, LocId>,
}

impl Graph {
    pub fn new(name: impl Into<String>) -> Graph {
        Graph {
            name: name.into(),
            symbols: Vec::new(),
            nodes: Vec::new(),
            params: Vec::new(),
            outputs: Vec::new(),
            locs: vec![Loc { file: "<unknown>".into(), line: 0 }],
            loc_ids: FxHashMap::default(),
        }
    }

    /// An empty graph with this one's name, symbols and source lines: what a pass fills.
    pub fn like(other: &Graph) -> Graph {
        Graph {
            symbols: other.symbols.clone(),
            locs: other.locs.clone(),
            loc_ids: other.loc_ids.clone(),
            ..Graph::new(other.name.clone())
        }
    }

    /// Adds the next input.
    pub fn param(&mut self, ty: Type) -> ValueId {
        let op = Op::Param { index: self.params.len() as u32, dtype: ty.dtype, shape: ty.shape.clone() };
        let id = self.push(Node { op, inputs: SmallVec::new(), ty, loc: LocId(0) });
        self.params.push(id);
        id
    }

    /// Adds an operation after checking it.
    ///
    /// # Errors
    /// The shape or type rule that the operands break. Nothing is added then.
    pub fn add(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, InferError> {
        self.add_at(op, inputs, LocId(0))
    }

    /// [`Graph::add`] with the source line it comes from.
    pub fn add_at(&mut self, op: Op, inputs: &[ValueId], loc: LocId) -> Result<ValueId, InferError> {
        let types: SmallVec<[&Type; 3]> = inputs.iter().map(|&v| self.ty(v)).collect();
        let ty = infer(&op, &types)?;
        drop(types);
        if let Op::Param { index, .. } = &op
            && *index as usize != self.params.len()
        {
            return Err(InferError::ParamOrder { index: *index, expected: self.params.len() as u32 });
        }
        let is_param = matches!(op, Op::Param { .. });
        let id = self.push(Node { op, inputs: inputs.into(), ty, loc });
        if is_param {
            self.params.push(id);
        }
        Ok(id)
    }

    fn push(&mut self, node: Node) -> ValueId {
        self.nodes.push(node);
        ValueId(self.nodes.len() as u32 - 1)
    }

    /// The number for a source line, made on first use.
    pub fn loc_id(&mut self, loc: Loc) -> LocId {
        if let Some(&id) = self.loc_ids.get(&loc) {
            return id;
        }
        let id = LocId(self.locs.len() as u32);
        self.locs.push(loc.clone());
        self.loc_ids.insert(loc, id);
        id
    }

    pub fn loc(&self, id: LocId) -> &Loc {
        &self.locs[id.0 as usize]
    }

    pub fn locs(&self) -> &[Loc] {
        &self.locs
    }

    pub fn node(&self, id: ValueId) -> &Node {
        &self.nodes[id.index()]
    }

    pub fn ty(&self, id: ValueId) -> &Type {
        &self.nodes[id.index()].ty
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub fn ids(&self) -> impl DoubleEndedIterator<Item = ValueId> + use<> {
        (0..self.nodes.len() as u32).map(ValueId)
    }

    /// The inputs, in order.
    pub fn params(&self) -> &[ValueId] {
        &self.params
    }

    /// For every node, the nodes that use it, once for each use.
    pub fn users(&self) -> Vec<SmallVec<[ValueId; 4]>> {
        let mut users = vec![SmallVec::new(); self.nodes.len()];
        for id in self.ids() {
            for &input in &self.node(id).inputs {
                users[input.index()].push(id);
            }
        }
        users
    }

    /// Which nodes an output depends on (inputs of the graph are always kept).
    pub fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.nodes.len()];
        for &o in &self.outputs {
            live[o.index()] = true;
        }
        for id in self.ids().rev() {
            if live[id.index()] {
                for &input in &self.node(id).inputs {
                    live[input.index()] = true;
                }
            }
        }
        for &p in &self.params {
            live[p.index()] = true;
        }
        live
    }
}
