//! What two recordings must share to use one compiled plan.
//!
//! A recording is taken apart into its structure (operations, operands, element types, ranks), its sizes
//! and its scalar constants. Structure must be equal; sizes and scalars may be parameters of the plan.

use super::extract::{Recording, Step};
use crate::device::{self, Device};
use crate::node::Kind;
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::hash::{Hash, Hasher};
use ttk_ir::op::{PadDim, SliceDim};
use ttk_ir::{DType, Dim, Op, Scalar, Shape};

/// A recording, taken apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// Operations, operands and attributes that are no sizes.
    pub words: Vec<u64>,
    /// Sizes in attributes, in order.
    pub dims: Vec<i64>,
    /// Constants, in order.
    pub scalars: Vec<Scalar>,
    /// Positions of the constants that are expected to change.
    pub varying: Vec<usize>,
}

impl Signature {
    pub fn of(r: &Recording) -> Signature {
        let mut s = Signature::default();
        s.fill(r);
        s
    }

    /// Takes a recording apart, in the memory of another signature.
    pub fn fill(&mut self, r: &Recording) {
        let s = self;
        s.words.clear();
        s.dims.clear();
        s.scalars.clear();
        s.varying.clear();
        s.words.push(match r.device {
            Device::Cpu | Device::Meta => 0,
            Device::Cuda(i) => 4 << 56 | u64::from(device::tf32()) << 32 | u64::from(i),
        });
        for (value, step) in r.entries() {
            match step {
                Step::Leaf(i) => {
                    let (ty, donate) = (&value.ty, r.donate[i] as u64);
                    s.words.push(1 << 56 | donate << 16 | (ty.dtype as u64) << 8 | ty.rank() as u64);
                    s.push_dims(&ty.shape);
                }
                Step::Op(operands) => {
                    let Kind::Op(op) = &value.kind else { continue };
                    s.words.push(2 << 56 | op_word(op) << 8 | operands.len() as u64);
                    s.words.extend(operands.iter().map(|&i| i as u64));
                    if value.varying && can_lift(value.ty.dtype) {
                        s.varying.push(s.scalars.len());
                    }
                    s.push_attributes(op);
                }
            }
        }
        s.words.push(3 << 56);
        s.words.extend(r.outputs().map(|(at, _)| at as u64));
    }

    /// A hash of the structure.
    pub fn hash(&self) -> u64 {
        let mut h = FxHasher::default();
        self.words.hash(&mut h);
        h.finish()
    }

    fn push_dims(&mut self, dims: &[Dim]) {
        self.words.push(dims.len() as u64);
        self.dims.extend(dims.iter().map(|d| d.fixed().unwrap_or(-1)));
    }

    fn push_slices(&mut self, dims: &[SliceDim]) {
        self.words.push(dims.len() as u64);
        for d in dims {
            self.words.push(d.step as u64);
            self.dims.extend([&d.start, &d.len].map(|x| x.fixed().unwrap_or(-1)));
        }
    }

    fn push_attributes(&mut self, op: &Op) {
        let axes = |axes: &[u8]| axes.iter().fold(1u64, |w, &a| w << 6 | a as u64 & 63);
        match op {
            Op::Param { dtype, shape, .. } => {
                self.words.push(*dtype as u64);
                self.push_dims(shape);
            }
            Op::Const { value, shape } => {
                self.words.push(value.dtype as u64);
                self.scalars.push(*value);
                self.push_dims(shape);
            }
            Op::Iota { axis, dtype, shape } => {
                self.words.push((*axis as u64) << 8 | *dtype as u64);
                self.push_dims(shape);
            }
            Op::RandomBits { stream, shape } => {
                self.words.push(*stream as u64);
                self.push_dims(shape);
            }
            Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select => {}
            Op::Cast(dtype) | Op::Bitcast(dtype) => self.words.push(*dtype as u64),
            Op::Reshape(shape) | Op::Expand(shape) => self.push_dims(shape),
            Op::Permute(perm) => self.words.push(axes(perm)),
            Op::Slice(dims) | Op::Update(dims) => self.push_slices(dims),
            Op::Pad { dims, value } => {
                self.words.extend([value.dtype as u64, value.bits, dims.len() as u64]);
                for d in dims {
                    self.words.push(d.interior as u64);
                    self.dims.extend([&d.low, &d.high].map(|x| x.fixed().unwrap_or(-1)));
                }
            }
            Op::Concat { axis } | Op::Gather { axis } => self.words.push(*axis as u64),
            Op::Window(dims) => self.push_windows(dims),
            Op::Fold { dims, sizes } => {
                self.push_windows(dims);
                self.push_dims(sizes);
            }
            Op::Scatter { axis, mode } => self.words.push((*axis as u64) << 8 | *mode as u64),
            Op::Reduce { op, axes: a } => self.words.extend([*op as u64, axes(a)]),
            Op::Scan { op, axis, reverse } => {
                self.words.push((*op as u64) << 16 | (*axis as u64) << 8 | *reverse as u64)
            }
            Op::Argsort { axis, descending } => self.words.push((*axis as u64) << 8 | *descending as u64),
            Op::Dot { batch, contract } => {
                self.words.push((batch.len() as u64) << 8 | contract.len() as u64);
                let pairs = batch.iter().chain(contract);
                self.words.extend(pairs.map(|&(a, b)| (a as u64) << 8 | b as u64));
            }
            Op::Detach | Op::Barrier => {}
            Op::Custom { name, attributes, dtype, shape } => {
                let mut h = FxHasher::default();
                name.hash(&mut h);
                self.words.extend([h.finish(), *dtype as u64, attributes.len() as u64]);
                self.words.extend(attributes.iter().map(|&a| a as u64));
                self.push_dims(shape);
            }
        }
    }

    fn push_windows(&mut self, dims: &[ttk_ir::op::WindowDim]) {
        self.words.push(dims.len() as u64);
        for d in dims {
            self.words.extend([d.axis as u64, d.size as u64, d.stride as u64, d.dilation as u64]);
        }
    }
}

/// A number for the operation without its attributes.
fn op_word(op: &Op) -> u64 {
    let (family, row) = match op {
        Op::Param { .. } => (0, 0),
        Op::Const { .. } => (1, 0),
        Op::Iota { .. } => (2, 0),
        Op::RandomBits { .. } => (3, 0),
        Op::Unary(u) => (4, *u as u64),
        Op::Binary(b) => (5, *b as u64),
        Op::Cmp(c) => (6, *c as u64),
        Op::Select => (7, 0),
        Op::Cast(_) => (8, 0),
        Op::Bitcast(_) => (9, 0),
        Op::Reshape(_) => (10, 0),
        Op::Permute(_) => (11, 0),
        Op::Expand(_) => (12, 0),
        Op::Slice(_) => (13, 0),
        Op::Pad { .. } => (14, 0),
        Op::Concat { .. } => (15, 0),
        Op::Update(_) => (16, 0),
        Op::Window(_) => (17, 0),
        Op::Fold { .. } => (18, 0),
        Op::Gather { .. } => (19, 0),
        Op::Scatter { .. } => (20, 0),
        Op::Reduce { .. } => (21, 0),
        Op::Scan { .. } => (22, 0),
        Op::Argsort { .. } => (23, 0),
        Op::Dot { .. } => (24, 0),
        Op::Detach => (25, 0),
        Op::Barrier => (26, 0),
        Op::Custom { .. } => (27, 0),
    };
    family << 8 | row
}

/// `op` with its sizes replaced, in the order in which [`Signature`] lists them, by what `next` gives.
pub fn with_dims(op: &Op, next: &mut dyn FnMut() -> Dim) -> Op {
    let mut shape = |s: &Shape| -> Shape { s.iter().map(|_| next()).collect() };
    match op {
        Op::Param { index, dtype, shape: s } => Op::Param { index: *index, dtype: *dtype, shape: shape(s) },
        Op::Const { value, shape: s } => Op::Const { value: *value, shape: shape(s) },
        Op::Iota { axis, dtype, shape: s } => Op::Iota { axis: *axis, dtype: *dtype, shape: shape(s) },
        Op::RandomBits { stream, shape: s } => Op::RandomBits { stream: *stream, shape: shape(s) },
        Op::Reshape(s) => Op::Reshape(shape(s)),
        Op::Expand(s) => Op::Expand(shape(s)),
        Op::Slice(dims) => Op::Slice(slices(dims, next)),
        Op::Update(dims) => Op::Update(slices(dims, next)),
        Op::Pad { dims, value } => {
            let dims: SmallVec<[PadDim; 4]> = dims
                .iter()
                .map(|d| {
                    let (low, high) = (next(), next());
                    PadDim { low, high, interior: d.interior }
                })
                .collect();
            Op::Pad { dims: dims.into_vec().into(), value: *value }
        }
        Op::Fold { dims, sizes } => Op::Fold { dims: dims.clone(), sizes: shape(sizes) },
        Op::Custom { name, attributes, dtype, shape: s } => {
            let (name, attributes, dtype) = (name.clone(), attributes.clone(), *dtype);
            Op::Custom { name, attributes, dtype, shape: shape(s) }
        }
        Op::Unary(_) | Op::Binary(_) | Op::Cmp(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => op.clone(),
        Op::Permute(_) | Op::Concat { .. } | Op::Window(_) | Op::Gather { .. } | Op::Scatter { .. } => {
            op.clone()
        }
        Op::Reduce { .. } | Op::Scan { .. } | Op::Argsort { .. } | Op::Dot { .. } => op.clone(),
        Op::Detach | Op::Barrier => op.clone(),
    }
}

fn slices(dims: &[SliceDim], next: &mut dyn FnMut() -> Dim) -> Box<[SliceDim]> {
    dims.iter()
        .map(|d| {
            let (start, len) = (next(), next());
            SliceDim { start, len, step: d.step }
        })
        .collect()
}

/// The element types a scalar constant can be lifted to a parameter of.
pub fn can_lift(dtype: DType) -> bool {
    dtype != DType::Bool
}
