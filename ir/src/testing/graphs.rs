//! Random graphs that use every operation.

use super::{Rng, Values, random_scalar};
use crate::dtype::{DType, Scalar};
use crate::graph::{Graph, Symbol, ValueId};
use crate::op::{Binary, Cmp, Op, PadDim, RandomStream, ReduceOp, ScatterOp, SliceDim, Unary, WindowDim};
use crate::shape::{Dim, Shape, Type, numel};

/// What a random graph may hold.
#[derive(Clone, Debug)]
pub struct GraphOptions {
    /// Operations to add; some cannot be and are left out.
    pub nodes: usize,
    /// Up to this many symbols. Any values of at least 1 suit the graph.
    pub symbols: usize,
    /// Element types of inputs; casts add others of the list.
    pub dtypes: Vec<DType>,
    /// Operations whose results are not a function of values alone that a back end rounds the same way:
    /// sorting, comparisons of floats, `floor`, casts of floats to integers. Leave them out to compare
    /// results with a tolerance.
    pub discontinuous: bool,
    /// `random_bits` and `custom`.
    pub effects: bool,
}

impl Default for GraphOptions {
    fn default() -> Self {
        GraphOptions {
            nodes: 12,
            symbols: 2,
            dtypes: DType::ALL.to_vec(),
            discontinuous: true,
            effects: true,
        }
    }
}

/// A graph that is valid, has at least one output, and evaluates without an error for any values of its
/// symbols (but for `custom`, which no interpreter knows).
pub fn random_graph(seed: u64, options: &GraphOptions) -> Graph {
    let mut rng = Rng::new(seed);
    let mut graph = Graph::new("random");
    for i in 0..rng.below(options.symbols + 1) {
        graph.symbols.push(Symbol { name: format!("n{i}") });
    }
    let mut gen_ = Generator { rng, graph, options };
    for _ in 0..1 + gen_.rng.below(3) {
        let (dtype, shape) = (gen_.dtype(), gen_.shape());
        gen_.graph.param(Type { dtype, shape });
    }
    for _ in 0..options.nodes {
        // Not every choice is possible; a few attempts make sure that the graph grows.
        for _ in 0..8 {
            if gen_.node().is_some() {
                break;
            }
        }
    }
    let Generator { mut rng, mut graph, .. } = gen_;
    let last = ValueId(graph.len() as u32 - 1);
    graph.outputs.push(last);
    for _ in 0..rng.below(3) {
        graph.outputs.push(ValueId(rng.below(graph.len()) as u32));
    }
    graph
}

struct Generator<'a> {
    rng: Rng,
    graph: Graph,
    options: &'a GraphOptions,
}

/// Tensors of more elements than this (with symbols taken as 8) are not made.
const MAX_ELEMENTS: i64 = 4096;

impl Generator<'_> {
    fn dtype(&mut self) -> DType {
        *self.rng.choose(&self.options.dtypes)
    }

    fn dim(&mut self) -> Dim {
        let symbols = self.graph.symbols.len();
        if symbols > 0 && self.rng.one_in(3) {
            let n = Dim::symbol(self.rng.below(symbols) as u32);
            return match self.rng.below(4) {
                0 => n.offset(1),
                1 => n.mul(&Dim::Fixed(2)),
                _ => n,
            };
        }
        Dim::Fixed(*self.rng.choose(&[1, 1, 2, 3, 4, 5, 7]))
    }

    fn shape(&mut self) -> Shape {
        (0..self.rng.below(4)).map(|_| self.dim()).collect()
    }

    fn any(&mut self) -> ValueId {
        // Recent values more often, so that graphs are deep.
        let n = self.graph.len();
        let back = if self.rng.one_in(2) { self.rng.below(n.min(3)) } else { self.rng.below(n) };
        ValueId((n - 1 - back) as u32)
    }

    fn ty(&self, id: ValueId) -> Type {
        self.graph.ty(id).clone()
    }

    /// A value of a type: one that is there, or a constant.
    fn of_type(&mut self, ty: &Type) -> ValueId {
        let found: Vec<ValueId> = self.graph.ids().filter(|&i| self.graph.ty(i) == ty).collect();
        if !found.is_empty() && !self.rng.one_in(4) {
            return *self.rng.choose(&found);
        }
        let value = random_scalar(&mut self.rng, ty.dtype, Values::Tame);
        let op = Op::Const { value, shape: ty.shape.clone() };
        self.add(op, &[]).unwrap_or(ValueId(0))
    }

    fn add(&mut self, op: Op, inputs: &[ValueId]) -> Option<ValueId> {
        let id = self.graph.add(op, inputs).ok()?;
        let symbols = vec![8; self.graph.symbols.len()];
        let size = numel(&self.graph.ty(id).shape).eval(&symbols);
        if (0..=MAX_ELEMENTS).contains(&size) {
            return Some(id);
        }
        // Too large a value stays as a dead node; what follows uses a part of it.
        let zero = SliceDim { start: Dim::Fixed(0), len: Dim::Fixed(1), step: 1 };
        let dims = vec![zero; self.graph.ty(id).rank()];
        self.graph.add(Op::Slice(dims.into()), &[id]).ok()
    }

    fn axis(&mut self, rank: usize) -> Option<u8> {
        (rank > 0).then(|| self.rng.below(rank) as u8)
    }

    fn node(&mut self) -> Option<ValueId> {
        let x = self.any();
        let ty = self.ty(x);
        let rank = ty.rank();
        match self.rng.below(26) {
            0 => {
                let op = Op::Const {
                    value: random_scalar(&mut self.rng, ty.dtype, Values::Tame),
                    shape: ty.shape,
                };
                self.add(op, &[])
            }
            1 => {
                let axis = self.axis(rank)?;
                self.add(Op::Iota { axis, dtype: ty.dtype, shape: ty.shape }, &[])
            }
            2 if self.options.effects => self.effect(),
            3 | 4 => self.unary(x, &ty),
            5..=7 => {
                let fitting: Vec<Binary> = Binary::ALL
                    .iter()
                    .copied()
                    .filter(|b| b.domain().contains(ty.dtype))
                    .filter(|b| self.options.discontinuous || *b != Binary::Rem)
                    .collect();
                let op = *self.rng.choose(&fitting);
                let y = self.of_type(&ty);
                self.add(Op::Binary(op), &[x, y])
            }
            8 => {
                let y = self.of_type(&ty);
                let cond = if self.options.discontinuous || !ty.dtype.is_float() {
                    self.add(Op::Cmp(*self.rng.clone().choose(&Cmp::ALL)), &[x, y])?
                } else {
                    self.of_type(&ty.with_dtype(DType::Bool))
                };
                let z = self.of_type(&ty);
                self.add(Op::Select, &[cond, y, z])
            }
            9 => {
                let to = self.dtype();
                let loses = ty.dtype.is_float() && !to.is_float();
                if loses && !self.options.discontinuous { None } else { self.add(Op::Cast(to), &[x]) }
            }
            10 if self.options.discontinuous => {
                let to = self.dtype();
                self.add(Op::Bitcast(to), &[x])
            }
            11 => self.reshape(x, &ty),
            12 => {
                let mut perm: Vec<u8> = (0..rank as u8).collect();
                for i in (1..rank).rev() {
                    perm.swap(i, self.rng.below(i + 1));
                }
                self.add(Op::Permute(perm.as_slice().into()), &[x])
            }
            13 => {
                let grow = |g: &mut Self, d: &Dim| if d.is_one() { g.dim() } else { d.clone() };
                let shape = ty.shape.iter().map(|d| grow(self, d)).collect();
                self.add(Op::Expand(shape), &[x])
            }
            14 => {
                let dims = self.slices(&ty.shape);
                self.add(Op::Slice(dims.into()), &[x])
            }
            15 => {
                let dims = self.slices(&ty.shape);
                let shape: Shape = dims.iter().map(|d| d.len.clone()).collect();
                let value = self.of_type(&Type { dtype: ty.dtype, shape });
                self.add(Op::Update(dims.into()), &[x, value])
            }
            16 => {
                let pad = |g: &mut Self| PadDim {
                    low: Dim::Fixed(g.rng.between(0, 2)),
                    high: if g.rng.one_in(6) { g.dim() } else { Dim::Fixed(g.rng.between(0, 2)) },
                    interior: g.rng.below(3) as i64 / 2,
                };
                let dims = (0..rank).map(|_| pad(self)).collect();
                let value = random_scalar(&mut self.rng, ty.dtype, Values::Tame);
                self.add(Op::Pad { dims, value }, &[x])
            }
            17 => {
                let axis = self.axis(rank)?;
                let mut other = ty.clone();
                if self.rng.one_in(2) {
                    other.shape[axis as usize] = self.dim();
                }
                let y = self.of_type(&other);
                let parts = if self.rng.one_in(3) { vec![x, y, x] } else { vec![y, x] };
                self.add(Op::Concat { axis }, &parts)
            }
            18 => self.window(x, &ty),
            19 => self.indexed(x, &ty),
            20 => {
                let axes: Vec<u8> = (0..rank as u8).filter(|_| self.rng.one_in(2)).collect();
                self.add(
                    Op::Reduce { op: *self.rng.clone().choose(&ReduceOp::ALL), axes: axes.as_slice().into() },
                    &[x],
                )
            }
            21 => {
                let (axis, reverse) = (self.axis(rank)?, self.rng.one_in(2));
                self.add(Op::Scan { op: *self.rng.clone().choose(&ReduceOp::ALL), axis, reverse }, &[x])
            }
            22 if self.options.discontinuous => {
                let (axis, descending) = (self.axis(rank)?, self.rng.one_in(2));
                self.add(Op::Argsort { axis, descending }, &[x])
            }
            23 | 24 => self.dot(x, &ty),
            25 => {
                let op = if self.rng.one_in(2) { Op::Detach } else { Op::Barrier };
                self.add(op, &[x])
            }
            _ => None,
        }
    }

    fn effect(&mut self) -> Option<ValueId> {
        let shape = self.shape();
        if self.rng.one_in(3) {
            let (x, dtype) = (self.any(), self.dtype());
            let attributes = [self.rng.between(-9, 9), 3];
            return self.add(
                Op::Custom { name: "test.op".into(), attributes: attributes.into(), dtype, shape },
                &[x],
            );
        }
        let seed = Scalar::from_i64(DType::I64, self.rng.between(0, 99));
        let stream = *self.rng.choose(&RandomStream::ALL);
        let len = Dim::Fixed(stream.state_len() as i64);
        let state = self.add(Op::Const { value: seed, shape: [len].as_slice().into() }, &[])?;
        self.add(Op::RandomBits { stream, shape }, &[state])
    }

    fn unary(&mut self, x: ValueId, ty: &Type) -> Option<ValueId> {
        let smooth = |u: Unary| !matches!(u, Unary::Floor | Unary::Round);
        let fitting: Vec<Unary> = Unary::ALL
            .iter()
            .copied()
            .filter(|u| u.domain().contains(ty.dtype))
            .filter(|u| self.options.discontinuous || smooth(*u))
            .collect();
        if fitting.is_empty() {
            return None;
        }
        let op = *self.rng.choose(&fitting);
        self.add(Op::Unary(op), &[x])
    }

    fn reshape(&mut self, x: ValueId, ty: &Type) -> Option<ValueId> {
        let mut shape = ty.shape.clone();
        match self.rng.below(4) {
            0 => shape = [ty.numel()].as_slice().into(),
            1 => shape.insert(self.rng.below(shape.len() + 1), Dim::Fixed(1)),
            2 if shape.len() >= 2 => {
                let at = self.rng.below(shape.len() - 1);
                let second = shape.remove(at + 1);
                shape[at] = shape[at].mul(&second);
            }
            _ => {
                let at = shape.iter().position(|d| d.fixed().is_some_and(|v| v > 2 && v % 2 == 0))?;
                shape[at] = shape[at].floor_div(2);
                shape.insert(at + self.rng.below(2), Dim::Fixed(2));
            }
        }
        self.add(Op::Reshape(shape), &[x])
    }

    /// A slice that fits for all values of the symbols, which are at least 1.
    fn slices(&mut self, shape: &[Dim]) -> Vec<SliceDim> {
        let mut dims = Vec::new();
        for dim in shape {
            let slice = match (dim.fixed(), self.rng.below(4)) {
                (_, 0) => SliceDim::all(dim.clone()),
                (_, 1) => SliceDim { start: dim.offset(-1), len: dim.clone(), step: -1 },
                (Some(n), _) if n > 0 => {
                    let start = self.rng.between(0, n - 1);
                    let step = *self.rng.choose(&[1, 1, 2, 3, -1, -2]);
                    let room = if step > 0 { (n - 1 - start) / step } else { start / -step };
                    let len = self.rng.between(0, room + 1);
                    SliceDim { start: Dim::Fixed(start), len: Dim::Fixed(len), step }
                }
                (None, 2) => SliceDim { start: Dim::Fixed(0), len: dim.offset(-1), step: 1 },
                _ => SliceDim::all(dim.clone()),
            };
            // An empty slice would have sizes such as n - 1 stay in the graph as symbols' values of 0,
            // which is fine, but a reversed one starts at -1.
            dims.push(slice);
        }
        dims
    }

    fn window(&mut self, x: ValueId, ty: &Type) -> Option<ValueId> {
        let mut dims: Vec<WindowDim> = Vec::new();
        for (axis, dim) in ty.shape.iter().enumerate() {
            if dims.len() == 2 || self.rng.one_in(3) {
                continue;
            }
            let (size, dilation) = (self.rng.between(1, 3), self.rng.between(1, 2));
            let window = WindowDim { axis: axis as u8, size, stride: self.rng.between(1, 3), dilation };
            // A size over symbols is at least 1 only if all are; a window of 1 fits it.
            let fits = match dim {
                Dim::Fixed(v) => (size - 1) * dilation < *v,
                Dim::Symbolic(_) => size == 1 && dim.offset(-1).eval(&vec![1; self.graph.symbols.len()]) >= 0,
            };
            if fits {
                dims.push(window);
            }
        }
        let sizes: Shape = dims.iter().map(|d| ty.shape[d.axis as usize].clone()).collect();
        let windows = self.add(Op::Window(dims.clone().into()), &[x])?;
        if self.rng.one_in(2) && self.graph.node(windows).op == Op::Window(dims.clone().into()) {
            return self.add(Op::Fold { dims: dims.into(), sizes }, &[windows]);
        }
        Some(windows)
    }

    /// A gather or scatter whose indices are in range: positions modulo the size, or 0.
    fn indexed(&mut self, x: ValueId, ty: &Type) -> Option<ValueId> {
        let axis = self.axis(ty.rank())?;
        let extent = ty.shape[axis as usize].clone();
        if extent.fixed().is_some_and(|v| v == 0) || extent.eval(&vec![1; self.graph.symbols.len()]) < 1 {
            return None;
        }
        let mut shape = ty.shape.clone();
        shape[axis as usize] = self.dim();
        let dtype = *self.rng.choose(&[DType::I64, DType::I32]);
        let index = match extent {
            Dim::Fixed(v) => {
                let along = self.axis(ty.rank())?;
                let iota = self.add(Op::Iota { axis: along, dtype, shape: shape.clone() }, &[])?;
                let (value, shape) = (Scalar::from_i64(dtype, v), self.ty(iota).shape);
                let size = self.add(Op::Const { value, shape }, &[])?;
                self.add(Op::Binary(Binary::Rem), &[iota, size])?
            }
            Dim::Symbolic(_) => self.add(Op::Const { value: Scalar::zero(dtype), shape }, &[])?,
        };
        if self.rng.one_in(2) {
            return self.add(Op::Gather { axis }, &[x, index]);
        }
        let updates = Type { dtype: ty.dtype, shape: self.ty(index).shape };
        let updates = self.of_type(&updates);
        let mode = *self.rng.choose(&ScatterOp::ALL);
        self.add(Op::Scatter { axis, mode }, &[x, index, updates])
    }

    fn dot(&mut self, x: ValueId, ty: &Type) -> Option<ValueId> {
        let (mut batch, mut contract) = (Vec::new(), Vec::new());
        let mut other = Type { dtype: ty.dtype, shape: Shape::new() };
        for (axis, dim) in ty.shape.iter().enumerate() {
            let pair = (axis as u8, other.shape.len() as u8);
            match self.rng.below(3) {
                0 => batch.push(pair),
                1 => contract.push(pair),
                _ => continue,
            }
            other.shape.push(dim.clone());
        }
        if self.rng.one_in(2) {
            other.shape.push(self.dim());
        }
        let y = self.of_type(&other);
        let op = Op::Dot { batch: batch.as_slice().into(), contract: contract.as_slice().into() };
        self.add(op, &[x, y])
    }
}
