//! Positions that sort rows; stable, NaN as the greatest.
//!
//! An element becomes an unsigned key that orders as it should. With its position behind it no two keys
//! are equal, so that an unstable sort in place is stable, and the result is one whatever the cut.

use super::Context;
use crate::plan::Sort;
use crate::threads::Sharing;
use ttk_ir::DType;

/// Rows of at most this many elements are sorted by one thread each.
const LONG: usize = 1 << 16;

/// Where at most this share of a row is asked for, the rest is not sorted.
const FEW: usize = 8;

/// Elements of a task over short rows.
const TASK: usize = 1 << 14;

/// Bytes of scratch for each thread and for all together.
pub(crate) fn scratch(s: &Sort) -> (usize, usize) {
    let key = if wide(s) { size_of::<(u64, u64)>() } else { size_of::<u64>() };
    if s.len > LONG { (0, 2 * s.len * key) } else { (s.len * key, 0) }
}

/// Whether key and position need more than 64 bits.
fn wide(s: &Sort) -> bool {
    s.dtype.size() > 4 || s.len > u32::MAX as usize
}

/// # Safety
/// `from` and `to` must point to the sort's elements, apart from each other, and the run's scratch must
/// have what [`scratch`] says.
pub(super) unsafe fn run(cx: &Context<'_>, s: &Sort, from: *const u8, to: *mut i64) {
    let rows = Rows { s, from: from as usize, to: to as usize };
    // SAFETY: passed on from the caller.
    unsafe {
        if wide(s) {
            rows.sort(cx, |key, i| (key, i as u64), |&(_, i)| i as i64);
        } else {
            // 32 bits of key above 32 bits of position.
            rows.sort(cx, |key, i| key << 32 | i as u64, |&pair| (pair & 0xffff_ffff) as i64);
        }
    }
}

struct Rows<'a> {
    s: &'a Sort,
    /// Addresses, so that threads can share them.
    from: usize,
    to: usize,
}

impl Rows<'_> {
    /// # Safety
    /// As of [`run`]; `P` must be the size that [`scratch`] counts with.
    unsafe fn sort<P: Ord + Copy + Send + Sync>(
        &self,
        cx: &Context<'_>,
        pair: impl Fn(u64, usize) -> P + Sync,
        position: impl Fn(&P) -> i64 + Sync,
    ) {
        let Sort { outer, len, inner, .. } = *self.s;
        if len > LONG {
            for row in 0..outer * inner {
                // SAFETY: two halves of the shared scratch; one row at a time uses it.
                let (a, b) = unsafe {
                    let start = cx.shared.cast::<P>();
                    (
                        std::slice::from_raw_parts_mut(start, len),
                        std::slice::from_raw_parts_mut(start.add(len), len),
                    )
                };
                self.long_row(cx, row, a, b, &pair, &position);
            }
            return;
        }
        let rows = outer * inner;
        let group = (TASK / len.max(1)).max(1);
        let one = |slot: usize, task: usize| {
            for row in task * group..((task + 1) * group).min(rows) {
                // SAFETY: each thread has scratch for one short row.
                let pairs = unsafe { std::slice::from_raw_parts_mut(cx.scratch(slot).cast::<P>(), len) };
                self.read(row, 0, pairs, &pair);
                self.write(row, 0, self.sorted(pairs), &position);
            }
        };
        cx.each(Sharing::All, rows.div_ceil(group), &one);
    }

    /// The first of a row's pairs, as many as are asked for, in order.
    fn sorted<'p, P: Ord>(&self, pairs: &'p mut [P]) -> &'p [P] {
        let first = first_of(pairs, self.s.wanted);
        first.sort_unstable();
        first
    }

    /// Takes the first of each chunk of fixed size on all threads, then the first of those.
    fn first_of_long_row<P: Ord + Copy + Send + Sync>(
        &self,
        cx: &Context<'_>,
        row: usize,
        a: &mut [P],
        b: &mut [P],
        pair: &(impl Fn(u64, usize) -> P + Sync),
        position: &(impl Fn(&P) -> i64 + Sync),
    ) {
        each_chunk(cx, a, LONG, |i, chunk| {
            self.read(row, i * LONG, chunk, pair);
            first_of(chunk, self.s.wanted);
        });
        let mut n = 0;
        for chunk in a.chunks(LONG) {
            let first = &chunk[..kept(chunk.len(), self.s.wanted)];
            b[n..n + first.len()].copy_from_slice(first);
            n += first.len();
        }
        self.write(row, 0, self.sorted(&mut b[..n]), position);
    }

    /// Sorts chunks of fixed size on all threads, then merges neighbours until one is left.
    fn long_row<'p, P: Ord + Copy + Send + Sync>(
        &self,
        cx: &Context<'_>,
        row: usize,
        mut a: &'p mut [P],
        mut b: &'p mut [P],
        pair: &(impl Fn(u64, usize) -> P + Sync),
        position: &(impl Fn(&P) -> i64 + Sync),
    ) {
        if self.s.wanted <= LONG / FEW {
            return self.first_of_long_row(cx, row, a, b, pair, position);
        }
        let len = a.len();
        each_chunk(cx, a, LONG, |i, chunk| {
            self.read(row, i * LONG, chunk, pair);
            chunk.sort_unstable();
        });
        let mut run = LONG;
        while run < len {
            let from = &*a;
            each_chunk(cx, b, 2 * run, |i, out| {
                let both = &from[i * 2 * run..i * 2 * run + out.len()];
                let (left, right) = both.split_at(run.min(both.len()));
                merge(left, right, out);
            });
            std::mem::swap(&mut a, &mut b);
            run *= 2;
        }
        each_chunk(cx, a, LONG, |i, chunk| self.write(row, i * LONG, chunk, position));
    }

    /// The pairs of a row from element `first` on.
    fn read<P>(&self, row: usize, first: usize, pairs: &mut [P], pair: &impl Fn(u64, usize) -> P) {
        let Sort { dtype, descending, .. } = *self.s;
        let (start, stride) = self.row(row);
        for (i, p) in pairs.iter_mut().enumerate() {
            let at = start + (first + i) * stride;
            // SAFETY: an element of the input.
            let key = unsafe { key(dtype, self.from as *const u8, at) };
            let low = if dtype.size() > 4 { u64::MAX } else { u64::from(u32::MAX) };
            *p = pair(if descending { low - key } else { key }, first + i);
        }
    }

    fn write<P>(&self, row: usize, first: usize, pairs: &[P], position: &impl Fn(&P) -> i64) {
        let (start, stride) = self.row(row);
        for (i, p) in pairs.iter().enumerate() {
            // SAFETY: an element of the output, which this task alone writes.
            unsafe { *(self.to as *mut i64).add(start + (first + i) * stride) = position(p) };
        }
    }

    /// Where a row starts, and the distance of its elements.
    fn row(&self, row: usize) -> (usize, usize) {
        let Sort { len, inner, .. } = *self.s;
        (row / inner * len * inner + row % inner, inner)
    }
}

/// Runs `f` on disjoint chunks of a slice on the team of threads.
fn each_chunk<P: Send>(cx: &Context<'_>, slice: &mut [P], size: usize, f: impl Fn(usize, &mut [P]) + Sync) {
    let (start, len) = (slice.as_mut_ptr() as usize, slice.len());
    cx.each(Sharing::All, len.div_ceil(size), &|_, i| {
        let n = size.min(len - i * size);
        // SAFETY: chunks are disjoint parts of the slice, which is borrowed mutably until all are done.
        let chunk = unsafe { std::slice::from_raw_parts_mut((start as *mut P).add(i * size), n) };
        f(i, chunk);
    });
}

/// How many pairs of so many are looked at further: the first `wanted`, or all where that is no small part.
fn kept(len: usize, wanted: usize) -> usize {
    if wanted > len / FEW { len } else { wanted }
}

/// Brings the pairs that are [`kept`] to the front, in any order, and gives them.
fn first_of<P: Ord>(pairs: &mut [P], wanted: usize) -> &mut [P] {
    let n = kept(pairs.len(), wanted);
    if n < pairs.len() {
        pairs.select_nth_unstable(n - 1);
    }
    &mut pairs[..n]
}

fn merge<P: Ord + Copy>(left: &[P], right: &[P], out: &mut [P]) {
    let (mut i, mut j) = (0, 0);
    for o in out {
        let from_left = j == right.len() || i < left.len() && left[i] < right[j];
        *o = if from_left { left[i] } else { right[j] };
        i += usize::from(from_left);
        j += usize::from(!from_left);
    }
}

/// An unsigned number that orders as element `at` does, of 32 bits for types of up to 32.
///
/// # Safety
/// `from` must point to that many elements of the type.
unsafe fn key(dtype: DType, from: *const u8, at: usize) -> u64 {
    // SAFETY: in all arms, passed on from the caller.
    unsafe {
        match dtype {
            DType::Bool | DType::U8 => u64::from(*from.add(at)),
            DType::I8 => small(i32::from(*from.cast::<i8>().add(at))),
            DType::I16 => small(i32::from(*from.cast::<i16>().add(at))),
            DType::I32 => small(*from.cast::<i32>().add(at)),
            DType::I64 => *from.cast::<i64>().add(at) as u64 ^ 1 << 63,
            DType::F16 => float(f32::from(*from.cast::<half::f16>().add(at))),
            DType::BF16 => float(f32::from(*from.cast::<half::bf16>().add(at))),
            DType::F32 => float(*from.cast::<f32>().add(at)),
            DType::F64 => {
                let x = *from.cast::<f64>().add(at);
                if x.is_nan() {
                    return u64::MAX;
                }
                // Adding zero makes -0 and 0 one.
                let bits = (x + 0.0).to_bits();
                if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
            }
        }
    }
}

fn small(x: i32) -> u64 {
    u64::from(x as u32 ^ 1 << 31)
}

fn float(x: f32) -> u64 {
    if x.is_nan() {
        return u64::from(u32::MAX);
    }
    let bits = (x + 0.0).to_bits();
    u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}
