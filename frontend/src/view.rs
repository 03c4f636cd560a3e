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

#[derive(Clone, Debug)]
pub struct View {
    /// `reshape`, `permute`, `expand` and `slice` operations, first applied first.
    pub steps: SmallVec<[Op; 2]>,
    pub sizes: Dims,
    /// In elements; what [`View::is_contiguous`] and the user's questions are answered from.
    pub strides: Dims,
    /// In elements.
    pub offset: i64,
}

impl View {
    /// The whole of a dense storage of these sizes.
    pub fn whole(sizes: Dims) -> View {
        let strides = contiguous_strides(&sizes);
        View { steps: SmallVec::new(), sizes, strides, offset: 0 }
    }

    /// Whether elements lie in row-major order without gaps.
    pub fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides).rev() {
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

    fn then(&self, op: Op, sizes: Dims, strides: Dims, offset: i64) -> View {
        let mut steps = self.steps.clone();
        steps.push(op);
        View { steps, sizes, strides, offset }
    }

    pub fn permute(&self, perm: &[usize]) -> View {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return self.clone();
        }
        let op = Op::Permute(perm.iter().map(|&p| p as u8).collect());
        let sizes = perm.iter().map(|&p| self.sizes[p]).collect();
        let strides = perm.iter().map(|&p| self.strides[p]).collect();
        self.then(op, sizes, strides, self.offset)
    }

    /// Axes of size 1 repeated with stride 0; `sizes` has the same rank.
    pub fn expand(&self, sizes: &[i64]) -> View {
        if self.sizes.as_slice() == sizes {
            return self.clone();
        }
        let op = Op::Expand(ttk_ir::shape::shape(sizes));
        let strides = (0..sizes.len())
            .map(|i| if self.sizes[i] == sizes[i] { self.strides[i] } else { 0 })
            .collect();
        self.then(op, sizes.into(), strides, self.offset)
    }

    /// Positions `start + i * step` for `i` in `0..len` along `axis`.
    pub fn slice(&self, axis: usize, start: i64, len: i64, step: i64) -> View {
        if start == 0 && step == 1 && len == self.sizes[axis] {
            return self.clone();
        }
        let mut dims: Vec<SliceDim> = self.sizes.iter().map(|&n| SliceDim::all(Dim::Fixed(n))).collect();
        dims[axis] = SliceDim { start: Dim::Fixed(if len == 0 { 0 } else { start }), len: Dim::Fixed(len), step };
        let (mut sizes, mut strides) = (self.sizes.clone(), self.strides.clone());
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
        let (mut run, mut base) = (1i64, self.strides[rank - 1]);
        for i in (0..rank).rev() {
            run *= self.sizes[i];
            let ends = i == 0 || (self.sizes[i - 1] != 1 && self.strides[i - 1] != run * base);
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
                    base = self.strides[i - 1];
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

    /// The tensor's value from the storage's, `steps[from..]` applied.
    pub fn apply<B: Builder>(&self, b: &mut B, base: &B::Value, from: usize) -> B::Value {
        self.steps[from..].iter().fold(base.clone(), |v, op| b.op(op.clone(), &[v]))
    }

    /// The storage's value after `new` was written to the tensor.
    ///
    /// # Errors
    /// Where one element of the storage stands for several of the tensor (`expand`).
    pub fn put<B: Builder>(&self, b: &mut B, base: &B::Value, new: B::Value) -> Result<B::Value> {
        let mut before: SmallVec<[B::Value; 4]> = SmallVec::new();
        let mut v = base.clone();
        for op in &self.steps {
            before.push(v.clone());
            v = b.op(op.clone(), &[v]);
        }
        let mut new = new;
        for (op, old) in self.steps.iter().zip(before).rev() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sizes: &[i64]) -> View {
        View::whole(sizes.into())
    }

    #[test]
    fn reshape_of_contiguous_and_transposed() {
        let v = view(&[4, 6]);
        assert_eq!(v.reshape(&[2, 2, 6]).unwrap().strides.as_slice(), [12, 6, 1]);
        let t = v.permute(&[1, 0]);
        assert!(!t.is_contiguous());
        assert!(t.reshape(&[24]).is_none());
        assert_eq!(t.reshape(&[2, 3, 4]).unwrap().strides.as_slice(), [3, 1, 6]);
        assert_eq!(t.reshape(&[6, 2, 2]).unwrap().strides.as_slice(), [1, 12, 6]);
        assert_eq!(t.reshape(&[6, 1, 4]).unwrap().sizes.as_slice(), [6, 1, 4]);
    }

    #[test]
    fn reshape_of_slices() {
        let v = view(&[4, 6]).slice(1, 1, 4, 1);
        assert!(v.reshape(&[16]).is_none());
        assert_eq!(v.reshape(&[4, 2, 2]).unwrap().strides.as_slice(), [6, 2, 1]);
        let rows = view(&[4, 6]).slice(0, 1, 2, 1);
        assert_eq!(rows.reshape(&[12]).unwrap().offset, 6);
    }
}
