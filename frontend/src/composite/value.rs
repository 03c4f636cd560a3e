//! A value together with the builder it is recorded in, so that a formula reads as a formula.

use smallvec::{SmallVec, smallvec};
use std::cell::RefCell;
use std::fmt;
use ttk_ir::op::{PadDim, SliceDim, WindowDim};
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Op, ReduceOp, Scalar, ScatterOp, Shape, Type, Unary};

/// A builder shared by the values of one formula.
pub struct Scope<'r, B: Builder> {
    builder: RefCell<&'r mut B>,
}

impl<'r, B: Builder> Scope<'r, B> {
    pub fn new(builder: &'r mut B) -> Scope<'r, B> {
        Scope { builder: RefCell::new(builder) }
    }

    pub fn val(&'r self, value: &B::Value) -> Val<'r, B> {
        Val { scope: self, value: value.clone() }
    }

    /// Every element `value`.
    pub fn full(&'r self, dtype: DType, shape: &[Dim], value: f64) -> Val<'r, B> {
        self.emit(Op::Const { value: Scalar::from_f64(dtype, value), shape: shape.into() }, &[])
    }

    /// Positions along `axis`.
    pub fn iota(&'r self, dtype: DType, shape: &[Dim], axis: usize) -> Val<'r, B> {
        self.emit(Op::Iota { axis: axis as u8, dtype, shape: shape.into() }, &[])
    }

    /// The numbers `0..n`.
    pub fn arange(&'r self, dtype: DType, n: i64) -> Val<'r, B> {
        self.iota(dtype, &[Dim::Fixed(n)], 0)
    }

    /// A vector of given numbers. It is built from constants, so that it should be short.
    pub fn numbers(&'r self, dtype: DType, values: &[f64]) -> Val<'r, B> {
        let one = [Dim::Fixed(1)];
        if values.is_empty() {
            return self.full(dtype, &[Dim::Fixed(0)], 0.0);
        }
        let parts: Vec<Val<'r, B>> = values.iter().map(|&v| self.full(dtype, &one, v)).collect();
        concat(&parts, 0)
    }

    fn emit(&'r self, op: Op, inputs: &[B::Value]) -> Val<'r, B> {
        let value = self.builder.borrow_mut().op(op, inputs);
        Val { scope: self, value }
    }

    #[inline(always)]
    fn emit_of(&'r self, op: Op, inputs: SmallVec<[B::Value; 3]>) -> Val<'r, B> {
        let value = self.builder.borrow_mut().add_op(op, inputs);
        Val { scope: self, value }
    }

    /// A number as an operand of what has type `ty`.
    fn operand(&'r self, value: impl FnOnce(DType) -> Scalar, like: &B::Value) -> Val<'r, B> {
        let mut builder = self.builder.borrow_mut();
        let ty = builder.ty(like);
        let (value, shape) = (value(ty.dtype), ty.clone().shape);
        let value = builder.operand(value, shape);
        Val { scope: self, value }
    }
}

impl<B: Builder> fmt::Debug for Scope<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope")
    }
}

/// A value of a formula.
///
/// Operators and the methods of two operands broadcast as NumPy does, and take a plain number for the
/// second operand; the element types must already agree. Axes are counted from 0, and the sizes of axes
/// are numbers: graphs are recorded with numbers, and symbols replace them later.
pub struct Val<'r, B: Builder> {
    scope: &'r Scope<'r, B>,
    value: B::Value,
}

impl<B: Builder> Clone for Val<'_, B> {
    fn clone(&self) -> Self {
        Val { scope: self.scope, value: self.value.clone() }
    }
}

impl<B: Builder> fmt::Debug for Val<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Val({:?})", self.ty())
    }
}

/// The second operand of an operation: a value, or a number that takes the first one's type.
pub trait Operand<'r, B: Builder> {
    fn like(self, first: &Val<'r, B>) -> Val<'r, B>;
}

impl<'r, B: Builder> Operand<'r, B> for Val<'r, B> {
    fn like(self, _first: &Val<'r, B>) -> Val<'r, B> {
        self
    }
}

impl<'r, B: Builder> Operand<'r, B> for &Val<'r, B> {
    fn like(self, _first: &Val<'r, B>) -> Val<'r, B> {
        self.clone()
    }
}

impl<'r, B: Builder> Operand<'r, B> for f64 {
    fn like(self, first: &Val<'r, B>) -> Val<'r, B> {
        first.scope.operand(|dtype| Scalar::from_f64(dtype, self), &first.value)
    }
}

impl<'r, B: Builder> Operand<'r, B> for i64 {
    fn like(self, first: &Val<'r, B>) -> Val<'r, B> {
        first.scope.operand(|dtype| Scalar::from_i64(dtype, self), &first.value)
    }
}

/// The shape that operands of the given shapes broadcast to, or `None` if they do not.
pub fn broadcast_shapes(shapes: &[&[Dim]]) -> Option<Shape> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out: Shape = (0..rank).map(|_| Dim::Fixed(1)).collect();
    for shape in shapes {
        let lead = rank - shape.len();
        for (at, dim) in shape.iter().enumerate().filter(|(_, dim)| !dim.is_one()) {
            let place = &mut out[lead + at];
            if place.is_one() {
                *place = dim.clone();
            } else if place != dim {
                return None;
            }
        }
    }
    Some(out)
}

/// Both operands at their common shape. Shapes that do not broadcast are left for the type rule of the
/// operation to refuse.
pub fn broadcast<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>) -> (Val<'r, B>, Val<'r, B>) {
    aligned(x.clone(), y.clone())
}

/// [`broadcast`] of operands that are given away.
fn aligned<'r, B: Builder>(x: Val<'r, B>, y: Val<'r, B>) -> (Val<'r, B>, Val<'r, B>) {
    if x.has_shape_of(&y) {
        return (x, y);
    }
    let (a, b) = (x.shape(), y.shape());
    match broadcast_shapes(&[&a, &b]) {
        Some(shape) => (x.broadcast_to(&shape), y.broadcast_to(&shape)),
        None => (x, y),
    }
}

/// Joins values along `axis`.
pub fn concat<'r, B: Builder>(parts: &[Val<'r, B>], axis: usize) -> Val<'r, B> {
    if let [one] = parts {
        return one.clone();
    }
    let values: Vec<B::Value> = parts.iter().map(|p| p.value.clone()).collect();
    parts[0].emit(Op::Concat { axis: axis as u8 }, &values)
}

/// Joins values along a new axis.
pub fn stack<'r, B: Builder>(parts: &[Val<'r, B>], axis: usize) -> Val<'r, B> {
    let parts: Vec<Val<'r, B>> = parts.iter().map(|p| p.unsqueeze(axis)).collect();
    concat(&parts, axis)
}

impl<'r, B: Builder> Val<'r, B> {
    /// The builder's own handle.
    pub fn value(&self) -> &B::Value {
        &self.value
    }

    pub fn into_value(self) -> B::Value {
        self.value
    }

    pub fn scope(&self) -> &'r Scope<'r, B> {
        self.scope
    }

    pub fn ty(&self) -> Type {
        self.scope.builder.borrow().ty(&self.value).clone()
    }

    pub fn dtype(&self) -> DType {
        self.scope.builder.borrow().ty(&self.value).dtype
    }

    pub fn shape(&self) -> Shape {
        self.scope.builder.borrow().ty(&self.value).shape.clone()
    }

    fn has_shape_of(&self, other: &Self) -> bool {
        let builder = self.scope.builder.borrow();
        builder.ty(&self.value).shape == builder.ty(&other.value).shape
    }

    pub fn rank(&self) -> usize {
        self.scope.builder.borrow().ty(&self.value).rank()
    }

    /// The size of an axis.
    pub fn size(&self, axis: usize) -> i64 {
        number(&self.scope.builder.borrow().ty(&self.value).shape[axis])
    }

    /// The sizes of all axes.
    pub fn sizes(&self) -> Vec<i64> {
        self.scope.builder.borrow().ty(&self.value).shape.iter().map(number).collect()
    }

    /// How many elements there are.
    pub fn numel(&self) -> i64 {
        self.sizes().iter().product()
    }

    /// Any operation on this value and others.
    pub fn emit(&self, op: Op, inputs: &[B::Value]) -> Val<'r, B> {
        self.scope.emit(op, inputs)
    }

    fn apply(&self, op: Op) -> Val<'r, B> {
        self.scope.emit(op, std::slice::from_ref(&self.value))
    }

    /// A number with this value's type and shape.
    pub fn full_like(&self, value: f64) -> Val<'r, B> {
        let value = self.scope.builder.borrow_mut().full_like(&self.value, value);
        Val { scope: self.scope, value }
    }

    pub fn unary(&self, op: Unary) -> Val<'r, B> {
        self.apply(Op::Unary(op))
    }

    pub fn binary(&self, op: Binary, other: impl Operand<'r, B>) -> Val<'r, B> {
        let (x, y) = aligned(self.clone(), other.like(self));
        self.scope.emit_of(Op::Binary(op), smallvec![x.value, y.value])
    }

    pub fn cmp(&self, op: Cmp, other: impl Operand<'r, B>) -> Val<'r, B> {
        let (x, y) = aligned(self.clone(), other.like(self));
        self.scope.emit_of(Op::Cmp(op), smallvec![x.value, y.value])
    }

    pub fn gt(&self, other: impl Operand<'r, B>) -> Val<'r, B> {
        other.like(self).cmp(Cmp::Lt, self)
    }

    pub fn ge(&self, other: impl Operand<'r, B>) -> Val<'r, B> {
        other.like(self).cmp(Cmp::Le, self)
    }

    pub fn is_nan(&self) -> Val<'r, B> {
        self.cmp(Cmp::Ne, self)
    }

    pub fn square(&self) -> Val<'r, B> {
        self * self
    }

    /// `1 / self`
    pub fn reciprocal(&self) -> Val<'r, B> {
        1.0 / self
    }

    /// Where this is true `yes`, elsewhere `no`; at least one of them is a value.
    pub fn select(&self, yes: impl Operand<'r, B>, no: impl Operand<'r, B>, like: &Val<'r, B>) -> Val<'r, B> {
        let (yes, no) = (yes.like(like), no.like(like));
        if self.has_shape_of(&yes) && self.has_shape_of(&no) {
            return self.scope.emit_of(Op::Select, smallvec![self.value.clone(), yes.value, no.value]);
        }
        let (a, b, c) = (self.shape(), yes.shape(), no.shape());
        let (on, yes, no) = match broadcast_shapes(&[&a, &b, &c]) {
            Some(s) => (self.broadcast_to(&s), yes.broadcast_to(&s), no.broadcast_to(&s)),
            None => (self.clone(), yes, no),
        };
        self.scope.emit_of(Op::Select, smallvec![on.value, yes.value, no.value])
    }

    /// This where `mask` is true, elsewhere `other`.
    pub fn keep_where(&self, mask: &Val<'r, B>, other: impl Operand<'r, B>) -> Val<'r, B> {
        mask.select(self, other, self)
    }

    /// This where `mask` is false, elsewhere `other`.
    pub fn masked(&self, mask: &Val<'r, B>, other: impl Operand<'r, B>) -> Val<'r, B> {
        mask.select(other, self, self)
    }

    pub fn cast(&self, dtype: DType) -> Val<'r, B> {
        if self.dtype() == dtype { self.clone() } else { self.apply(Op::Cast(dtype)) }
    }

    pub fn bitcast(&self, dtype: DType) -> Val<'r, B> {
        self.apply(Op::Bitcast(dtype))
    }

    pub fn detach(&self) -> Val<'r, B> {
        self.apply(Op::Detach)
    }

    /// `formula` in the type that this value's arithmetic is carried out in (16-bit floats in `f32`),
    /// rounded back once at the end.
    pub fn in_compute(&self, formula: impl FnOnce(&Val<'r, B>) -> Val<'r, B>) -> Val<'r, B> {
        let dtype = self.dtype();
        formula(&self.cast(dtype.compute())).cast(dtype)
    }

    pub fn reshape(&self, shape: &[Dim]) -> Val<'r, B> {
        if self.shape().as_slice() == shape { self.clone() } else { self.apply(Op::Reshape(shape.into())) }
    }

    /// [`Val::reshape`] with numbers.
    pub fn view(&self, sizes: &[i64]) -> Val<'r, B> {
        self.reshape(&ttk_ir::shape::shape(sizes))
    }

    pub fn permute(&self, perm: &[usize]) -> Val<'r, B> {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return self.clone();
        }
        self.apply(Op::Permute(perm.iter().map(|&p| p as u8).collect()))
    }

    pub fn transpose(&self, a: usize, b: usize) -> Val<'r, B> {
        let mut perm: Vec<usize> = (0..self.rank()).collect();
        perm.swap(a, b);
        self.permute(&perm)
    }

    /// Moves one axis to another place; the others keep their order.
    pub fn move_axis(&self, from: usize, to: usize) -> Val<'r, B> {
        let mut perm: Vec<usize> = (0..self.rank()).filter(|&a| a != from).collect();
        perm.insert(to, from);
        self.permute(&perm)
    }

    pub fn broadcast_to(&self, shape: &[Dim]) -> Val<'r, B> {
        let own = self.shape();
        if own.as_slice() == shape {
            return self.clone();
        }
        let mut padded: Shape = (own.len()..shape.len()).map(|_| Dim::Fixed(1)).collect();
        padded.extend(own);
        let x = self.reshape(&padded);
        if padded.as_slice() == shape { x } else { x.apply(Op::Expand(shape.into())) }
    }

    pub fn unsqueeze(&self, axis: usize) -> Val<'r, B> {
        let mut shape = self.shape();
        shape.insert(axis, Dim::Fixed(1));
        self.reshape(&shape)
    }

    /// Drops the given axes, which have size 1.
    pub fn squeeze(&self, axes: &[usize]) -> Val<'r, B> {
        let shape = self.shape();
        let rest: Shape =
            shape.into_iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d).collect();
        self.reshape(&rest)
    }

    /// Joins the axes `first..=last` into one.
    pub fn flatten(&self, first: usize, last: usize) -> Val<'r, B> {
        let shape = self.shape();
        if shape.is_empty() {
            return self.view(&[1]);
        }
        let joined = ttk_ir::shape::numel(&shape[first..=last]);
        let mut out: Shape = shape[..first].into();
        out.push(joined);
        out.extend(shape[last + 1..].iter().cloned());
        self.reshape(&out)
    }

    /// Splits one axis into several.
    pub fn unflatten(&self, axis: usize, sizes: &[i64]) -> Val<'r, B> {
        let shape = self.shape();
        let mut out: Shape = shape[..axis].into();
        out.extend(sizes.iter().map(|&n| Dim::Fixed(n)));
        out.extend(shape[axis + 1..].iter().cloned());
        self.reshape(&out)
    }

    pub fn slice(&self, dims: Vec<SliceDim>) -> Val<'r, B> {
        if dims.iter().zip(&self.shape()).all(|(d, n)| d.is_all(n)) {
            return self.clone();
        }
        self.apply(Op::Slice(dims.into()))
    }

    /// `len` positions from `start` along one axis, `step` apart.
    pub fn strided(&self, axis: usize, start: i64, len: i64, step: i64) -> Val<'r, B> {
        let mut dims: Vec<SliceDim> = self.shape().into_iter().map(SliceDim::all).collect();
        dims[axis] = SliceDim { start: Dim::Fixed(start), len: Dim::Fixed(len), step };
        self.slice(dims)
    }

    pub fn narrow(&self, axis: usize, start: i64, len: i64) -> Val<'r, B> {
        self.strided(axis, start, len, 1)
    }

    /// One position of an axis, which goes.
    pub fn select_at(&self, axis: usize, position: i64) -> Val<'r, B> {
        self.narrow(axis, position, 1).squeeze(&[axis])
    }

    pub fn flip(&self, axes: &[usize]) -> Val<'r, B> {
        let mut dims: Vec<SliceDim> = self.shape().into_iter().map(SliceDim::all).collect();
        for &a in axes {
            // One element or none reads the same backwards.
            if dims[a].len.fixed().is_none_or(|n| n > 1) {
                dims[a] = SliceDim { start: dims[a].len.offset(-1), len: dims[a].len.clone(), step: -1 };
            }
        }
        self.slice(dims)
    }

    /// `(low, high)` elements of `value` around each axis; a negative amount crops.
    pub fn pad(&self, amounts: &[(i64, i64)], value: f64) -> Val<'r, B> {
        let crop = |(axis, &(low, high)): (usize, &(i64, i64))| {
            let (low, high) = ((-low).max(0), (-high).max(0));
            SliceDim { start: Dim::Fixed(low), len: self.shape()[axis].offset(-low - high), step: 1 }
        };
        let x = self.slice(amounts.iter().enumerate().map(crop).collect());
        let grow = |&(low, high): &(i64, i64)| PadDim {
            low: Dim::Fixed(low.max(0)),
            high: Dim::Fixed(high.max(0)),
            interior: 0,
        };
        x.pad_interior(amounts.iter().map(grow).collect(), value)
    }

    /// Pads with elements between neighbours too.
    pub fn pad_interior(&self, dims: Vec<PadDim>, value: f64) -> Val<'r, B> {
        if dims.iter().all(PadDim::is_none) {
            return self.clone();
        }
        let value = Scalar::from_f64(self.dtype(), value);
        self.apply(Op::Pad { dims: dims.into(), value })
    }

    /// Pads one axis.
    pub fn pad_axis(&self, axis: usize, low: i64, high: i64, value: f64) -> Val<'r, B> {
        let mut amounts = vec![(0, 0); self.rank()];
        amounts[axis] = (low, high);
        self.pad(&amounts, value)
    }

    /// This with `value` written over a part of it.
    pub fn update(&self, dims: Vec<SliceDim>, value: &Val<'r, B>) -> Val<'r, B> {
        self.emit(Op::Update(dims.into()), &[self.value.clone(), value.value.clone()])
    }

    /// Sliding windows; their sizes follow as new last axes.
    pub fn window(&self, dims: &[WindowDim]) -> Val<'r, B> {
        self.apply(Op::Window(dims.into()))
    }

    /// The adjoint of [`Val::window`] on axes of the given sizes.
    pub fn fold(&self, dims: &[WindowDim], sizes: &[i64]) -> Val<'r, B> {
        self.apply(Op::Fold { dims: dims.into(), sizes: ttk_ir::shape::shape(sizes) })
    }

    pub fn dot(
        &self,
        other: &Val<'r, B>,
        batch: &[(usize, usize)],
        contract: &[(usize, usize)],
    ) -> Val<'r, B> {
        let pairs = |p: &[(usize, usize)]| -> SmallVec<[(u8, u8); 2]> {
            p.iter().map(|&(a, b)| (a as u8, b as u8)).collect()
        };
        let op = Op::Dot { batch: pairs(batch), contract: pairs(contract) };
        self.emit(op, &[self.value.clone(), other.value.clone()])
    }

    /// `out[.., i, ..] = self[.., index[.., i, ..], ..]`; other axes have equal sizes.
    pub fn gather(&self, axis: usize, index: &Val<'r, B>) -> Val<'r, B> {
        self.emit(Op::Gather { axis: axis as u8 }, &[self.value.clone(), index.value.clone()])
    }

    pub fn scatter(
        &self,
        axis: usize,
        mode: ScatterOp,
        index: &Val<'r, B>,
        updates: &Val<'r, B>,
    ) -> Val<'r, B> {
        let op = Op::Scatter { axis: axis as u8, mode };
        self.emit(op, &[self.value.clone(), index.value.clone(), updates.value.clone()])
    }

    pub fn argsort(&self, axis: usize, descending: bool) -> Val<'r, B> {
        self.apply(Op::Argsort { axis: axis as u8, descending })
    }

    /// Running combination along an axis.
    pub fn scan(&self, op: ReduceOp, axis: usize) -> Val<'r, B> {
        self.apply(Op::Scan { op, axis: axis as u8, reverse: false })
    }

    /// Reduces axes, which keep size 1.
    pub fn reduce(&self, op: ReduceOp, axes: &[usize]) -> Val<'r, B> {
        if axes.is_empty() {
            return self.clone();
        }
        let mut axes: SmallVec<[u8; 4]> = axes.iter().map(|&a| a as u8).collect();
        axes.sort_unstable();
        self.apply(Op::Reduce { op, axes })
    }

    /// The sum over axes, which keep size 1.
    pub fn sum(&self, axes: &[usize]) -> Val<'r, B> {
        self.reduce(ReduceOp::Sum, axes)
    }

    /// The largest over axes, which keep size 1.
    pub fn amax(&self, axes: &[usize]) -> Val<'r, B> {
        self.reduce(ReduceOp::Max, axes)
    }

    /// The smallest over axes, which keep size 1.
    pub fn amin(&self, axes: &[usize]) -> Val<'r, B> {
        self.reduce(ReduceOp::Min, axes)
    }

    /// The mean over axes, which keep size 1.
    pub fn mean(&self, axes: &[usize]) -> Val<'r, B> {
        let count: i64 = axes.iter().map(|&a| self.size(a)).product();
        self.sum(axes) / count as f64
    }

    /// The sum of everything, without axes.
    pub fn sum_all(&self) -> Val<'r, B> {
        let axes: Vec<usize> = (0..self.rank()).collect();
        self.sum(&axes).view(&[])
    }

    /// All axes, to reduce over.
    pub fn all_axes(&self) -> Vec<usize> {
        (0..self.rank()).collect()
    }
}

fn number(dim: &Dim) -> i64 {
    match dim {
        Dim::Fixed(n) => *n,
        Dim::Symbolic(e) => panic!("a composite operator was recorded with the symbolic size {e:?}"),
    }
}

macro_rules! named_operations {
    ($(unary $name:ident $op:ident;)* ; $(binary $bname:ident $bop:ident;)* ; $(cmp $cname:ident $cop:ident;)*) => {
        impl<'r, B: Builder> Val<'r, B> {
            $(pub fn $name(&self) -> Val<'r, B> { self.unary(Unary::$op) })*
            $(pub fn $bname(&self, other: impl Operand<'r, B>) -> Val<'r, B> {
                self.binary(Binary::$bop, other)
            })*
            $(pub fn $cname(&self, other: impl Operand<'r, B>) -> Val<'r, B> {
                self.cmp(Cmp::$cop, other)
            })*
        }
    };
}

named_operations! {
    unary complement Not; unary abs Abs; unary floor Floor; unary round Round; unary sqrt Sqrt;
    unary exp Exp; unary expm1 Expm1; unary log Log; unary log1p Log1p; unary sin Sin; unary cos Cos;
    unary tanh Tanh; unary erf Erf;
    ;
    binary remainder_of Rem; binary pow Pow; binary max Max; binary min Min; binary atan2 Atan2;
    binary and And; binary or Or; binary xor Xor; binary shift_left Shl; binary shift_right Shr;
    ;
    cmp eq Eq; cmp ne Ne; cmp lt Lt; cmp le Le;
}

macro_rules! operators {
    ($($tr:ident $method:ident $op:ident;)*) => { $(
        impl<'r, B: Builder, R: Operand<'r, B>> std::ops::$tr<R> for &Val<'r, B> {
            type Output = Val<'r, B>;
            fn $method(self, other: R) -> Val<'r, B> { self.binary(Binary::$op, other) }
        }
        impl<'r, B: Builder, R: Operand<'r, B>> std::ops::$tr<R> for Val<'r, B> {
            type Output = Val<'r, B>;
            fn $method(self, other: R) -> Val<'r, B> { self.binary(Binary::$op, other) }
        }
        impl<'r, B: Builder> std::ops::$tr<&Val<'r, B>> for f64 {
            type Output = Val<'r, B>;
            fn $method(self, other: &Val<'r, B>) -> Val<'r, B> {
                self.like(other).binary(Binary::$op, other)
            }
        }
        impl<'r, B: Builder> std::ops::$tr<Val<'r, B>> for f64 {
            type Output = Val<'r, B>;
            fn $method(self, other: Val<'r, B>) -> Val<'r, B> {
                self.like(&other).binary(Binary::$op, other)
            }
        }
    )* };
}

operators! { Add add Add; Sub sub Sub; Mul mul Mul; Div div Div; }

impl<'r, B: Builder> std::ops::Neg for &Val<'r, B> {
    type Output = Val<'r, B>;
    fn neg(self) -> Val<'r, B> {
        self.unary(Unary::Neg)
    }
}

impl<'r, B: Builder> std::ops::Neg for Val<'r, B> {
    type Output = Val<'r, B>;
    fn neg(self) -> Val<'r, B> {
        self.unary(Unary::Neg)
    }
}
