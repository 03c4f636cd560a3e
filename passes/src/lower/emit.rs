//! From a graph value and a position to the scalar instructions that compute the element there.
//!
//! Views leave no instruction: they only change the position. A position is interned ([`Point`]), so
//! that a chain of elementwise operations passes one number along.

use super::LowerError;
use super::build::KernelBuilder;
use super::views::{Indices, linear, view_indices};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::rc::Rc;
use ttk_ir::expr::Term;
use ttk_ir::kernel::{Access, BufferRef, Inst, LoopKind, Val};
use ttk_ir::op::WindowDim;
use ttk_ir::program::BufferId;
use ttk_ir::{Atom, Binary, Cmp, DType, Dim, Expr, Graph, Op, ReduceOp, Scalar, Unary, ValueId};

/// A fold or reduction over at most this many elements is written out; a larger one is a loop.
pub(crate) const UNROLL: i64 = 32;

/// Where a computed value lies: a dense buffer and the distance between neighbours along each axis.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) buffer: BufferId,
    /// Elements of the buffer.
    pub(crate) len: Expr,
    pub(crate) strides: SmallVec<[Expr; 4]>,
}

/// Which values an emitter computes in place, and where it finds the others.
pub(crate) trait Sources {
    /// Whether the value is to be computed here from its operands.
    fn computes(&self, v: ValueId) -> bool;

    /// Where the value lies, if it is not computed here.
    fn stored(&self, v: ValueId) -> Option<&Stored>;
}

/// An interned position: one index expression an axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Point(u32);

/// A value that this kernel keeps: the result of a reduction, or scratch.
#[derive(Clone, Debug)]
pub(crate) enum Kept {
    /// The scalar, which holds at this position only.
    Scalar { at: Point, val: Val },
    /// Memory of this kernel, in which the element for a position lies at an index. At another
    /// position the value is computed `again`, if that can be.
    Memory { at: Point, buffer: BufferRef, index: Expr, dtype: DType, again: bool },
}

pub(crate) struct Emitter<'a> {
    pub(crate) b: KernelBuilder,
    graph: &'a Graph,
    sources: &'a dyn Sources,
    points: Vec<Rc<[Expr]>>,
    point_ids: FxHashMap<Rc<[Expr]>, Point>,
    /// Elements computed so far: one map for each open scope.
    memo: Vec<FxHashMap<(ValueId, Point), Val>>,
    kept: FxHashMap<ValueId, Kept>,
    /// Conditions `e >= 0` known to hold where the emitter is now.
    assumed: Vec<Expr>,
    /// Guards known not to hold: of the conditions of each, one fails.
    denied: Vec<Vec<Expr>>,
    /// Guards met that could not be decided: the conditions of each, in order.
    pub(crate) guards: Vec<Vec<Expr>>,
    /// The body has such guards, so that vector loops are worth cutting.
    pub(crate) conditional: bool,
    /// The kernel is only looked at, not kept: reductions may be asked for before they are computed.
    pub(crate) dry: bool,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(b: KernelBuilder, graph: &'a Graph, sources: &'a dyn Sources) -> Emitter<'a> {
        Emitter {
            b,
            graph,
            sources,
            points: Vec::new(),
            point_ids: FxHashMap::default(),
            memo: Vec::new(),
            kept: FxHashMap::default(),
            assumed: Vec::new(),
            denied: Vec::new(),
            guards: Vec::new(),
            conditional: false,
            dry: false,
        }
    }

    pub(crate) fn point(&mut self, at: &[Expr]) -> Point {
        if let Some(&p) = self.point_ids.get(at) {
            return p;
        }
        let p = Point(self.points.len() as u32);
        let rc: Rc<[Expr]> = at.into();
        self.points.push(rc.clone());
        self.point_ids.insert(rc, p);
        p
    }

    fn at(&self, p: Point) -> Rc<[Expr]> {
        self.points[p.0 as usize].clone()
    }

    pub(crate) fn keep(&mut self, v: ValueId, kept: Kept) {
        self.kept.insert(v, kept);
    }

    pub(crate) fn forget(&mut self, v: ValueId) {
        self.kept.remove(&v);
    }

    /// Closes the innermost loop and forgets what was computed inside.
    pub(crate) fn close(&mut self) {
        self.b.close();
        self.memo.truncate(self.b.depth() + 1);
    }

    /// Runs `f` knowing that `conditions` hold (each `>= 0`).
    pub(crate) fn assuming<T>(&mut self, conditions: &[Expr], f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.assumed.len();
        self.assumed.extend_from_slice(conditions);
        let result = f(self);
        self.assumed.truncate(before);
        result
    }

    /// Runs `f` knowing that not all of `conditions` hold.
    pub(crate) fn denying<T>(&mut self, conditions: Vec<Expr>, f: impl FnOnce(&mut Self) -> T) -> T {
        self.denied.push(conditions);
        let result = f(self);
        self.denied.pop();
        result
    }

    /// Runs `f` knowing of each of the guards that it does not hold.
    pub(crate) fn denying_all<T>(&mut self, guards: Vec<Vec<Expr>>, f: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.denied.len();
        self.denied.extend(guards);
        let result = f(self);
        self.denied.truncate(before);
        result
    }

    /// A copy in the same place, to try something out in.
    pub(crate) fn scout(&self) -> Emitter<'a> {
        Emitter {
            b: self.b.scout(),
            graph: self.graph,
            sources: self.sources,
            points: self.points.clone(),
            point_ids: self.point_ids.clone(),
            memo: self.memo.clone(),
            kept: self.kept.clone(),
            assumed: self.assumed.clone(),
            denied: self.denied.clone(),
            guards: Vec::new(),
            conditional: false,
            dry: self.dry,
        }
    }

    /// The element of `v` at a position, in the computing type of its element type.
    pub(crate) fn element(&mut self, v: ValueId, p: Point) -> Result<Val, LowerError> {
        for scope in &self.memo {
            if let Some(&val) = scope.get(&(v, p)) {
                return Ok(val);
            }
        }
        let ty = self.graph.ty(v);
        if ty.shape.contains(&Dim::Fixed(0)) {
            // Never asked for but by code that is written for the general case and does not run.
            return Ok(self.scalar(Scalar::zero(ty.dtype)));
        }
        let val = match self.kept.get(&v).cloned() {
            Some(kept) => {
                let p = self.normal(v, p);
                return self.kept_element(v, p, kept);
            }
            None if self.sources.computes(v) => self.compute(v, p)?,
            None => self.load(v, p)?,
        };
        self.remember(v, p, val);
        Ok(val)
    }

    /// The position with 0 along every axis of size 1.
    fn normal(&mut self, v: ValueId, p: Point) -> Point {
        let at = self.at(p);
        let shape = &self.graph.ty(v).shape;
        if at.iter().zip(shape).all(|(e, d)| !d.is_one() || e.is_zero()) {
            return p;
        }
        let at: Indices =
            at.iter().zip(shape).map(|(e, d)| if d.is_one() { Expr::default() } else { e.clone() }).collect();
        self.point(&at)
    }

    fn remember(&mut self, v: ValueId, p: Point, val: Val) {
        let depth = self.b.val_depth(val) as usize;
        if self.memo.len() <= depth {
            self.memo.resize_with(depth + 1, FxHashMap::default);
        }
        self.memo[depth].insert((v, p), val);
    }

    fn kept_element(&mut self, v: ValueId, p: Point, kept: Kept) -> Result<Val, LowerError> {
        match kept {
            Kept::Scalar { at, val } if at == p || self.dry => Ok(val),
            Kept::Memory { at, buffer, index, dtype, .. } if at == p || self.dry => {
                let raw = self.b.load_here(buffer, &index, dtype);
                let val = self.b.cast(raw, dtype.compute());
                self.remember(v, p, val);
                Ok(val)
            }
            // Elsewhere it is computed again, unless it is a reduction.
            Kept::Memory { again: true, .. } => {
                let val = self.compute(v, p)?;
                self.remember(v, p, val);
                Ok(val)
            }
            Kept::Scalar { .. } | Kept::Memory { .. } => {
                Err(LowerError::Position { op: self.graph.node(v).op.name() })
            }
        }
    }

    fn load(&mut self, v: ValueId, p: Point) -> Result<Val, LowerError> {
        let Some(stored) = self.sources.stored(v) else {
            return Err(LowerError::NotStored { op: self.graph.node(v).op.name() });
        };
        let dtype = self.graph.ty(v).dtype;
        let at = self.at(p);
        let index = linear(&at, &stored.strides);
        let buffer = self.b.param(stored.buffer, dtype, &stored.len, Access::Read);
        let raw = self.b.load(buffer, &index, dtype);
        Ok(self.b.cast(raw, dtype.compute()))
    }

    /// Stores an element, rounding it to the type of memory.
    pub(crate) fn store(&mut self, buffer: BufferRef, index: &Expr, value: Val, dtype: DType) {
        let value = self.b.cast(value, dtype);
        self.b.store(buffer, index, value);
    }

    /// `val` rounded to `dtype`, in the computing type.
    fn rounded(&mut self, val: Val, dtype: DType) -> Val {
        if dtype.compute() == dtype {
            return val;
        }
        let narrow = self.b.cast(val, dtype);
        self.b.cast(narrow, dtype.compute())
    }

    pub(crate) fn scalar(&mut self, s: Scalar) -> Val {
        self.b.constant(s.cast(s.dtype.compute()))
    }

    fn compute(&mut self, v: ValueId, p: Point) -> Result<Val, LowerError> {
        let node = self.graph.node(v);
        let dtype = node.ty.dtype;
        let input = |i: usize| node.inputs[i];
        match &node.op {
            Op::Const { value, .. } => Ok(self.scalar(*value)),
            Op::Iota { axis, .. } => {
                let at = self.at(p);
                let index = self.b.ranges.simplify(&at[*axis as usize]);
                let val = self.b.index(&index, dtype.compute());
                Ok(self.rounded(val, dtype))
            }
            Op::Unary(u) => {
                let x = self.element(input(0), p)?;
                let val = self.b.unary(*u, x);
                Ok(match u {
                    Unary::Neg | Unary::Not | Unary::Abs | Unary::Relu => val,
                    Unary::Floor | Unary::Round => val,
                    Unary::Sqrt | Unary::Exp | Unary::Expm1 | Unary::Log | Unary::Log1p => {
                        self.rounded(val, dtype)
                    }
                    Unary::Sin | Unary::Cos | Unary::Tanh | Unary::Erf | Unary::Sigmoid => {
                        self.rounded(val, dtype)
                    }
                })
            }
            Op::Binary(op) => {
                let x = self.element(input(0), p)?;
                let y = self.element(input(1), p)?;
                let val = self.b.binary(*op, x, y);
                Ok(match op {
                    Binary::Max | Binary::Min | Binary::And | Binary::Or | Binary::Xor => val,
                    Binary::Shl | Binary::Shr => val,
                    Binary::Add | Binary::Sub | Binary::Mul | Binary::Div | Binary::Rem => {
                        self.rounded(val, dtype)
                    }
                    Binary::Pow | Binary::Atan2 => self.rounded(val, dtype),
                })
            }
            Op::Cmp(c) => {
                let x = self.element(input(0), p)?;
                let y = self.element(input(1), p)?;
                Ok(self.b.cmp(*c, x, y))
            }
            Op::Select => {
                let cond = self.element(input(0), p)?;
                let yes = self.element(input(1), p)?;
                let no = self.element(input(2), p)?;
                Ok(self.b.select(cond, yes, no))
            }
            Op::Cast(to) => {
                let x = self.element(input(0), p)?;
                if to.compute() == *to {
                    return Ok(self.b.cast(x, *to));
                }
                let narrow = self.b.cast(x, *to);
                Ok(self.b.cast(narrow, to.compute()))
            }
            Op::Bitcast(to) => {
                let x = self.element(input(0), p)?;
                let raw = self.b.cast(x, self.graph.ty(input(0)).dtype);
                let bits = self.b.inst(Inst::Bitcast(raw), *to);
                Ok(self.b.cast(bits, to.compute()))
            }
            Op::Detach | Op::Barrier => self.element(input(0), p),
            Op::Reshape(_) | Op::Permute(_) | Op::Expand(_) | Op::Slice(_) | Op::Window(_) => {
                let at = self.at(p);
                let from = &self.graph.ty(input(0)).shape;
                let moved = view_indices(&self.b.ranges, &node.op, from, &node.ty.shape, &at)
                    .ok_or(LowerError::NotInline { op: node.op.name() })?;
                let q = self.point(&moved);
                self.element(input(0), q)
            }
            Op::Pad { dims, value } => {
                let at = self.at(p);
                let from = self.graph.ty(input(0)).shape.clone();
                let mut inside = Indices::new();
                let mut conditions: SmallVec<[Expr; 8]> = SmallVec::new();
                for ((e, d), n) in at.iter().zip(dims).zip(&from) {
                    let x = e.sub(&d.low.expr());
                    inside.push(stepped(self, &x, d.interior + 1, n, d.is_none(), &mut conditions));
                }
                let value = *value;
                self.guarded(
                    &conditions,
                    |em| {
                        let q = em.clamped_point(&inside, &from);
                        em.element(input(0), q)
                    },
                    |em| Ok(em.scalar(value)),
                )
            }
            Op::Update(dims) => {
                let at = self.at(p);
                let from = self.graph.ty(input(1)).shape.clone();
                let mut inside = Indices::new();
                let mut conditions: SmallVec<[Expr; 8]> = SmallVec::new();
                for ((e, d), n) in at.iter().zip(dims).zip(&node.ty.shape) {
                    let x = e.sub(&d.start.expr()).scale(d.step.signum());
                    inside.push(stepped(self, &x, d.step.abs(), &d.len, d.is_all(n), &mut conditions));
                }
                self.guarded(
                    &conditions,
                    |em| {
                        let q = em.clamped_point(&inside, &from);
                        em.element(input(1), q)
                    },
                    |em| em.element(input(0), p),
                )
            }
            Op::Concat { axis } => self.concat(v, *axis as usize, p),
            Op::Fold { dims, .. } => self.fold(v, dims, p),
            Op::Gather { axis } => {
                let index = self.element(input(1), p)?;
                let extent = self.graph.ty(input(0)).shape[*axis as usize].expr();
                let checked = self.b.checked(index, &extent);
                let mut at: Indices = self.at(p).iter().cloned().collect();
                at[*axis as usize] = checked;
                let q = self.point(&at);
                self.element(input(0), q)
            }
            Op::Reduce { op, axes } => self.reduce(v, *op, axes, p),
            Op::Param { .. } | Op::RandomBits { .. } | Op::Scatter { .. } | Op::Scan { .. } => {
                Err(LowerError::NotInline { op: node.op.name() })
            }
            Op::Argsort { .. } | Op::Dot { .. } | Op::Custom { .. } => {
                Err(LowerError::NotInline { op: node.op.name() })
            }
        }
    }

    /// Whether `e >= 0`, if that can be told.
    fn decide(&self, e: &Expr) -> Option<bool> {
        // Numbers are quick, and enough in a piece of a loop that was cut where conditions change.
        let interval = self.b.ranges.interval(e);
        match interval {
            Some((least, _)) if least >= 0 => return Some(true),
            Some((_, most)) if most < 0 => return Some(false),
            Some(_) | None => {}
        }
        if self.assumed.contains(e) {
            return Some(true);
        }
        if self.denied.iter().any(|d| matches!(d.as_slice(), [one] if one == e)) {
            return Some(false);
        }
        // Of one variable between numbers there is no more to know.
        let mut variables = e.terms().iter().filter(|t| !t.factors.is_empty());
        if let (Some(Term { factors, .. }), None) = (variables.next(), variables.next())
            && matches!(factors.as_slice(), [Atom::Var(_)])
            && interval.is_some()
        {
            return None;
        }
        if self.b.ranges.is_nonneg(e) {
            return Some(true);
        }
        self.b.ranges.is_nonneg(&e.scale(-1).offset(-1)).then_some(false)
    }

    /// Notes a guard that could not be decided.
    fn note(&mut self, conditions: &[Expr]) {
        if !self.guards.iter().any(|g| g.as_slice() == conditions) {
            self.guards.push(conditions.to_vec());
        }
    }

    /// Whether all of `conditions` hold, as a scalar; `None` for no conditions.
    pub(crate) fn conjunction(&mut self, conditions: &[Expr], lanes: bool) -> Option<Val> {
        let mut all: Option<Val> = None;
        for c in conditions {
            let val = self.condition(c, lanes);
            all = Some(match all {
                Some(before) => self.b.binary(Binary::And, before, val),
                None => val,
            });
        }
        all
    }

    pub(crate) fn not(&mut self, cond: Val) -> Val {
        self.b.unary(Unary::Not, cond)
    }

    /// `e >= 0` as a scalar; computed in 32 bits where that is enough, if it is for lanes.
    fn condition(&mut self, e: &Expr, lanes: bool) -> Val {
        let narrow = lanes && self.b.ranges.interval(e).is_some_and(|(a, b)| a > -(1 << 31) && b < (1 << 31));
        let dtype = if narrow { DType::I32 } else { DType::I64 };
        let x = self.b.index(e, dtype);
        let zero = self.b.constant(Scalar::zero(dtype));
        self.b.cmp(Cmp::Le, zero, x)
    }

    /// `yes` where all conditions hold, else `no`; no selection where that is known beforehand.
    fn guarded(
        &mut self,
        conditions: &[Expr],
        yes: impl FnOnce(&mut Self) -> Result<Val, LowerError>,
        no: impl FnOnce(&mut Self) -> Result<Val, LowerError>,
    ) -> Result<Val, LowerError> {
        let mut open: SmallVec<[Expr; 8]> = SmallVec::new();
        for c in conditions {
            let c = self.b.ranges.simplify(c);
            match self.decide(&c) {
                Some(true) => {}
                Some(false) => return no(self),
                None => open.push(c),
            }
        }
        if open.is_empty() {
            return yes(self);
        }
        if self.denied.iter().any(|d| d.as_slice() == open.as_slice()) {
            return no(self);
        }
        self.note(&open);
        let cond = self.conjunction(&open, true);
        let yes = yes(self)?;
        let no = no(self)?;
        match cond {
            Some(cond) => Ok(self.b.select(cond, yes, no)),
            None => Ok(yes),
        }
    }

    /// A position forced into range along each axis where it is not known to be.
    fn clamped_point(&mut self, at: &[Expr], shape: &[Dim]) -> Point {
        let safe: Indices = at.iter().zip(shape).map(|(e, n)| self.clamped(e, &n.expr())).collect();
        self.point(&safe)
    }

    fn clamped(&self, e: &Expr, extent: &Expr) -> Expr {
        if extent.is_one() {
            return Expr::default();
        }
        let e = self.b.ranges.simplify(e);
        let low = self.decide(&e) == Some(true);
        let high = self.decide(&extent.sub(&e).offset(-1)) == Some(true);
        if low && high { e } else { self.b.ranges.clamp(&e, extent) }
    }

    fn concat(&mut self, v: ValueId, axis: usize, p: Point) -> Result<Val, LowerError> {
        let node = self.graph.node(v);
        let at = self.at(p);
        let mut parts: Vec<(ValueId, Expr, Expr)> = Vec::new();
        let mut begin = Expr::constant(0);
        for &part in &node.inputs {
            let len = self.graph.ty(part).shape[axis].expr();
            let end = begin.add(&len);
            if !len.is_zero() {
                parts.push((part, begin, end.clone()));
            }
            begin = end;
        }
        // What lies behind a part that the position is known to be in, or before, is out of the question.
        let below = |em: &Self, end: &Expr| em.b.ranges.simplify(&end.sub(&at[axis]).offset(-1));
        if let Some(known) = parts.iter().position(|(_, _, end)| self.decide(&below(self, end)) == Some(true))
        {
            parts.truncate(known + 1);
        }
        // From the last to the first: each but the last is guarded by its end.
        let mut result: Option<Val> = None;
        for (i, (part, begin, end)) in parts.iter().enumerate().rev() {
            let below = below(self, end);
            let above = self.b.ranges.simplify(&at[axis].sub(begin));
            let last = i + 1 == parts.len();
            if self.decide(&above) == Some(false) || (!last && self.decide(&below) == Some(false)) {
                continue;
            }
            let mut inside: Indices = at.iter().cloned().collect();
            inside[axis] = at[axis].sub(begin);
            let shape = self.graph.ty(*part).shape.clone();
            let q = self.clamped_point(&inside, &shape);
            let val = self.element(*part, q)?;
            result = Some(match result {
                None => val,
                Some(other) => {
                    let decided = self.decide(&below);
                    match decided {
                        Some(true) => val,
                        Some(false) | None => {
                            let cond = self.condition(&below, true);
                            self.note(std::slice::from_ref(&below));
                            self.b.select(cond, val, other)
                        }
                    }
                }
            });
        }
        match result {
            Some(val) => Ok(val),
            None => Ok(self.scalar(Scalar::zero(node.ty.dtype))),
        }
    }

    /// The sum of the window elements that lie on a position.
    fn fold(&mut self, v: ValueId, dims: &[WindowDim], p: Point) -> Result<Val, LowerError> {
        let node = self.graph.node(v);
        let dtype = node.ty.dtype;
        let source = node.inputs[0];
        let shape = self.graph.ty(source).shape.clone();
        let rank = node.ty.rank();
        let at = self.at(p);
        // For each windowed axis, the (window, element) pairs that may cover the position.
        type Choice = (Expr, Expr, SmallVec<[Expr; 4]>);
        let mut choices: Vec<Vec<Choice>> = Vec::new();
        for d in dims {
            let x = &at[d.axis as usize];
            let count = shape[d.axis as usize].expr();
            let mut list = Vec::new();
            let step = Expr::constant(d.stride);
            if d.dilation == 1 {
                // Element k = x mod stride + t * stride of window x / stride - t.
                for t in 0..(d.size + d.stride - 1) / d.stride {
                    let k = self.b.ranges.modulo(x, &step).offset(t * d.stride);
                    let w = self.b.ranges.floor_div(x, &step).offset(-t);
                    let conditions = SmallVec::from_iter([
                        Expr::constant(d.size - 1).sub(&k),
                        w.clone(),
                        count.sub(&w).offset(-1),
                    ]);
                    list.push((w, k, conditions));
                }
            } else {
                for k in 0..d.size {
                    let y = x.offset(-k * d.dilation);
                    let w = self.b.ranges.floor_div(&y, &step);
                    let conditions = SmallVec::from_iter([
                        self.b.ranges.modulo(&y, &step).scale(-1),
                        w.clone(),
                        count.sub(&w).offset(-1),
                    ]);
                    list.push((w, Expr::constant(k), conditions));
                }
            }
            choices.push(list);
        }
        let zero = self.scalar(Scalar::zero(dtype));
        let mut sum: Option<Val> = None;
        let mut pick = vec![0usize; dims.len()];
        loop {
            let mut inside: Indices = at[..rank].iter().cloned().collect();
            let mut conditions: SmallVec<[Expr; 8]> = SmallVec::new();
            for (i, d) in dims.iter().enumerate() {
                let (w, k, c) = &choices[i][pick[i]];
                inside[d.axis as usize] = w.clone();
                inside.push(k.clone());
                conditions.extend(c.iter().cloned());
            }
            let val = self.guarded(
                &conditions,
                |em| {
                    let q = em.clamped_point(&inside, &shape);
                    em.element(source, q)
                },
                |_| Ok(zero),
            )?;
            sum = Some(match sum {
                None => val,
                Some(_) if val == zero => sum.unwrap_or(zero),
                Some(s) => self.b.binary(Binary::Add, s, val),
            });
            // The next combination, last axis fastest.
            let mut i = dims.len();
            loop {
                if i == 0 {
                    let sum = sum.unwrap_or(zero);
                    return Ok(self.rounded(sum, dtype));
                }
                i -= 1;
                pick[i] += 1;
                if pick[i] < choices[i].len() {
                    break;
                }
                pick[i] = 0;
            }
        }
    }

    /// A reduction in place: written out if it is small, else a loop around an accumulator.
    fn reduce(&mut self, v: ValueId, op: ReduceOp, axes: &[u8], p: Point) -> Result<Val, LowerError> {
        let dtype = self.graph.ty(v).dtype;
        if self.dry && unrolled_count(self.graph, v).is_none() {
            return Ok(self.scalar(Scalar::zero(dtype)));
        }
        let source = self.graph.node(v).inputs[0];
        let shape = self.graph.ty(source).shape.clone();
        let mut at: Indices = self.at(p).iter().cloned().collect();
        let Some(count) = unrolled_count(self.graph, v) else {
            let acc = self.b.acc(dtype.compute(), op.identity(dtype.compute()));
            for &a in axes {
                let end = shape[a as usize].expr();
                let var = self.b.open(Expr::constant(0), end, LoopKind::Serial);
                at[a as usize] = Expr::var(var.0);
            }
            let q = self.point(&at);
            let val = self.element(source, q)?;
            self.b.accumulate(acc, op, val);
            for _ in axes {
                self.close();
            }
            let val = self.b.read(acc, dtype.compute());
            return Ok(self.rounded(val, dtype));
        };
        let mut result: Option<Val> = None;
        for i in 0..count {
            let mut rest = i;
            for &a in axes.iter().rev() {
                let n = shape[a as usize].fixed().unwrap_or(1);
                at[a as usize] = Expr::constant(rest % n);
                rest /= n;
            }
            let q = self.point(&at);
            let val = self.element(source, q)?;
            result = Some(match result {
                None => val,
                Some(r) => self.b.binary(op.combine(), r, val),
            });
        }
        let val = match result {
            Some(val) => val,
            None => self.scalar(op.identity(dtype)),
        };
        Ok(self.rounded(val, dtype))
    }
}

/// The number of elements of a reduction that is small enough to be written out.
pub(crate) fn unrolled_count(graph: &Graph, v: ValueId) -> Option<i64> {
    let node = graph.node(v);
    let Op::Reduce { axes, .. } = &node.op else { return None };
    let shape = &graph.ty(node.inputs[0]).shape;
    let count = axes.iter().try_fold(1i64, |n, &a| n.checked_mul(shape[a as usize].fixed()?))?;
    (count <= UNROLL).then_some(count)
}

/// The position `x / step` on an axis of `n` elements, with the conditions for it to exist.
fn stepped(
    em: &Emitter<'_>,
    x: &Expr,
    step: i64,
    n: &Dim,
    whole: bool,
    conditions: &mut SmallVec<[Expr; 8]>,
) -> Expr {
    if whole {
        return x.clone();
    }
    let by = Expr::constant(step);
    let inside = em.b.ranges.floor_div(x, &by);
    conditions.push(x.clone());
    conditions.push(n.expr().sub(&inside).offset(-1));
    if step != 1 {
        conditions.push(em.b.ranges.modulo(x, &by).scale(-1));
    }
    inside
}
