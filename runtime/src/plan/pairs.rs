//! Products of bf16 as products of pairs of terms, where the machine has those; see [`crate::execute::product::pairs`].

use super::gemm::{GemmWork, PREPACKED_BYTES, Side, Source};
use crate::execute::product::pairs;
use ttk_ir::DType;

/// An operand whose pairs are brought together beforehand: of each pair of terms all lanes, dense.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The operand as it is, by numbers.
    pub(crate) of: Side,
    /// The axes of the batch that it has, and how many items they make.
    pub(crate) batch: Vec<usize>,
    pub(crate) batch_strides: Vec<i64>,
    pub(crate) items: usize,
    pub(crate) lanes: usize,
    pub(crate) on_rows: bool,
    /// Terms.
    pub(crate) k: usize,
    /// Where in the shared scratch they are.
    pub(crate) at: usize,
}

impl Joined {
    pub(crate) fn pairs(&self) -> usize {
        self.k.div_ceil(2)
    }

    /// Bytes of an item.
    pub(crate) fn bytes(&self) -> usize {
        self.pairs() * self.lanes * pairs::BYTES
    }

    /// Strides of lanes and of terms.
    pub(crate) fn strides(&self) -> [isize; 2] {
        let [lane, step] = if self.on_rows { [self.of.rs, self.of.cs] } else { [self.of.cs, self.of.rs] };
        [lane as isize, step as isize]
    }
}

/// Makes a product of bf16 one of pairs, if the machine has those.
pub(super) fn bind(w: &mut GemmWork, shared: &mut usize) {
    if w.dtype != DType::BF16 || !pairs::has_tiles() || !w.reduce.is_empty() || w.k < 2 {
        return;
    }
    let packed = |side: &Side| matches!(side.source, Source::Packed { .. });
    let direct = [is_direct(&w.a, w.m, w.k, true), is_direct(&w.b, w.n, w.k, false)];
    if packed(&w.a) || packed(&w.b) {
        return;
    }
    let bytes: usize = [(w.m, direct[0]), (w.n, direct[1])]
        .map(|(lanes, direct)| if direct { 0 } else { w.items * lanes * w.k.next_multiple_of(2) * 2 })
        .iter()
        .sum();
    if bytes > PREPACKED_BYTES {
        return;
    }
    let (batch, k) = (w.batch.clone(), w.k);
    for (side, lanes, direct, on_rows) in
        [(&mut w.a, w.m, direct[0], true), (&mut w.b, w.n, direct[1], false)]
    {
        if direct {
            halve(side, on_rows);
        } else {
            join(side, &batch, lanes, k, on_rows, shared);
        }
    }
    w.k = k.div_ceil(2);
    w.piece = w.k;
    w.pairs = true;
}

/// Whether pairs lie together in memory, each at a whole number of pairs from the first.
fn is_direct(side: &Side, lanes: usize, k: usize, on_rows: bool) -> bool {
    let (lane, step) = if on_rows { (side.rs, side.cs) } else { (side.cs, side.rs) };
    let even = |n: i64| n % 2 == 0;
    let Source::Buffer { offset, .. } = side.source else { return false };
    step == 1
        && k.is_multiple_of(2)
        && (lanes == 1 || even(lane))
        && even(offset)
        && side.batch_strides.iter().all(|&s| even(s))
}

/// Counts pairs instead of numbers.
fn halve(side: &mut Side, on_rows: bool) {
    if let Source::Buffer { offset, .. } = &mut side.source {
        *offset /= 2;
    }
    side.batch_strides.iter_mut().for_each(|s| *s /= 2);
    *(if on_rows { &mut side.rs } else { &mut side.cs }) /= 2;
}

/// Makes an operand one that is brought together beforehand.
fn join(side: &mut Side, batch: &[usize], lanes: usize, k: usize, on_rows: bool, shared: &mut usize) {
    let pairs = k.div_ceil(2);
    let mut own: Vec<(usize, i64)> = Vec::new();
    let mut strides = vec![0; batch.len()];
    let mut items = 1;
    for (i, &size) in batch.iter().enumerate().rev() {
        if side.batch_strides[i] != 0 {
            strides[i] = (items * pairs * lanes) as i64;
            own.push((size, side.batch_strides[i]));
            items *= size;
        }
    }
    let (rs, cs) = if on_rows { (1, lanes as i64) } else { (lanes as i64, 1) };
    let source = Source::Buffer { buffer: ttk_ir::program::BufferId(0), offset: 0 };
    let new = Side { source, batch_strides: strides, reduce_strides: Vec::new(), rs, cs };
    let of = std::mem::replace(side, new);
    let (batch, batch_strides) = own.into_iter().rev().unzip();
    let joined = Joined { of, batch, batch_strides, items, lanes, on_rows, k, at: *shared };
    *shared += (items * joined.bytes()).next_multiple_of(super::gemm::ALIGN);
    side.source = Source::Joined(Box::new(joined));
}
