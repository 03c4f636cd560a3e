//! Steps that a library computes along with a product: a sum of an operand, the gradient of gelu that the product comes out of.
//!
//! The call computes such a step where the product stands. So nothing in between may look at its result or change what it
//! reads, and its result's memory must be its own from the first to the last of the two.

use super::epilogue;
use super::sums::{Sum, side, sum};
use std::collections::{HashMap, HashSet};
use ttk_ir::Expr;
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep};
use ttk_ir::library::{Activation, Alternative, Call, Matrix, OperandSum, Product};
use ttk_ir::program::{Action, BufferId, Placement, Program};

/// Puts a call that computes another step as well before each that makes a product alone, where there is such a step.
pub(crate) fn join(program: &Program, device: &mut DeviceProgram) {
    let touched = Touched::new(program);
    let sums: Vec<Sum> = (0..program.steps.len()).filter_map(|step| sum(program, device, step)).collect();
    let mut taken = HashSet::new();
    let mut out = Vec::with_capacity(device.alternatives.len());
    for alternative in std::mem::take(&mut device.alternatives) {
        if let Some(product) = alone(&alternative.call) {
            let step = alternative.step as usize;
            let call = |p| Alternative { call: Call::Product(p), ..alternative.clone() };
            let free = |s: &&Sum| !taken.contains(&s.step);
            let found = sums.iter().filter(free).find_map(|s| {
                let of = side(product, s)?;
                touched.movable(program, s, step).then_some((s, of))
            });
            if let Some((s, of)) = found {
                taken.insert(s.step);
                let sum = Some(OperandSum { of, result: s.result });
                out.push(call(Product { sum, second: Some(s.step as u32), ..product.clone() }));
            } else if let Some(p) = gradient(program, device, &touched, step, product) {
                out.push(call(p));
            }
        }
        out.push(alternative);
    }
    device.alternatives = out;
}

/// The product that a call makes, and nothing else.
fn alone(call: &Call) -> Option<&Product> {
    let Call::Product(p) = call else { return None };
    (p.bias.is_none() && p.addend.is_none() && p.activation == Activation::None).then_some(p)
}

/// What each step reads and writes.
struct Touched {
    /// The buffers whose memory it is.
    roots: Vec<[Vec<BufferId>; 2]>,
    /// The steps that read a buffer under its own name.
    readers: HashMap<BufferId, Vec<usize>>,
}

impl Touched {
    fn new(program: &Program) -> Touched {
        let mut readers: HashMap<BufferId, Vec<usize>> = HashMap::new();
        let root = |ids: Vec<BufferId>| ids.into_iter().map(|b| program.root(b)).collect::<Vec<_>>();
        let mut one = |(step, action): (usize, &Action)| {
            let (reads, writes) = action.touched(&program.kernels);
            for id in &reads {
                let steps = readers.entry(*id).or_default();
                if steps.last() != Some(&step) {
                    steps.push(step);
                }
            }
            [root(reads), root(writes)]
        };
        let steps = program.steps.iter().map(|s| &s.action).enumerate();
        Touched { roots: steps.map(&mut one).collect(), readers }
    }

    fn reads(&self, step: usize, root: BufferId) -> bool {
        self.roots[step][0].contains(&root)
    }

    fn writes(&self, step: usize, root: BufferId) -> bool {
        self.roots[step][1].contains(&root)
    }

    fn touches(&self, step: usize, root: BufferId) -> bool {
        self.reads(step, root) || self.writes(step, root)
    }

    /// Whether a sum may as well be made where another step stands.
    fn movable(&self, program: &Program, s: &Sum, to: usize) -> bool {
        let (first, last) = (s.step.min(to), s.step.max(to));
        let (matrix, result) = (program.root(s.matrix), program.root(s.result));
        let quiet = (first + 1..last).all(|step| !self.writes(step, matrix) && !self.touches(step, result));
        let apart = matrix != result && !self.touches(to, result) && !self.writes(to, matrix);
        // An intermediate's memory is another's before it is written and after it is last read.
        let own = program.buffers[s.result.0 as usize].placement == Placement::Output;
        let read_later = || (last + 1..program.steps.len()).any(|step| self.reads(step, result));
        quiet && apart && (own || (to > s.step && read_later()))
    }
}

/// The product times the derivative of gelu, if that is what a step makes of it that is the only one to read it.
fn gradient(
    program: &Program,
    device: &DeviceProgram,
    touched: &Touched,
    step: usize,
    p: &Product,
) -> Option<Product> {
    let Action::Gemm(gemm) = &program.steps[step].action else { return None };
    let c = gemm.c.buffer;
    if gemm.epilogue.is_some() || !dense(p) || program.outputs.iter().any(|o| o.buffer == c) {
        return None;
    }
    let [reader] = touched.readers.get(&c)?[..] else { return None };
    if reader <= step {
        return None;
    }
    let Action::Launch { kernel, buffers, symbols, .. } = &program.steps[reader].action else { return None };
    if !matches!(device.steps.get(reader)?, DeviceStep::Launch(_)) {
        return None;
    }
    let kernel = program.kernels.get(*kernel as usize)?;
    let at = buffers.iter().position(|b| *b == c)? as u32;
    // Lengths are compared as the kernel has them: of one that is for several sizes nothing is known.
    let found = epilogue::gradient(kernel, at, p.dtype).filter(|_| symbols.is_empty())?;
    let buffer = |n: u32| {
        let id = *buffers.get(n as usize)?;
        let b = &program.buffers[id.0 as usize];
        (b.dtype == p.dtype && b.len == program.buffers[c.0 as usize].len).then_some(id)
    };
    let (before, result) = (buffer(found.before)?, buffer(found.result)?);
    let [product_root, before_root, result_root] = [c, before, result].map(|b| program.root(b));
    // What is read for one element may be written for another before it is read.
    if before_root == result_root || before_root == product_root || touched.reads(step, result_root) {
        return None;
    }
    let own = program.buffers[result.0 as usize].placement == Placement::Output;
    let free = result_root == product_root || (own && !touched.writes(step, result_root));
    let quiet = (step + 1..reader).all(|s| {
        let changed = touched.writes(s, before_root) || touched.touches(s, result_root);
        !changed && !touched.touches(s, product_root)
    });
    (free && quiet).then(|| Product {
        c: Matrix { memory: Argument::Buffer(result), ..p.c.clone() },
        activation: Activation::GeluGradient,
        before: Some(before),
        second: Some(reader as u32),
        ..p.clone()
    })
}

/// Whether the result is all of its buffer, in order.
fn dense(p: &Product) -> bool {
    let mut len = p.m.mul(&p.n);
    let rows = p.c.offset.is_zero() && p.c.col_stride.is_one() && p.c.row_stride == p.n;
    let items = p.batch.iter().zip(&p.c.batch_strides).rev().all(|(size, stride): (&Expr, &Expr)| {
        let follows = *stride == len;
        len = len.mul(size);
        follows
    });
    rows && items
}
