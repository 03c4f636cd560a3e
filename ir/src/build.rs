//! Writing operations down: one trait for a [`Graph`] under construction and for a lazy recorder.
//!
//! Derivative rules and composite operators are written once over [`Builder`] and serve both.

use crate::dtype::{DType, Scalar};
use crate::graph::{Graph, ValueId};
use crate::op::{Axes, Binary, Cmp, Op, PadDim, ReduceOp, SliceDim, Unary};
use crate::shape::{Dim, Shape, Type};
use smallvec::{SmallVec, smallvec};

/// Something that operations can be added to.
///
/// The methods panic when the operands break the operation's type rule: user input is checked before
/// it comes here, so that is a defect of the caller's code.
pub trait Builder {
    type Value: Clone;

    /// Adds an operation and gives its result.
    fn op(&mut self, op: Op, inputs: &[Self::Value]) -> Self::Value;

    /// [`Builder::op`] of operands that are given away: nothing is cloned where the builder keeps them.
    fn add_op(&mut self, op: Op, inputs: SmallVec<[Self::Value; 3]>) -> Self::Value {
        self.op(op, &inputs)
    }

    /// The number `value` as an operand: it may be one that was added before, so that it is not for a result.
    fn operand(&mut self, value: Scalar, shape: Shape) -> Self::Value {
        self.constant(value, shape)
    }

    /// The type of a value.
    fn ty<'a>(&'a self, value: &'a Self::Value) -> &'a Type;

    fn dtype(&self, x: &Self::Value) -> DType {
        self.ty(x).dtype
    }

    fn shape(&self, x: &Self::Value) -> Shape {
        self.ty(x).shape.clone()
    }

    fn rank(&self, x: &Self::Value) -> usize {
        self.ty(x).rank()
    }

    /// Every element `value`, with the type of `like`.
    fn full_like(&mut self, like: &Self::Value, value: f64) -> Self::Value {
        let ty = self.ty(like);
        let op = Op::Const { value: Scalar::from_f64(ty.dtype, value), shape: ty.shape.clone() };
        self.op(op, &[])
    }

    fn zeros(&mut self, ty: &Type) -> Self::Value {
        self.op(Op::Const { value: Scalar::zero(ty.dtype), shape: ty.shape.clone() }, &[])
    }

    fn constant(&mut self, value: Scalar, shape: Shape) -> Self::Value {
        self.op(Op::Const { value, shape }, &[])
    }

    /// Positions along `axis`.
    fn iota(&mut self, dtype: DType, shape: Shape, axis: usize) -> Self::Value {
        self.op(Op::Iota { axis: axis as u8, dtype, shape }, &[])
    }

    fn unary(&mut self, u: Unary, x: &Self::Value) -> Self::Value {
        self.op(Op::Unary(u), std::slice::from_ref(x))
    }

    fn binary(&mut self, b: Binary, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.add_op(Op::Binary(b), smallvec![x.clone(), y.clone()])
    }

    fn cmp(&mut self, c: Cmp, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.add_op(Op::Cmp(c), smallvec![x.clone(), y.clone()])
    }

    fn add(&mut self, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.binary(Binary::Add, x, y)
    }

    fn sub(&mut self, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.binary(Binary::Sub, x, y)
    }

    fn mul(&mut self, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.binary(Binary::Mul, x, y)
    }

    fn div(&mut self, x: &Self::Value, y: &Self::Value) -> Self::Value {
        self.binary(Binary::Div, x, y)
    }

    fn neg(&mut self, x: &Self::Value) -> Self::Value {
        self.unary(Unary::Neg, x)
    }

    /// `x * k` for a number `k`.
    fn scale(&mut self, x: &Self::Value, k: f64) -> Self::Value {
        let k = self.full_like(x, k);
        self.mul(x, &k)
    }

    /// `x + k` for a number `k`.
    fn shift(&mut self, x: &Self::Value, k: f64) -> Self::Value {
        let k = self.full_like(x, k);
        self.add(x, &k)
    }

    fn select(&mut self, cond: &Self::Value, yes: &Self::Value, no: &Self::Value) -> Self::Value {
        self.add_op(Op::Select, smallvec![cond.clone(), yes.clone(), no.clone()])
    }

    fn cast(&mut self, x: &Self::Value, dtype: DType) -> Self::Value {
        if self.dtype(x) == dtype {
            return x.clone();
        }
        self.op(Op::Cast(dtype), std::slice::from_ref(x))
    }

    fn reshape(&mut self, x: &Self::Value, shape: Shape) -> Self::Value {
        if self.ty(x).shape == shape {
            return x.clone();
        }
        self.op(Op::Reshape(shape), std::slice::from_ref(x))
    }

    fn permute(&mut self, x: &Self::Value, perm: &[usize]) -> Self::Value {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return x.clone();
        }
        let perm: Axes = perm.iter().map(|&p| p as u8).collect();
        self.op(Op::Permute(perm), std::slice::from_ref(x))
    }

    /// Repeats axes of size 1 to `shape`, which has the same rank.
    fn expand(&mut self, x: &Self::Value, shape: Shape) -> Self::Value {
        if self.ty(x).shape == shape {
            return x.clone();
        }
        self.op(Op::Expand(shape), std::slice::from_ref(x))
    }

    /// NumPy's broadcasting to `shape`: missing axes are added in front.
    fn broadcast(&mut self, x: &Self::Value, shape: &[Dim]) -> Self::Value {
        let own = self.shape(x);
        if own.as_slice() == shape {
            return x.clone();
        }
        let mut padded: Shape = (own.len()..shape.len()).map(|_| Dim::Fixed(1)).collect();
        padded.extend(own);
        let x = self.reshape(x, padded);
        self.expand(&x, shape.into())
    }

    fn slice(&mut self, x: &Self::Value, dims: Vec<SliceDim>) -> Self::Value {
        if dims.iter().zip(&self.ty(x).shape).all(|(d, n)| d.is_all(n)) {
            return x.clone();
        }
        self.op(Op::Slice(dims.into()), std::slice::from_ref(x))
    }

    /// `len` positions from `start` along one axis.
    fn narrow(&mut self, x: &Self::Value, axis: usize, start: Dim, len: Dim) -> Self::Value {
        let mut dims: Vec<SliceDim> = self.ty(x).shape.iter().cloned().map(SliceDim::all).collect();
        dims[axis] = SliceDim { start, len, step: 1 };
        self.slice(x, dims)
    }

    /// Pads with a number.
    fn pad(&mut self, x: &Self::Value, dims: Vec<PadDim>, value: f64) -> Self::Value {
        if dims.iter().all(PadDim::is_none) {
            return x.clone();
        }
        let value = Scalar::from_f64(self.dtype(x), value);
        self.op(Op::Pad { dims: dims.into(), value }, std::slice::from_ref(x))
    }

    fn concat(&mut self, parts: &[Self::Value], axis: usize) -> Self::Value {
        match parts {
            [one] => one.clone(),
            _ => self.op(Op::Concat { axis: axis as u8 }, parts),
        }
    }

    /// Reduces `axes` (in any order), which keep size 1.
    fn reduce(&mut self, op: ReduceOp, x: &Self::Value, axes: &[usize]) -> Self::Value {
        if axes.is_empty() {
            return x.clone();
        }
        let mut axes: Axes = axes.iter().map(|&a| a as u8).collect();
        axes.sort();
        self.op(Op::Reduce { op, axes }, std::slice::from_ref(x))
    }

    /// Sums away what [`Builder::broadcast`] to the type of `x` would have added to `shape`.
    fn unbroadcast(&mut self, x: &Self::Value, shape: &[Dim]) -> Self::Value {
        let own = self.shape(x);
        if own.as_slice() == shape {
            return x.clone();
        }
        let lead = own.len() - shape.len();
        let axes: Vec<usize> =
            (0..own.len()).filter(|&i| i < lead || (shape[i - lead].is_one() && !own[i].is_one())).collect();
        let x = self.reduce(ReduceOp::Sum, x, &axes);
        self.reshape(&x, shape.into())
    }

    fn dot(
        &mut self,
        x: &Self::Value,
        y: &Self::Value,
        batch: &[(usize, usize)],
        contract: &[(usize, usize)],
    ) -> Self::Value {
        let pairs = |p: &[(usize, usize)]| -> SmallVec<[(u8, u8); 2]> {
            p.iter().map(|&(a, b)| (a as u8, b as u8)).collect()
        };
        self.op(Op::Dot { batch: pairs(batch), contract: pairs(contract) }, &[x.clone(), y.clone()])
    }

    fn gather(&mut self, data: &Self::Value, index: &Self::Value, axis: usize) -> Self::Value {
        self.op(Op::Gather { axis: axis as u8 }, &[data.clone(), index.clone()])
    }

    fn detach(&mut self, x: &Self::Value) -> Self::Value {
        self.op(Op::Detach, std::slice::from_ref(x))
    }
}

impl Builder for Graph {
    type Value = ValueId;

    fn op(&mut self, op: Op, inputs: &[ValueId]) -> ValueId {
        match self.add(op, inputs) {
            Ok(id) => id,
            Err(error) => panic!("an operation was built on operands it does not take: {error}"),
        }
    }

    fn ty<'a>(&'a self, value: &'a ValueId) -> &'a Type {
        Graph::ty(self, *value)
    }
}
