//! The cells: what they compute of a row of the batch in a step, and what of the gradients.
//!
//! A row of states begins with the gates, which the product of the weight with the hidden state is added to.

use super::math::{Real, relu};

/// A row and a step forward. The product has been added to the gates in `row`.
pub(super) struct Forth<'a, T> {
    pub(super) hidden: usize,
    pub(super) row: &'a mut [T],
    /// The row of states before the step.
    pub(super) before: &'a [T],
    /// The input's share of the gates.
    pub(super) gates: &'a [T],
}

/// A row and a step back.
pub(super) struct Back<'a, T> {
    pub(super) hidden: usize,
    /// The row of states that the step made, and the one that it had.
    pub(super) state: &'a [T],
    pub(super) before: &'a [T],
    /// The gradient of the hidden state from outside.
    pub(super) outer: &'a [T],
    /// The row of gradients to fill in.
    pub(super) row: &'a mut [T],
    /// The gradient of the hidden state from the step after it; replaced by what goes to the step before, without the
    /// product.
    pub(super) carried: &'a mut [T],
    /// As `carried`, of the cell state.
    pub(super) cell: &'a mut [T],
}

pub(super) trait Cell: 'static {
    const GATES: usize;
    /// Parts of a row of states, each as wide as the hidden state.
    const ROW: usize;
    /// The parts that are the hidden state and the cell state; how many of these there are.
    const HIDDEN: usize;
    const CELL: usize = 0;
    const STATES: usize = 1;
    /// Parts of a row of gradients; the first are those of the gates as the hidden state's product sees them.
    const BACK_ROW: usize;
    /// Whether a gradient goes to the hidden state before the step beside the product.
    const CARRIES: bool = false;

    /// The gates before the product is added.
    fn start<T: Real>(row: &mut [T], gates: &[T], bias: &[T], _hidden: usize) {
        for ((to, &x), &b) in row.iter_mut().zip(gates).zip(bias) {
            *to = x + b;
        }
    }

    fn forward<T: Real, const FMA: bool>(step: Forth<'_, T>);

    fn backward<T: Real, const FMA: bool>(step: Back<'_, T>);
}

/// What rows of states and of gradients hold, for who reads the kernels' results: numbers of parts as wide as the hidden state,
/// and which of them the hidden and the cell state are.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub row: usize,
    pub hidden: usize,
    pub cell: usize,
    pub back_row: usize,
}

impl Layout {
    const fn of<C: Cell>() -> Layout {
        Layout { row: C::ROW, hidden: C::HIDDEN, cell: C::CELL, back_row: C::BACK_ROW }
    }
}

pub const LSTM: Layout = Layout::of::<Lstm>();
pub const GRU: Layout = Layout::of::<Gru>();
pub const TANH: Layout = Layout::of::<Tanh>();
pub const RELU: Layout = Layout::of::<Relu>();

/// Replaces each number by a function of it and of those in its place elsewhere, `each!(to, |old, others ..| value)`. A cell is
/// a sequence of these, none of many operands: compilers make vectors of such loops.
macro_rules! each {
    ($to:ident, |$old:ident| $value:expr) => {
        for to in $to.iter_mut() {
            let $old = *to;
            *to = $value;
        }
    };
    ($to:ident, |$old:pat_param, $($from:ident),+| $value:expr) => {{
        let count = $to.len();
        $(let $from = &$from[..count];)+
        for (at, to) in $to.iter_mut().enumerate() {
            let $old = *to;
            $(let $from = $from[at];)+
            *to = $value;
        }
    }};
}

/// The parts of a row.
#[inline(always)]
fn parts<T, const N: usize>(row: &[T], hidden: usize) -> [&[T]; N] {
    std::array::from_fn(|i| &row[i * hidden..][..hidden])
}

/// As [`parts`].
#[inline(always)]
fn parts_mut<T, const N: usize>(mut row: &mut [T], hidden: usize) -> [&mut [T]; N] {
    std::array::from_fn(|_| {
        let (part, rest) = std::mem::take(&mut row).split_at_mut(hidden);
        row = rest;
        part
    })
}

/// Hochreiter and Schmidhuber (1997), with the forget gate of Gers et al. (2000). States: the gates `i f g o` after their
/// functions, `c`, `h`. Gradients: of the gates before their functions.
pub(super) struct Lstm;

impl Cell for Lstm {
    const GATES: usize = 4;
    const ROW: usize = 6;
    const HIDDEN: usize = 5;
    const CELL: usize = 4;
    const STATES: usize = 2;
    const BACK_ROW: usize = 4;

    #[inline(always)]
    fn forward<T: Real, const FMA: bool>(step: Forth<'_, T>) {
        let n = step.hidden;
        let [i, f, g, o, c, h] = parts_mut(step.row, n);
        let [_, _, _, _, before, _] = parts::<T, 6>(step.before, n);
        each!(i, |x| x.sigmoid::<FMA>());
        each!(f, |x| x.sigmoid::<FMA>());
        each!(g, |x| x.tanh::<FMA>());
        each!(o, |x| x.sigmoid::<FMA>());
        each!(c, |_, f, before| f * before);
        each!(c, |c, i, g| c + i * g);
        each!(h, |_, c, o| o * c.tanh::<FMA>());
    }

    #[inline(always)]
    fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
        let n = step.hidden;
        let [i, f, g, o, c, _] = parts::<T, 6>(step.state, n);
        let [_, _, _, _, before, _] = parts::<T, 6>(step.before, n);
        let [di, df, dg, d_o] = parts_mut(step.row, n);
        let (outer, dh, dc, one) = (step.outer, step.carried, step.cell, T::ONE);
        each!(dh, |carried, outer| outer + carried);
        // The tangent of `c` waits where the gradient of `o` goes.
        each!(d_o, |_, c| c.tanh::<FMA>());
        each!(dc, |dc, dh, o, d_o| dc + dh * o * (one - d_o * d_o));
        each!(d_o, |t, dh, o| dh * t * o * (one - o));
        each!(di, |_, dc, g, i| dc * g * i * (one - i));
        each!(df, |_, dc, before, f| dc * before * f * (one - f));
        each!(dg, |_, dc, i, g| dc * i * (one - g * g));
        each!(dc, |dc, f| dc * f);
    }
}

/// Cho et al. (2014), in the form of cuDNN and PyTorch. States: the gates `r z` after their functions, `q`, the hidden
/// state's share of the new state, the new state `n`, `h`. Gradients: of `r z` before their functions, of `q`, of `n` before
/// its function.
pub(super) struct Gru;

impl Cell for Gru {
    const GATES: usize = 3;
    const ROW: usize = 5;
    const HIDDEN: usize = 4;
    const BACK_ROW: usize = 4;
    const CARRIES: bool = true;

    fn start<T: Real>(row: &mut [T], gates: &[T], bias: &[T], hidden: usize) {
        let both = 2 * hidden;
        for ((to, &x), &b) in row[..both].iter_mut().zip(gates).zip(bias) {
            *to = x + b;
        }
        row[both..].copy_from_slice(&bias[both..]);
    }

    #[inline(always)]
    fn forward<T: Real, const FMA: bool>(step: Forth<'_, T>) {
        let m = step.hidden;
        let [r, z, q, n, h] = parts_mut(step.row, m);
        let [_, _, _, _, before] = parts::<T, 5>(step.before, m);
        let [_, _, x] = parts::<T, 3>(step.gates, m);
        each!(r, |x| x.sigmoid::<FMA>());
        each!(z, |x| x.sigmoid::<FMA>());
        each!(n, |_, x, r, q| (x + r * q).tanh::<FMA>());
        each!(h, |_, before, n, z| (before - n) * z + n);
    }

    #[inline(always)]
    fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
        let m = step.hidden;
        let [r, z, q, n, _] = parts::<T, 5>(step.state, m);
        let [_, _, _, _, before] = parts::<T, 5>(step.before, m);
        let [dr, dz, dq, dn] = parts_mut(step.row, m);
        let (outer, dh, one) = (step.outer, step.carried, T::ONE);
        each!(dh, |carried, outer| outer + carried);
        each!(dn, |_, dh, z, n| dh * (one - z) * (one - n * n));
        each!(dz, |_, dh, before, n| dh * (before - n));
        each!(dz, |dz, z| dz * z * (one - z));
        each!(dr, |_, dn, q, r| dn * q * r * (one - r));
        each!(dq, |_, dn, r| dn * r);
        each!(dh, |dh, z| dh * z);
    }
}

/// Elman (1990). States: `h`. Gradients: of what `tanh` or `relu` is taken of.
macro_rules! simple {
    ($name:ident, |$x:ident| $function:expr, |$sum:ident, $y:ident| $gradient:expr) => {
        pub(super) struct $name;

        impl Cell for $name {
            const GATES: usize = 1;
            const ROW: usize = 1;
            const HIDDEN: usize = 0;
            const BACK_ROW: usize = 1;

            #[inline(always)]
            fn forward<T: Real, const FMA: bool>(step: Forth<'_, T>) {
                let row = step.row;
                each!(row, |$x| $function);
            }

            #[inline(always)]
            fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
                let (outer, carried, row) = (step.outer, step.carried, step.row);
                each!(row, |_, outer, carried| outer + carried);
                let $y = step.state;
                each!(row, |$sum, $y| $gradient);
            }
        }
    };
}

simple!(Tanh, |x| x.tanh::<FMA>(), |sum, y| sum * (T::ONE - y * y));
simple!(Relu, |x| relu(x), |sum, y| if y <= T::default() { T::default() } else { sum });
