//! Views: how a tensor lies in its storage.
//!
//! A view is kept twice: as the view operations that lead from the storage's dense value to the tensor's
//! (what is recorded), and as PyTorch's sizes, strides and offset (what users ask for).

use crate::error::{Error, Result};
use smallvec::SmallVec;
use ttk_ir::op::SliceDim;
use ttk_ir::{Builder, Dim, Op};

/// Sizes or strides.
pub type Dims = SmallVec<[i64; 6]>;

/// Row-major strides of a dense tensor, in elements.
pub fn contiguous_strides(sizes: &[i64]) -> Dims {
    let mut strides: Dims = SmallVec::from_elem(1, sizes.len());
    for i in (0..sizes.len().saturating_sub(1)).rev() {
        strides[i] = strides[i + 1] * sizes[i + 1].max(1);
    }
    strides
}

pub fn numel(sizes: &[i64]) -> i64 {
    sizes.iter().product()
}

#[derive(Debug)]
pub struct View {
    /// `reshape`, `permute`, `expand` and `slice` operations, first applied first.
    pub steps: Vec<Op>,
    pub sizes: Dims,
    /// In elements; `None` is row by row without gaps, as most tensors lie.
    strides: Option<Box<Dims>>,
    /// In elements.
    pub offset: i64,
}

impl Clone for View {
    /// As derived, but quicker: numbers are copied as one piece.
    fn clone(&self) -> View {
        View {
            steps: self.steps.clone(),
            sizes: Dims::from_slice(&self.sizes),
            strides: self.strides.clone(),
            offset: self.offset,
        }
    }
}

impl View {
    /// The whole of a dense storage of these sizes.
    pub fn whole(sizes: Dims) -> View {
        View { steps: Vec::new(), sizes, strides: None, offset: 0 }
    }

    /// In elements; what [`View::is_contiguous`] and the user's questions are answered from.
    pub fn strides(&self) -> Dims {
        match &self.strides {
            Some(strides) => Dims::from_slice(strides),
            None => contiguous_strides(&self.sizes),
        }
    }

    /// Whether elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let Some(strides) = &self.strides else { return true };
        let mut expected = 1;
        for (&size, &stride) in self.sizes.iter().zip(strides.iter()).rev() {
            if size == 1 {
                continue;
            }
            if size == 0 {
                return true;
            }
            if stride != expected {
                return false;
            }
            expected *= size;
        }
        true
    }

    /// The view that an operation makes of this one.
    pub fn then(&self, op: Op, sizes: Dims, strides: Dims, offset: i64) -> View {
        let mut steps = self.steps.clone();
        steps.push(op);
        View { steps, sizes, strides: Some(Box::new(strides)), offset }
    }

    pub fn permute(&self, perm: &[usize]) -> View {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return self.clone();
        }
        let op = Op::Permute(perm.iter().map(|&p| p as u8).collect());
        let (sizes, strides) = (&self.sizes, self.strides());
        let sizes = perm.iter().map(|&p| sizes[p]).collect();
        let strides = perm.iter().map(|&p| strides[p]).collect();
        self.then(op, sizes, strides, self.offset)
    }

    /// Axes of size 1 repeated with stride 0; `sizes` has the same rank.
    pub fn expand(&self, sizes: &[i64]) -> View {
        if self.sizes.as_slice() == sizes {
            return self.clone();
        }
        let op = Op::Expand(ttk_ir::shape::shape(sizes));
        let mut strides = self.strides();
        for (i, stride) in strides.iter_mut().enumerate() {
            if self.sizes[i] != sizes[i] {
                *stride = 0;
            }
        }
        self.then(op, sizes.into(), strides, self.offset)
    }

    /// Positions `start + i * step` for `i` in `0..len` along `axis`.
    pub fn slice(&self, axis: usize, start: i64, len: i64, step: i64) -> View {
        if start == 0 && step == 1 && len == self.sizes[axis] {
            return self.clone();
        }
        let mut dims: Vec<SliceDim> = self.sizes.iter().map(|&n| SliceDim::all(Dim::Fixed(n))).collect();
        dims[axis] =
            SliceDim { start: Dim::Fixed(if len == 0 { 0 } else { start }), len: Dim::Fixed(len), step };
        let (mut sizes, mut strides) = (self.sizes.clone(), self.strides());
        let offset = self.offset + if len == 0 { 0 } else { start * strides[axis] };
        sizes[axis] = len;
        strides[axis] *= step;
        self.then(Op::Slice(dims.into()), sizes, strides, offset)
    }

    /// The strides of a view with other sizes over the same elements, if there are any.
    pub fn viewable(&self, sizes: &[i64]) -> Option<Dims> {
        if numel(&self.sizes) == 0 {
            return Some(contiguous_strides(sizes));
        }
        let mut strides: Dims = SmallVec::from_elem(0, sizes.len());
        let mut at = sizes.len();
        let rank = self.sizes.len();
        if rank == 0 {
            strides.iter_mut().for_each(|s| *s = 1);
            return Some(strides);
        }
        // Walk over maximal runs of the old axes that lie like one axis, from the innermost.
        let own = self.strides();
        let (mut run, mut base) = (1i64, own[rank - 1]);
        for i in (0..rank).rev() {
            run *= self.sizes[i];
            let ends = i == 0 || (self.sizes[i - 1] != 1 && own[i - 1] != run * base);
            if ends {
                let mut inner = 1i64;
                while at > 0 && (inner < run || sizes[at - 1] == 1) {
                    strides[at - 1] = inner * base;
                    inner *= sizes[at - 1];
                    at -= 1;
                }
                if inner != run {
                    return None;
                }
                if i > 0 {
                    run = 1;
                    base = own[i - 1];
                }
            }
        }
        (at == 0).then_some(strides)
    }

    /// The same elements under other sizes, if that is a view.
    pub fn reshape(&self, sizes: &[i64]) -> Option<View> {
        if self.sizes.as_slice() == sizes {
            return Some(self.clone());
        }
        let strides = self.viewable(sizes)?;
        let op = Op::Reshape(ttk_ir::shape::shape(sizes));
        Some(self.then(op, sizes.into(), strides, self.offset))
    }

    /// A value with some of a view's steps applied.
    pub fn apply<B: Builder>(steps: &[Op], b: &mut B, base: &B::Value) -> B::Value {
        steps.iter().fold(base.clone(), |v, op| b.op(op.clone(), &[v]))
    }

    /// The storage's value after `new` was written to the tensor that is so many steps from it.
    ///
    /// # Errors
    /// Where one element of the storage stands for several of the tensor (`expand`).
    pub fn put<B: Builder>(steps: &[Op], b: &mut B, base: &B::Value, new: B::Value) -> Result<B::Value> {
        let mut before: SmallVec<[B::Value; 4]> = SmallVec::new();
        let mut v = base.clone();
        for op in steps {
            before.push(v.clone());
            v = b.op(op.clone(), &[v]);
        }
        let mut new = new;
        for (op, old) in steps.iter().zip(before).rev() {
            new = match op {
                Op::Reshape(_) => {
                    let shape = b.shape(&old);
                    b.reshape(&new, shape)
                }
                Op::Permute(perm) => {
                    let mut inverse = vec![0usize; perm.len()];
                    for (i, &p) in perm.iter().enumerate() {
                        inverse[p as usize] = i;
                    }
                    b.permute(&new, &inverse)
                }
                Op::Slice(dims) => b.op(Op::Update(dims.clone()), &[old, new]),
                _ => {
                    return Err(Error::runtime(
                        "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation.",
                    ));
                }
            };
        }
        Ok(new)
    }
}

/// A view of a dense storage with the given sizes and strides, where strides nest.
///
/// # Errors
/// Elements outside the storage, or a negative size or stride.
pub fn strided(base: &[i64], sizes: &[i64], strides: &[i64], offset: i64) -> Result<Option<View>> {
    let total = numel(base);
    let bad = sizes.len() != strides.len() || sizes.iter().chain(strides).any(|&v| v < 0) || offset < 0;
    let reach: Option<i64> = sizes
        .iter()
        .zip(strides)
        .try_fold(offset, |r, (&n, &s)| r.checked_add((n - 1).max(0).checked_mul(s)?));
    let empty = numel(sizes) == 0;
    if bad || (!empty && reach.is_none_or(|r| r >= total)) {
        return Err(Error::runtime(format!(
            "setStorage: sizes {sizes:?}, strides {strides:?}, storage offset {offset}, requiring a storage size of {} elements are out of bounds for storage of {total} elements",
            reach.unwrap_or(i64::MAX).saturating_add(1)
        )));
    }
    if empty {
        return Ok(None);
    }
    let flat = View::whole(base.into());
    let Some(flat) = flat.reshape(&[total]) else { return Ok(None) };
    // The axes that move, outermost first.
    let mut moving: Vec<usize> = (0..sizes.len()).filter(|&i| sizes[i] > 1 && strides[i] > 0).collect();
    moving.sort_by_key(|&i| std::cmp::Reverse(strides[i]));
    let mut inner = total;
    let mut split: Vec<i64> = Vec::new();
    for &i in moving.iter().filter(|&&i| strides[i] > 1) {
        if inner % strides[i] != 0 {
            return Ok(None);
        }
        split.push(inner / strides[i]);
        inner = strides[i];
    }
    split.push(inner);
    let Some(mut view) = flat.reshape(&split) else { return Ok(None) };
    let mut rest = offset;
    for axis in 0..split.len() {
        let unit: i64 = split[axis + 1..].iter().product();
        let start = rest / unit;
        rest %= unit;
        let len = match moving.get(axis) {
            Some(&i) if strides[i] == unit => sizes[i],
            _ => 1,
        };
        if start + len > split[axis] {
            return Ok(None);
        }
        view = view.slice(axis, start, len, 1);
    }
    // Rows in the order of strides: bring them into the order asked for, with the axes that stand still.
    let mut order: Vec<usize> = moving.clone();
    order.sort();
    let place: Vec<usize> = order.iter().map(|i| moving.iter().position(|m| m == i).unwrap_or(0)).collect();
    let mut perm = place.clone();
    perm.extend((0..split.len()).filter(|a| !place.contains(a)));
    let view = view.permute(&perm);
    let still: Dims = (0..sizes.len()).map(|i| if moving.contains(&i) { sizes[i] } else { 1 }).collect();
    let mut view =
        view.then(Op::Reshape(ttk_ir::shape::shape(&still)), still.clone(), strides.into(), offset);
    if still.as_slice() != sizes {
        view = view.then(Op::Expand(ttk_ir::shape::shape(sizes)), sizes.into(), strides.into(), offset);
    }
    view.strides = Some(Box::new(strides.into()));
    view.offset = offset;
    Ok(Some(view))
}

/// The elements at the given strides of a flat value, gathered.
pub fn strided_copy<B: Builder>(
    b: &mut B,
    flat: &B::Value,
    sizes: &[i64],
    strides: &[i64],
    offset: i64,
) -> B::Value {
    use ttk_ir::{DType, Scalar};
    let shape = ttk_ir::shape::shape(sizes);
    let mut index = b.constant(Scalar::from_i64(DType::I64, offset), shape.clone());
    for (axis, &stride) in strides.iter().enumerate() {
        let i = b.iota(DType::I64, shape.clone(), axis);
        let by = b.constant(Scalar::from_i64(DType::I64, stride), shape.clone());
        let i = b.mul(&i, &by);
        index = b.add(&index, &i);
    }
    let index = b.reshape(&index, ttk_ir::shape::shape(&[numel(sizes)]));
    let taken = b.gather(flat, &index, 0);
    b.reshape(&taken, shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sizes: &[i64]) -> View {
        View::whole(sizes.into())
    }

    #[test]
    fn reshape_of_contiguous_and_transposed() {
        let v = view(&[4, 6]);
        assert_eq!(v.reshape(&[2, 2, 6]).unwrap().strides().as_slice(), [12, 6, 1]);
        let t = v.permute(&[1, 0]);
        assert!(!t.is_contiguous());
        assert!(t.reshape(&[24]).is_none());
        assert_eq!(t.reshape(&[2, 3, 4]).unwrap().strides().as_slice(), [3, 1, 6]);
        assert_eq!(t.reshape(&[6, 2, 2]).unwrap().strides().as_slice(), [1, 12, 6]);
        assert_eq!(t.reshape(&[6, 1, 4]).unwrap().sizes.as_slice(), [6, 1, 4]);
    }

    #[test]
    fn reshape_of_slices() {
        let v = view(&[4, 6]).slice(1, 1, 4, 1);
        assert!(v.reshape(&[16]).is_none());
        assert_eq!(v.reshape(&[4, 2, 2]).unwrap().strides().as_slice(), [6, 2, 1]);
        let rows = view(&[4, 6]).slice(0, 1, 2, 1);
        assert_eq!(rows.reshape(&[12]).unwrap().offset, 6);
    }

    #[test]
    fn nested_strides_are_views() {
        let v = strided(&[4, 6], &[2, 3], &[6, 1], 7).unwrap().unwrap();
        assert_eq!(
            (v.sizes.as_slice(), v.strides().as_slice(), v.offset),
            ([2, 3].as_slice(), [6, 1].as_slice(), 7)
        );
        let t = strided(&[4, 6], &[6, 4], &[1, 6], 0).unwrap().unwrap();
        assert_eq!(t.sizes.as_slice(), [6, 4]);
        assert!(strided(&[24], &[5, 5], &[3, 2], 0).unwrap().is_none());
        assert!(strided(&[24], &[5, 6], &[6, 1], 0).is_err());
    }
}
