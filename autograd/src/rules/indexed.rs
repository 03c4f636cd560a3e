//! `gather` and `scatter`: adjoints of each other.

use super::Cotangents;
use smallvec::smallvec;
use ttk_ir::{Builder, Cmp, Op, ScatterOp};

fn scatter_op<B: Builder>(
    b: &mut B,
    axis: u8,
    mode: ScatterOp,
    x: &B::Value,
    index: &B::Value,
    updates: &B::Value,
) -> B::Value {
    b.op(Op::Scatter { axis, mode }, &[x.clone(), index.clone(), updates.clone()])
}

/// Where each row of the data gives one element, the cotangent is that element's alone: a mask, which
/// unlike a scatter joins the kernels around it. (The forward pass has refused positions out of range.)
pub(crate) fn gather<B: Builder>(b: &mut B, axis: u8, inputs: &[B::Value], g: &B::Value) -> B::Value {
    let (at, index) = (axis as usize, &inputs[1]);
    if b.ty(index).shape[at].is_one() {
        let shape = b.shape(&inputs[0]);
        let dtype = b.dtype(index);
        let position = b.iota(dtype, shape.clone(), at);
        let picked = b.expand(index, shape.clone());
        let here = b.cmp(Cmp::Eq, &position, &picked);
        let spread = b.expand(g, shape);
        let zero = b.full_like(&inputs[0], 0.0);
        return b.select(&here, &spread, &zero);
    }
    let zeros = b.full_like(&inputs[0], 0.0);
    scatter_op(b, axis, ScatterOp::Add, &zeros, &inputs[1], g)
}

/// `Set` with one position written twice gives each writer the cotangent, as PyTorch does; ties of
/// `Max` and `Min` share it equally, the operand's own element included.
pub(crate) fn scatter<B: Builder>(
    b: &mut B,
    axis: u8,
    mode: ScatterOp,
    inputs: &[B::Value],
    out: &B::Value,
    g: &B::Value,
    needs: &[bool],
) -> Cotangents<B::Value> {
    let (x, index, updates) = (&inputs[0], &inputs[1], &inputs[2]);
    let at = axis as usize;
    match mode {
        ScatterOp::Set => {
            let operand = needs[0].then(|| {
                let zeros = b.full_like(updates, 0.0);
                scatter_op(b, axis, ScatterOp::Set, g, index, &zeros)
            });
            smallvec![operand, None, needs[2].then(|| b.gather(g, index, at))]
        }
        ScatterOp::Add => {
            smallvec![Some(g.clone()), None, needs[2].then(|| b.gather(g, index, at))]
        }
        ScatterOp::Mul => {
            let operand = needs[0].then(|| {
                let ones = b.full_like(x, 1.0);
                let factor = scatter_op(b, axis, ScatterOp::Mul, &ones, index, updates);
                b.mul(g, &factor)
            });
            let update = needs[2].then(|| product_update(b, axis, inputs, out, g));
            smallvec![operand, None, update]
        }
        ScatterOp::Max | ScatterOp::Min => {
            let result = b.gather(out, index, at);
            let (own_wins, wins) = (b.cmp(Cmp::Eq, x, out), b.cmp(Cmp::Eq, updates, &result));
            let dtype = b.dtype(x);
            let own = b.cast(&own_wins, dtype);
            let each = b.cast(&wins, dtype);
            let count = scatter_op(b, axis, ScatterOp::Add, &own, index, &each);
            let share = b.div(g, &count);
            let operand = needs[0].then(|| {
                let zero = b.full_like(x, 0.0);
                b.select(&own_wins, &share, &zero)
            });
            let update = needs[2].then(|| {
                let zero = b.full_like(updates, 0.0);
                let shares = b.gather(&share, index, at);
                b.select(&wins, &shares, &zero)
            });
            smallvec![operand, None, update]
        }
    }
}

/// The product of everything else that went to the place of each update.
///
/// That is result / update, except where the update is 0. Of a place with one 0, the product without
/// it; of a place with several, 0.
fn product_update<B: Builder>(
    b: &mut B,
    axis: u8,
    inputs: &[B::Value],
    out: &B::Value,
    g: &B::Value,
) -> B::Value {
    let (x, index, updates) = (&inputs[0], &inputs[1], &inputs[2]);
    let at = axis as usize;
    let (zero, one) = (b.full_like(updates, 0.0), b.full_like(updates, 1.0));
    let is_zero = b.cmp(Cmp::Eq, updates, &zero);
    let nonzero = b.select(&is_zero, &one, updates);

    let dtype = b.dtype(x);
    let flags = b.cast(&is_zero, dtype);
    let none = b.full_like(x, 0.0);
    let counts = scatter_op(b, axis, ScatterOp::Add, &none, index, &flags);
    let count = b.gather(&counts, index, at);
    let alone = b.cmp(Cmp::Eq, &count, &one);

    let others = scatter_op(b, axis, ScatterOp::Mul, x, index, &nonzero);
    let (others, whole) = (b.mul(g, &others), b.mul(g, out));
    let (others, whole) = (b.gather(&others, index, at), b.gather(&whole, index, at));
    let of_zero = b.select(&alone, &others, &zero);
    let of_nonzero = b.div(&whole, &nonzero);
    b.select(&is_zero, &of_zero, &of_nonzero)
}
