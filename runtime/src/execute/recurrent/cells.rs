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
        for j in 0..n {
            i[j] = i[j].sigmoid::<FMA>();
            f[j] = f[j].sigmoid::<FMA>();
            g[j] = g[j].tanh::<FMA>();
            o[j] = o[j].sigmoid::<FMA>();
            c[j] = f[j] * before[j] + i[j] * g[j];
            h[j] = o[j] * c[j].tanh::<FMA>();
        }
    }

    #[inline(always)]
    fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
        let n = step.hidden;
        let [i, f, g, o, c, _] = parts::<T, 6>(step.state, n);
        let [_, _, _, _, before, _] = parts::<T, 6>(step.before, n);
        let [di, df, dg, d_o] = parts_mut(step.row, n);
        let (outer, carried, cell) = (&step.outer[..n], &step.carried[..n], &mut step.cell[..n]);
        let one = T::ONE;
        for j in 0..n {
            let dh = outer[j] + carried[j];
            let t = c[j].tanh::<FMA>();
            let dc = cell[j] + dh * o[j] * (one - t * t);
            d_o[j] = dh * t * o[j] * (one - o[j]);
            di[j] = dc * g[j] * i[j] * (one - i[j]);
            df[j] = dc * before[j] * f[j] * (one - f[j]);
            dg[j] = dc * i[j] * (one - g[j] * g[j]);
            cell[j] = dc * f[j];
        }
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
        for j in 0..m {
            r[j] = r[j].sigmoid::<FMA>();
            z[j] = z[j].sigmoid::<FMA>();
            n[j] = (x[j] + r[j] * q[j]).tanh::<FMA>();
            h[j] = (before[j] - n[j]) * z[j] + n[j];
        }
    }

    #[inline(always)]
    fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
        let m = step.hidden;
        let [r, z, q, n, _] = parts::<T, 5>(step.state, m);
        let [_, _, _, _, before] = parts::<T, 5>(step.before, m);
        let [dr, dz, dq, dn] = parts_mut(step.row, m);
        let (outer, carried) = (&step.outer[..m], &mut step.carried[..m]);
        let one = T::ONE;
        for j in 0..m {
            let dh = outer[j] + carried[j];
            let new = dh * (one - z[j]) * (one - n[j] * n[j]);
            dz[j] = dh * (before[j] - n[j]) * z[j] * (one - z[j]);
            dr[j] = new * q[j] * r[j] * (one - r[j]);
            dq[j] = new * r[j];
            dn[j] = new;
            carried[j] = dh * z[j];
        }
    }
}

/// Elman (1990). States: `h`. Gradients: of what `tanh` or `relu` is taken of.
macro_rules! simple {
    ($name:ident, |$x:ident| $function:expr, |$y:ident| $slope:expr) => {
        pub(super) struct $name;

        impl Cell for $name {
            const GATES: usize = 1;
            const ROW: usize = 1;
            const HIDDEN: usize = 0;
            const BACK_ROW: usize = 1;

            #[inline(always)]
            fn forward<T: Real, const FMA: bool>(step: Forth<'_, T>) {
                for h in step.row {
                    let $x = *h;
                    *h = $function;
                }
            }

            #[inline(always)]
            fn backward<T: Real, const FMA: bool>(step: Back<'_, T>) {
                let n = step.hidden;
                let (state, outer, carried, row) =
                    (&step.state[..n], &step.outer[..n], &step.carried[..n], &mut step.row[..n]);
                for j in 0..n {
                    let $y = state[j];
                    row[j] = (outer[j] + carried[j]) * $slope;
                }
            }
        }
    };
}

simple!(Tanh, |x| x.tanh::<FMA>(), |y| (T::ONE - y * y));
simple!(Relu, |x| relu(x), |y| if y > T::default() { T::ONE } else { T::default() });
