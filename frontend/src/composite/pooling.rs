//! Pooling over windows of the spatial axes, which are the last ones.

use super::Val;
use super::reduction::pick;
use super::scan::find;
use ttk_ir::op::WindowDim;
use ttk_ir::{Builder, DType, Dim};

/// One spatial axis of a pooling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pool {
    pub size: i64,
    pub stride: i64,
    pub padding: i64,
    pub dilation: i64,
}

impl Pool {
    /// How many windows an axis of `n` has. In `ceil` mode a last one may hang over the end, if it
    /// starts inside the axis or the padding before it.
    pub fn count(&self, n: i64, ceil: bool) -> i64 {
        let reach = n + 2 * self.padding - self.dilation * (self.size - 1) - 1;
        let up = if ceil { self.stride - 1 } else { 0 };
        let count = (reach + up).div_euclid(self.stride) + 1;
        if ceil && (count - 1) * self.stride >= n + self.padding { count - 1 } else { count }
    }

    /// What must be added after an axis of `n` for `count` windows to fit exactly (it may be negative).
    fn high(&self, n: i64, count: i64) -> i64 {
        (count - 1) * self.stride + self.dilation * (self.size - 1) + 1 - n - self.padding
    }
}

/// Windows of the last `pools.len()` axes, joined to one last axis, what lies outside being `fill`.
fn windows<'r, B: Builder>(x: &Val<'r, B>, pools: &[Pool], ceil: bool, fill: f64) -> Val<'r, B> {
    let first = x.rank() - pools.len();
    let mut pads = vec![(0, 0); first];
    let mut dims = Vec::new();
    for (i, p) in pools.iter().enumerate() {
        let n = x.size(first + i);
        pads.push((p.padding, p.high(n, p.count(n, ceil))));
        dims.push(WindowDim {
            axis: (first + i) as u8,
            size: p.size,
            stride: p.stride,
            dilation: p.dilation,
        });
    }
    let win = x.pad(&pads, fill).window(&dims);
    win.flatten(x.rank(), win.rank() - 1)
}

/// `(values, positions)`: the largest of each window and where it stands in the flattened spatial axes.
/// The first of equal ones is taken, and alone receives the derivative.
pub fn max_pool<'r, B: Builder>(x: &Val<'r, B>, pools: &[Pool], ceil: bool) -> (Val<'r, B>, Val<'r, B>) {
    let lowest = match x.dtype().int_range() {
        Some((low, _)) => low as f64,
        None => f64::NEG_INFINITY,
    };
    let win = windows(x, pools, ceil, lowest);
    let last = win.rank() - 1;
    let fixed = if x.dtype().is_float() { win.detach() } else { win.clone() };
    let index = find(&fixed, &fixed.amax(&[last]), last);
    let value = pick(&win, &index, last).squeeze(&[last]);
    (value, positions(x, pools, &index.squeeze(&[last])))
}

/// Window positions turned to positions of the flattened spatial axes of `x`.
fn positions<'r, B: Builder>(x: &Val<'r, B>, pools: &[Pool], index: &Val<'r, B>) -> Val<'r, B> {
    let first = x.rank() - pools.len();
    let shape = index.shape();
    let mut inside: i64 = pools.iter().map(|p| p.size).product();
    let mut flat = index.full_like(0.0);
    for (i, p) in pools.iter().enumerate() {
        inside /= p.size;
        let within = (index / inside).remainder_of(p.size);
        let start = x.scope().iota(DType::I64, &shape, first + i) * p.stride - p.padding;
        flat = flat * x.size(first + i) + (start + within * p.dilation);
    }
    flat
}

/// The inverse of a max pooling: values at their positions in zeros of the given spatial sizes.
pub fn max_unpool<'r, B: Builder>(x: &Val<'r, B>, index: &Val<'r, B>, sizes: &[i64]) -> Val<'r, B> {
    let first = x.rank() - sizes.len();
    let last = x.rank() - 1;
    let (flat, index) = (x.flatten(first, last), index.flatten(first, last));
    let mut shape = x.shape();
    shape.truncate(first);
    shape.push(Dim::Fixed(sizes.iter().product()));
    let zeros = x.scope().full(x.dtype(), &shape, 0.0);
    zeros.scatter(first, ttk_ir::ScatterOp::Set, &index, &flat).unflatten(first, sizes)
}

/// The mean of each window.
///
/// It divides by `divisor` if given; else by the window's size, without padding if that is not counted,
/// and without what hangs over the padding.
pub fn avg_pool<'r, B: Builder>(
    x: &Val<'r, B>,
    pools: &[Pool],
    ceil: bool,
    count_padding: bool,
    divisor: Option<i64>,
) -> Val<'r, B> {
    let first = x.rank() - pools.len();
    let sizes: Vec<i64> = x.sizes()[first..].to_vec();
    x.in_compute(|x| {
        let win = windows(x, pools, ceil, 0.0);
        let last = win.rank() - 1;
        let sum = win.sum(&[last]).squeeze(&[last]);
        let area: i64 = pools.iter().map(|p| p.size).product();
        if let Some(divisor) = divisor {
            return sum / divisor as f64;
        }
        let overhangs = |(p, &n): (&Pool, &i64)| p.high(n, p.count(n, ceil)) > p.padding;
        let padded = pools.iter().any(|p| p.padding > 0);
        let partial = pools.iter().zip(&sizes).any(overhangs);
        if !partial && (count_padding || !padded) {
            return sum / area as f64;
        }
        // The number of counted elements is a product over the axes.
        let mut total: Option<Val<'r, B>> = None;
        for (i, (p, &n)) in pools.iter().zip(&sizes).enumerate() {
            let start = x.scope().arange(DType::I64, p.count(n, ceil)) * p.stride - p.padding;
            let end = (&start + p.size).min(n + p.padding);
            let (low, high) = if count_padding { (start, end) } else { (start.max(0i64), end.min(n)) };
            let counted = super::activation::along(&(high - low).cast(x.dtype()), i, pools.len());
            total = Some(total.map_or_else(|| counted.clone(), |t| t * &counted));
        }
        total.map_or_else(|| sum.clone(), |t| &sum / t)
    })
}

/// `(sum of |x|^p over each window)^(1/p)`, as PyTorch composes it.
pub fn lp_pool<'r, B: Builder>(x: &Val<'r, B>, p: f64, pools: &[Pool], ceil: bool) -> Val<'r, B> {
    let area: i64 = pools.iter().map(|w| w.size).product();
    let mean = avg_pool(&x.pow(p), pools, ceil, true, None);
    let size = super::activation::relu(&mean.abs());
    let root = (super::arithmetic::sign(&mean) * size * area as f64).masked(&mean.eq(0.0), 1.0);
    root.pow(1.0 / p).masked(&mean.eq(0.0), 0.0)
}

/// The bounds of the bins that divide `n` elements into `count`: `(starts, ends)`, vectors of `i64`.
fn bins<'r, B: Builder>(x: &Val<'r, B>, n: i64, count: i64) -> (Val<'r, B>, Val<'r, B>) {
    let i = x.scope().arange(DType::I64, count);
    (&i * n / count, ((&i + 1i64) * n + (count - 1)) / count)
}

/// Which elements of an axis lie in which bin: `bool[count, n]`.
fn members<'r, B: Builder>(x: &Val<'r, B>, n: i64, count: i64) -> Val<'r, B> {
    let (start, end) = bins(x, n, count);
    let position = x.scope().arange(DType::I64, n).unsqueeze(0);
    position.ge(start.unsqueeze(1)).and(position.lt(end.unsqueeze(1)))
}

/// The means of bins that divide each of the last axes into as many as asked.
pub fn adaptive_avg_pool<'r, B: Builder>(x: &Val<'r, B>, counts: &[i64]) -> Val<'r, B> {
    let first = x.rank() - counts.len();
    x.in_compute(|x| {
        let even = counts.iter().enumerate().all(|(i, &c)| x.size(first + i) % c == 0);
        if even {
            // Bins of one size: split each axis and take the mean of the inner parts.
            let mut y = x.clone();
            let mut inner = Vec::new();
            for (i, &c) in counts.iter().enumerate() {
                y = y.unflatten(first + 2 * i, &[c, x.size(first + i) / c]);
                inner.push(first + 2 * i + 1);
            }
            return y.mean(&inner).squeeze(&inner);
        }
        counts.iter().enumerate().fold(x.clone(), |y, (i, &c)| {
            let axis = first + i;
            let flags = members(&y, y.size(axis), c).cast(y.dtype());
            let weights = &flags / flags.sum(&[1]);
            y.dot(&weights, &[], &[(axis, 1)]).move_axis(y.rank() - 1, axis)
        })
    })
}

/// `(values, positions)` of the largest in bins that divide each of the last axes.
pub fn adaptive_max_pool<'r, B: Builder>(x: &Val<'r, B>, counts: &[i64]) -> (Val<'r, B>, Val<'r, B>) {
    let k = counts.len();
    let first = x.rank() - k;
    let sizes: Vec<i64> = x.sizes()[first..].to_vec();
    // [..., bins of each axis, elements of each axis], a bin's elements selected by a mask.
    let mut mask: Option<Val<'r, B>> = None;
    for (i, (&n, &c)) in sizes.iter().zip(counts).enumerate() {
        let mut shape = vec![1; 2 * k];
        shape[i] = c;
        shape[k + i] = n;
        let here = members(x, n, c).view(&shape);
        mask = Some(mask.map_or_else(|| here.clone(), |m| m.and(&here)));
    }
    let Some(mask) = mask else { return (x.clone(), x.clone()) };
    let lead: Vec<i64> = x.sizes()[..first].iter().copied().chain(vec![1; k]).chain(sizes).collect();
    let area: i64 = x.sizes()[first..].iter().product();
    let spread = x.view(&lead).keep_where(&mask, f64::NEG_INFINITY);
    let win = spread.flatten(first + k, first + 2 * k - 1);
    debug_assert_eq!(win.size(first + k), area);
    let last = first + k;
    let fixed = win.detach();
    let index = find(&fixed, &fixed.amax(&[last]), last);
    (pick(&win, &index, last).squeeze(&[last]), index.squeeze(&[last]))
}
