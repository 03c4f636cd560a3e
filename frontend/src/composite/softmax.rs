//! Softmax and its kin.
//!
//! The largest element is subtracted first. It is detached: the result does not depend on what is
//! subtracted, so that its derivative is zero by construction.

use super::Val;
use ttk_ir::Builder;

/// Runs `formula` along an axis; a value without axes counts as a vector of one.
fn on_axis<'r, B: Builder>(
    x: &Val<'r, B>,
    axis: usize,
    formula: impl FnOnce(&Val<'r, B>, usize) -> Val<'r, B>,
) -> Val<'r, B> {
    if x.rank() > 0 {
        return x.in_compute(|x| formula(x, axis));
    }
    x.in_compute(|x| formula(&x.view(&[1]), 0).view(&[]))
}

pub fn softmax<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    on_axis(x, axis, |x, axis| {
        let e = (x - x.amax(&[axis]).detach()).exp();
        &e / e.sum(&[axis])
    })
}

/// [`softmax`] that gives 0, not NaN, to a row of which every element is -inf.
pub fn safe_softmax<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    on_axis(x, axis, |x, axis| {
        let top = x.amax(&[axis]).detach();
        let empty = top.eq(f64::NEG_INFINITY);
        let e = (x - top.masked(&empty, 0.0)).exp();
        let sum = e.sum(&[axis]);
        &e / sum.masked(&empty, 1.0)
    })
}

pub fn log_softmax<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    on_axis(x, axis, |x, axis| {
        let centred = x - x.amax(&[axis]).detach();
        &centred - centred.exp().sum(&[axis]).log()
    })
}

pub fn softmin<'r, B: Builder>(x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    softmax(&-x, axis)
}

/// `log(sum(exp(x)))` over axes, which keep size 1.
pub fn logsumexp<'r, B: Builder>(x: &Val<'r, B>, axes: &[usize]) -> Val<'r, B> {
    x.in_compute(|x| {
        let top = x.amax(axes).detach();
        // inf - inf would be NaN; exp(inf) is the right thing then.
        let top = top.masked(&top.abs().eq(f64::INFINITY), 0.0);
        (x - &top).exp().sum(axes).log() + &top
    })
}
