//! Covariance, histograms and differences of samples.

use super::Val;
use super::reduction::vector_norm;
use ttk_ir::{Builder, DType, Dim, ScatterOp};

/// Weights of the observations (columns) of [`cov`].
#[derive(Debug)]
pub struct Weights<'r, B: Builder> {
    /// How often each observation was made; integers.
    pub frequency: Option<Val<'r, B>>,
    /// How much each observation counts.
    pub analytic: Option<Val<'r, B>>,
}

impl<B: Builder> Default for Weights<'_, B> {
    fn default() -> Self {
        Weights { frequency: None, analytic: None }
    }
}

/// The covariance matrix of variables (rows); of one variable, a value without axes.
pub fn cov<'r, B: Builder>(x: &Val<'r, B>, correction: f64, weights: &Weights<'r, B>) -> Val<'r, B> {
    let rows = if x.rank() < 2 { x.view(&[1, x.numel()]) } else { x.clone() };
    let n = rows.size(1) as f64;
    let frequency = weights.frequency.as_ref().map(|f| f.cast(rows.dtype()));
    let weight = match (&frequency, &weights.analytic) {
        (Some(f), Some(a)) => Some(f * a),
        (Some(f), None) => Some(f.clone()),
        (None, a) => a.clone(),
    };
    let (mean, norm) = match &weight {
        None => (rows.mean(&[1]), rows.scope().full(rows.dtype(), &[], n - correction)),
        Some(w) => {
            let total = w.sum_all();
            let mean = (&rows * w).sum(&[1]) / &total;
            let norm = match &weights.analytic {
                Some(a) if correction != 0.0 => &total - (w * a).sum_all() / &total * correction,
                Some(_) => total.clone(),
                None => &total - correction,
            };
            (mean, norm)
        }
    };
    let norm = norm.masked(&norm.lt(0.0), 0.0);
    let centred = &rows - mean;
    let weighted = weight.map_or_else(|| centred.clone(), |w| &centred * w);
    let matrix = centred.dot(&weighted, &[], &[(1, 1)]) / norm;
    if rows.size(0) == 1 { matrix.view(&[]) } else { matrix }
}

/// [`cov`] divided by the standard deviations, limited to `-1..=1`.
pub fn corrcoef<'r, B: Builder>(x: &Val<'r, B>) -> Val<'r, B> {
    let c = cov(x, 1.0, &Weights::default());
    if c.rank() == 0 {
        return c.binary(ttk_ir::Binary::Div, &c);
    }
    let deviation = super::layout::diagonal(&c, 0, 0, 1).sqrt();
    let scaled = c / deviation.unsqueeze(1) / deviation.unsqueeze(0);
    super::arithmetic::clamp(&scaled, Some(-1.0), Some(1.0))
}

/// How many elements fall into each of `bins` equal intervals of `low..=high`; others are left out.
pub fn histc<'r, B: Builder>(x: &Val<'r, B>, bins: i64, low: f64, high: f64) -> Val<'r, B> {
    let flat = x.detach().view(&[x.numel()]);
    let inside = flat.ge(low).and(flat.le(high));
    let place = (&flat - low) * bins as f64 / (high - low);
    let place = place.keep_where(&inside, 0.0).cast(DType::I64).min(bins - 1);
    let count = inside.cast(x.dtype());
    x.scope().full(x.dtype(), &[Dim::Fixed(bins)], 0.0).scatter(0, ScatterOp::Add, &place, &count)
}

/// How often each number of `0..bins` stands in `x`, or the sum of its weights.
pub fn bincount<'r, B: Builder>(x: &Val<'r, B>, weights: Option<&Val<'r, B>>, bins: i64) -> Val<'r, B> {
    let index = x.cast(DType::I64);
    let one = index.full_like(1.0);
    let weights = weights.unwrap_or(&one);
    x.scope().full(weights.dtype(), &[Dim::Fixed(bins)], 0.0).scatter(0, ScatterOp::Add, &index, weights)
}

/// Whether each element is one of `set`.
pub fn isin<'r, B: Builder>(x: &Val<'r, B>, set: &Val<'r, B>, invert: bool) -> Val<'r, B> {
    let last = x.rank();
    let equal = x.unsqueeze(last).eq(set.view(&[set.numel()]));
    let found = super::reduction::any(&equal, &[last]).squeeze(&[last]);
    if invert { found.complement() } else { found }
}

/// The norm of the difference.
pub fn dist<'r, B: Builder>(x: &Val<'r, B>, y: &Val<'r, B>, p: f64) -> Val<'r, B> {
    let gap = x - y;
    let axes = gap.all_axes();
    vector_norm(&gap, p, &axes).view(&[])
}

/// Each position of an axis scaled down to a norm of `most`, if it is larger.
pub fn renorm<'r, B: Builder>(x: &Val<'r, B>, p: f64, axis: usize, most: f64) -> Val<'r, B> {
    let axes: Vec<usize> = (0..x.rank()).filter(|&a| a != axis).collect();
    let norm = vector_norm(x, p, &axes);
    let large = norm.gt(most);
    let factor = most / (norm.masked(&large.complement(), 1.0) + 1e-7);
    x * factor.keep_where(&large, 1.0)
}

/// The running integral along an axis by trapezia `dx` wide.
pub fn cumulative_trapezoid<'r, B: Builder>(y: &Val<'r, B>, dx: f64, axis: usize) -> Val<'r, B> {
    let n = y.size(axis) - 1;
    super::scan::cumsum(&(y.narrow(axis, 0, n) + y.narrow(axis, 1, n)), axis) * (dx / 2.0)
}

/// [`cumulative_trapezoid`] at positions `x`, a vector or of the rank of `y`.
pub fn cumulative_trapezoid_at<'r, B: Builder>(y: &Val<'r, B>, x: &Val<'r, B>, axis: usize) -> Val<'r, B> {
    let n = y.size(axis) - 1;
    let steps = if x.rank() == y.rank() {
        super::scan::diff(x, axis)
    } else {
        super::activation::along(&super::scan::diff(x, 0), axis, y.rank())
    };
    super::scan::cumsum(&((y.narrow(axis, 0, n) + y.narrow(axis, 1, n)) * steps), axis) / 2.0
}

/// The derivative of samples along an axis at positions `at` (a vector): central differences inside, and
/// of order 1 or 2 at the edges.
pub fn gradient<'r, B: Builder>(x: &Val<'r, B>, at: &Val<'r, B>, axis: usize, edge_order: i64) -> Val<'r, B> {
    let n = x.size(axis);
    let steps = super::activation::along(&super::scan::diff(at, 0), axis, x.rank());
    let (left, right) = (steps.narrow(axis, 0, n - 2), steps.narrow(axis, 1, n - 2));
    let part = |start: i64| x.narrow(axis, start, n - 2);
    let inner = -(&right / (&left * (&left + &right))) * part(0)
        + (&right - &left) / (&left * &right) * part(1)
        + &left / (&right * (&left + &right)) * part(2);
    let edge = |first: i64, step: i64, gap: i64| {
        let one = |k: i64| x.narrow(axis, first + k * step, 1);
        let h = steps.narrow(axis, gap, 1);
        if edge_order == 1 || n < 3 {
            return (one(1) - one(0)) / &h * step as f64;
        }
        let k = steps.narrow(axis, gap + step, 1);
        let sum = &h + &k;
        let slope =
            -((&h * 2.0 + &k) / (&h * &sum)) * one(0) + &sum / (&h * &k) * one(1) - &h / (&k * &sum) * one(2);
        slope * step as f64
    };
    super::concat(&[edge(0, 1, 0), inner, edge(n - 1, -1, n - 2)], axis)
}
