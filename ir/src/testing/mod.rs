//! Generators of random valid graphs, kernels and inputs, for the property tests of every crate.
//!
//! All are pure functions of a seed, so that a failure is reproduced by its numbers, and of a size, so
//! that a property tester can look for a smaller failure.

mod graphs;
mod kernels;

pub use graphs::{GraphOptions, random_graph};
pub use kernels::{KernelOptions, random_kernel};

use crate::dtype::{DType, Scalar};
use crate::eval::Tensor;
use crate::graph::Graph;
use crate::kernel::Kernel;
use crate::shape::Type;

/// SplitMix64 (Steele, Lea and Flood, 2014): small, fast, and good enough to choose tests.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..n`; 0 when `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next_u64() % n as u64) as usize }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1) as usize) as i64
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A float in `0..1`.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of the items, which are at least one.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Which numbers random inputs hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Values {
    /// Floats in -2..2, integers in -4..=4 (0..=4 without a sign): most results stay finite.
    Tame,
    /// Any bits at all, with NaN, infinities, denormals, zeros of both signs and extremes often.
    Wild,
}

/// A random element.
pub fn random_scalar(rng: &mut Rng, dtype: DType, values: Values) -> Scalar {
    let tame_int = |rng: &mut Rng| rng.between(if dtype.is_signed() { -4 } else { 0 }, 4);
    match (values, dtype.int_range()) {
        (_, Some((0, 1))) => Scalar::from_i64(dtype, rng.between(0, 1)),
        (Values::Tame, Some(_)) => Scalar::from_i64(dtype, tame_int(rng)),
        (Values::Tame, None) => Scalar::from_f64(dtype, rng.unit() * 4.0 - 2.0),
        (Values::Wild, Some((low, high))) => match rng.below(6) {
            0 => Scalar::from_i64(dtype, low),
            1 => Scalar::from_i64(dtype, high),
            2 => Scalar::from_i64(dtype, rng.next_u64() as i64),
            _ => Scalar::from_i64(dtype, tame_int(rng)),
        },
        (Values::Wild, None) => match rng.below(12) {
            0 => Scalar::from_f64(dtype, f64::NAN),
            1 => Scalar::from_f64(dtype, f64::INFINITY),
            2 => Scalar::from_f64(dtype, f64::NEG_INFINITY),
            3 => Scalar::from_f64(dtype, -0.0),
            4 => Scalar::zero(dtype),
            // The smallest numbers of the type, which are denormal.
            5 => Scalar { dtype, bits: rng.below(8) as u64 },
            6 => Scalar { dtype, bits: rng.next_u64() >> (64 - 8 * dtype.size()) },
            _ => Scalar::from_f64(dtype, rng.unit() * 4.0 - 2.0),
        },
    }
}

/// A random tensor.
pub fn random_tensor(rng: &mut Rng, dtype: DType, dims: &[i64], values: Values) -> Tensor {
    let mut out = Tensor::zeros(dtype, dims);
    for i in 0..out.len() {
        out.set(i, random_scalar(rng, dtype, values));
    }
    out
}

/// A tensor for each of a list of types, whose symbols have the given values.
pub fn random_inputs(types: &[Type], symbols: &[i64], seed: u64, values: Values) -> Vec<Tensor> {
    let mut rng = Rng::new(seed);
    let dims = |ty: &Type| ty.shape.iter().map(|d| d.eval(symbols)).collect::<Vec<i64>>();
    types.iter().map(|ty| random_tensor(&mut rng, ty.dtype, &dims(ty), values)).collect()
}

/// The types of a graph's inputs.
pub fn input_types(graph: &Graph) -> Vec<Type> {
    graph.params().iter().map(|&p| graph.ty(p).clone()).collect()
}

/// A tensor for each parameter of a kernel, whose symbols have the given values.
pub fn kernel_arguments(kernel: &Kernel, symbols: &[i64], seed: u64, values: Values) -> Vec<Tensor> {
    let mut rng = Rng::new(seed);
    let mut tensor = |dtype, len: i64| random_tensor(&mut rng, dtype, &[len.max(0)], values);
    kernel.params.iter().map(|p| tensor(p.dtype, p.len.eval_symbols(symbols))).collect()
}
