//! Recurrent layers: all steps of one direction as one kernel, and their derivative.
//!
//! What a step adds to the input's share of its gates is a product with the same weight each time: that is packed once.
//! Rows of the batch do not depend on each other, so each thread takes some of them through all steps without waiting for the
//! others. Only where the packed weight is larger than a core's own cache do threads share it, step by step.
//!
//! Operands are dense, of `f32` or `f64`; `T` steps, `N` rows, `H` hidden units, `G` gates.
//!
//! | kernel | operands | result |
//! |---|---|---|
//! | `recurrent.CELL` | input's gates `[T,N,G*H]`, weight `[G*H,H]`, bias `[G*H]`, the first hidden state `[N,H]`, for `lstm` cell state `[N,H]` | states `[T+1,N,S*H]`; at 0 the first ones |
//! | `recurrent.CELL_backward` | weight, states, gradients of the hidden states `[T,N,H]`, for `lstm` of the last cell state `[N,H]` | gradients `[T+1,N,P*H]`, at 0 those of the first hidden (and cell) state |
//!
//! What rows of states and gradients hold is said where each cell is, in [`cells`].

mod cells;
mod math;
#[cfg(test)]
mod tests;

use super::multiply::{Matrix, multiply, prepack};
use super::product::{self, Number, Panels, Product, Style};
use crate::cpu_features::{Level, detect};
use crate::custom::{CustomInput, CustomKernel, CustomOutput};
use crate::threads;
use cells::{Back, Cell, Forth, Gru, Lstm, Relu, Tanh};
use math::Real;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use ttk_ir::DType;

pub use cells::{GRU, LSTM, Layout, RELU, TANH};

/// A packed weight of more bytes is not each thread's own: with the rows of a step it would not stay in a core's cache.
const SHARED: usize = 768 << 10;

/// The fewest rows of a thread: so many cost hardly more than one.
const FEWEST_ROWS: usize = 4;

/// A step of no more products of numbers is over before other threads have heard of it.
const SHORT: usize = 1 << 19;

/// The rows of a thread on a machine without tiles.
const ROWS_WITHOUT_TILES: usize = 16;

/// The kernel of a name `recurrent.NAME`.
pub(crate) fn find(name: &str) -> Option<CustomKernel> {
    let name = name.strip_prefix("recurrent.")?;
    let (cell, backward) = match name.strip_suffix("_backward") {
        Some(cell) => (cell, true),
        None => (name, false),
    };
    match cell {
        "lstm" => Some(kernel::<Lstm>(backward)),
        "gru" => Some(kernel::<Gru>(backward)),
        "tanh" => Some(kernel::<Tanh>(backward)),
        "relu" => Some(kernel::<Relu>(backward)),
        _ => None,
    }
}

fn kernel<C: Cell>(backward: bool) -> CustomKernel {
    Arc::new(move |_, inputs, output| match (output.dtype, backward) {
        (DType::F32, false) => forward::<C, f32>(inputs, output),
        (DType::F32, true) => back::<C, f32>(inputs, output),
        (DType::F64, false) => forward::<C, f64>(inputs, output),
        (DType::F64, true) => back::<C, f64>(inputs, output),
        (other, _) => Err(format!("a recurrent layer of type {other}")),
    })
}

/// How many elements there are, if memory can have as many.
fn count(sizes: &[usize]) -> Option<usize> {
    sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size))
}

/// Checks an operand's type and sizes, and gives its elements.
fn operand<'a, T: Real>(x: &CustomInput<'a>, sizes: &[usize]) -> Result<&'a [T], String> {
    let same = x.shape.len() == sizes.len() && x.shape.iter().zip(sizes).all(|(&a, &b)| a == b as i64);
    if x.dtype != T::DTYPE || !same {
        return Err(format!("an operand {}{:?}, not {}{sizes:?}", x.dtype, x.shape, T::DTYPE));
    }
    // SAFETY: every bit pattern is a number.
    let (before, numbers, after) = unsafe { x.bytes.align_to::<T>() };
    if !before.is_empty() || !after.is_empty() || count(sizes) != Some(numbers.len()) {
        return Err("an operand that is not where numbers of its type are".into());
    }
    Ok(numbers)
}

/// As [`operand`], of the result.
fn result<'a, T: Real>(out: CustomOutput<'a>, sizes: &[usize]) -> Result<&'a mut [T], String> {
    let same = out.shape.len() == sizes.len() && out.shape.iter().zip(sizes).all(|(&a, &b)| a == b as i64);
    if out.dtype != T::DTYPE || !same {
        return Err(format!("a result {}{:?}, not {}{sizes:?}", out.dtype, out.shape, T::DTYPE));
    }
    // SAFETY: every bit pattern is a number.
    let (before, numbers, after) = unsafe { out.bytes.align_to_mut::<T>() };
    if !before.is_empty() || !after.is_empty() || count(sizes) != Some(numbers.len()) {
        return Err("a result that is not where numbers of its type are".into());
    }
    Ok(numbers)
}

/// Steps, rows and hidden units.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    rows: usize,
    hidden: usize,
}

impl Sizes {
    /// As of the operand `x` of `[T (+ more), N, width * H]`.
    fn of(x: &CustomInput<'_>, width: usize, more: usize) -> Result<Sizes, String> {
        let size = |n: i64| usize::try_from(n).map_err(|_| format!("a size of {n}"));
        match *x.shape {
            [t, n, w] if t >= more as i64 && size(w)? % width == 0 => {
                Ok(Sizes { steps: size(t)? - more, rows: size(n)?, hidden: size(w)? / width })
            }
            _ => Err(format!("gates or states of shape {:?}", x.shape)),
        }
    }
}

fn wrong_count<T>(inputs: &[CustomInput<'_>]) -> Result<T, String> {
    Err(format!("{} operands were given to a recurrent layer", inputs.len()))
}

fn forward<C: Cell, T: Real>(inputs: &[CustomInput<'_>], out: CustomOutput<'_>) -> Result<(), String> {
    let [gates, weight, bias, first @ ..] = inputs else { return wrong_count(inputs) };
    if first.len() != C::STATES {
        return wrong_count(inputs);
    }
    let sizes @ Sizes { steps, rows, hidden: h } = Sizes::of(gates, C::GATES, 0)?;
    let gates = operand::<T>(gates, &[steps, rows, C::GATES * h])?;
    let weight = operand::<T>(weight, &[C::GATES * h, h])?;
    let bias = operand::<T>(bias, &[C::GATES * h])?;
    let states = result::<T>(out, &[steps + 1, rows, C::ROW * h])?;
    if states.is_empty() {
        return Ok(());
    }
    for (first, at) in first.iter().zip([C::HIDDEN, C::CELL]) {
        let first = operand::<T>(first, &[rows, h])?;
        for n in 0..rows {
            let to = (n * C::ROW + at) * h;
            states[to..to + h].copy_from_slice(&first[n * h..(n + 1) * h]);
        }
    }
    for n in 0..rows {
        // What the first row does not have.
        let row = &mut states[n * C::ROW * h..(n + 1) * C::ROW * h];
        for part in (0..C::ROW).filter(|&p| p != C::HIDDEN && (C::STATES == 1 || p != C::CELL)) {
            row[part * h..(part + 1) * h].fill(T::default());
        }
    }
    let weight = Weight::new(C::GATES * h, h, weight, (1, h as isize))?;
    let states = states.as_mut_ptr();
    drive(sizes, &weight, &Forward::<C, T> { sizes, gates, bias, states, cell: PhantomData });
    Ok(())
}

fn back<C: Cell, T: Real>(inputs: &[CustomInput<'_>], out: CustomOutput<'_>) -> Result<(), String> {
    let [weight, states, hidden, last @ ..] = inputs else { return wrong_count(inputs) };
    if last.len() + 1 != C::STATES {
        return wrong_count(inputs);
    }
    let sizes @ Sizes { steps, rows, hidden: h } = Sizes::of(states, C::ROW, 1)?;
    let weight = operand::<T>(weight, &[C::GATES * h, h])?;
    let states = operand::<T>(states, &[steps + 1, rows, C::ROW * h])?;
    let outer = operand::<T>(hidden, &[steps, rows, h])?;
    let gradients = result::<T>(out, &[steps + 1, rows, C::BACK_ROW * h])?;
    if gradients.is_empty() {
        return Ok(());
    }
    let mut carried = zeros(C::STATES * rows * h)?;
    if let [last] = last {
        carried[rows * h..].copy_from_slice(operand::<T>(last, &[rows, h])?);
    }
    let weight = Weight::new(h, C::GATES * h, weight, (h as isize, 1))?;
    let body = Backward::<C, T> {
        sizes,
        states,
        outer,
        gradients: gradients.as_mut_ptr(),
        carried: carried.as_mut_ptr(),
        cell: PhantomData,
    };
    drive(sizes, &weight, &body);
    for n in 0..rows {
        let row = &mut gradients[n * C::BACK_ROW * h..(n + 1) * C::BACK_ROW * h];
        row.fill(T::default());
        for state in 0..C::STATES {
            let from = (state * rows + n) * h;
            row[state * h..(state + 1) * h].copy_from_slice(&carried[from..from + h]);
        }
    }
    Ok(())
}

/// The operand that all steps multiply by, `[k, lanes]`, packed.
struct Weight<T> {
    lanes: usize,
    k: usize,
    /// As it was given, for machines without tiles.
    matrix: Matrix,
    panels: Panels,
    packed: Vec<T>,
}

// SAFETY: the matrix is read only, and outlives the kernel's run.
unsafe impl<T: Sync> Sync for Weight<T> {}

impl<T: Real> Weight<T> {
    /// `(rs, cs)` are the strides of `numbers` along `k` and along the lanes.
    fn new(lanes: usize, k: usize, numbers: &[T], (rs, cs): (isize, isize)) -> Result<Weight<T>, String> {
        let matrix = Matrix::new(numbers.as_ptr().cast_mut().cast(), T::DTYPE, rs, cs);
        let panels = Panels::new(lanes, size_of::<T>());
        let mut packed = Vec::new();
        if T::tiles().is_some() {
            packed = zeros(product::packed_bytes(&panels, size_of::<T>(), k) / size_of::<T>())?;
            let packing = Packing { matrix, to: packed.as_mut_ptr() };
            threads::parallel(panels.count(), &|_, panel| {
                // SAFETY: there is the room that `packed_bytes` asks for.
                unsafe { packing.pack(k, &panels, panel) };
            });
        }
        Ok(Weight { lanes, k, matrix, panels, packed })
    }

    fn has_tiles(&self) -> bool {
        T::tiles().is_some()
    }

    fn bytes(&self) -> usize {
        self.lanes * self.k * size_of::<T>()
    }

    /// `c = a * weight`, or `c += a * weight`, for the lanes of some panels.
    ///
    /// # Safety
    /// `a` must have `m` rows of `k` numbers, `c` as many of `lanes`, which are the caller's.
    unsafe fn multiply(&self, m: usize, a: Matrix, c: Matrix, add: bool, panels: Range<usize>) {
        let (from, to) = (self.panels.start(panels.start), self.panels.start(panels.end));
        // Neither operand is packed or copied with tiles, so there is no scratch; the other way takes none.
        let product = Product {
            style: Style::Columns,
            pairs: false,
            m,
            n: to - from,
            k: self.k,
            a,
            b: self.matrix.at(0, from),
            c: c.at(0, from),
            add,
            rounded: None,
            packed: self.has_tiles().then(|| (self.packed.as_ptr().cast(), self.panels, panels.start)),
            rows_copied: false,
            scratch: std::ptr::null_mut(),
        };
        // SAFETY: passed on from the caller.
        unsafe { multiply(&product) };
    }
}

/// An operand that threads pack at once.
struct Packing<T> {
    matrix: Matrix,
    to: *mut T,
}

// SAFETY: the matrix is only read, and each panel is written by one thread.
unsafe impl<T: Send> Sync for Packing<T> {}

impl<T: Real> Packing<T> {
    /// # Safety
    /// The matrix must be in memory, and `to` have room for all panels of it.
    unsafe fn pack(&self, k: usize, panels: &Panels, panel: usize) {
        // SAFETY: passed on from the caller.
        unsafe { prepack(Style::Columns, false, k, self.matrix, panels, panel, self.to.cast()) };
    }
}

/// Zeros.
fn zeros<T: Real>(n: usize) -> Result<Vec<T>, String> {
    let mut out = Vec::new();
    out.try_reserve_exact(n).map_err(|_| format!("no memory for {n} numbers of a recurrent layer"))?;
    out.resize(n, T::default());
    Ok(out)
}

/// What a step does before and after its product, and the product's matrices.
trait Body: Sync {
    fn before(&self, step: usize, rows: Range<usize>);
    /// The operand and the result from a row on, and whether the product is added to what is there.
    fn matrices(&self, step: usize, row: usize) -> (Matrix, Matrix, bool);
    fn after(&self, _step: usize, _rows: Range<usize>) {}
    /// Whether `after` does anything.
    fn has_after(&self) -> bool {
        false
    }
}

/// Goes through all steps. The result does not depend on how many threads share the work: each sum is made in one order.
fn drive<T: Real>(sizes: Sizes, weight: &Weight<T>, body: &dyn Body) {
    let Sizes { steps, rows, .. } = sizes;
    let threads = threads::num_threads();
    // Without tiles a sum depends on how many rows are multiplied at once, so that threads must not decide it.
    let has_tiles = weight.has_tiles();
    let height =
        if has_tiles { rows.div_ceil(threads).max(FEWEST_ROWS) } else { rows.min(ROWS_WITHOUT_TILES) };
    let blocks = rows.div_ceil(height);
    let block = |i: usize| i * height..((i + 1) * height).min(rows);
    let panels = weight.panels.count();
    let product = |step, rows: Range<usize>, panels| {
        let (a, c, add) = body.matrices(step, rows.start);
        // SAFETY: the body's rows, which no other thread has at this time, but for other panels.
        unsafe { weight.multiply(rows.len(), a, c, add, panels) };
    };
    let short = rows * weight.lanes * weight.k <= SHORT;
    if !has_tiles || threads == 1 || short || blocks > 1 && weight.bytes() <= SHARED {
        threads::parallel(blocks, &|_, i| {
            for step in 0..steps {
                body.before(step, block(i));
                product(step, block(i), 0..panels);
                body.after(step, block(i));
            }
        });
        return;
    }
    let parts = threads.min(panels);
    for step in 0..steps {
        threads::parallel(blocks, &|_, i| body.before(step, block(i)));
        threads::parallel(parts, &|_, i| {
            product(step, 0..rows, i * panels / parts..(i + 1) * panels / parts);
        });
        if body.has_after() {
            threads::parallel(blocks, &|_, i| body.after(step, block(i)));
        }
    }
}

struct Forward<'a, C, T> {
    sizes: Sizes,
    gates: &'a [T],
    bias: &'a [T],
    /// `[T+1, N, ROW*H]`; each row is one thread's at a time, and read once it is done.
    states: *mut T,
    cell: PhantomData<fn(C)>,
}

// SAFETY: see `states`.
unsafe impl<C, T: Sync> Sync for Forward<'_, C, T> {}

impl<C: Cell, T: Real> Forward<'_, C, T> {
    fn state(&self, at: usize, row: usize) -> *mut T {
        self.states.wrapping_add((at * self.sizes.rows + row) * C::ROW * self.sizes.hidden)
    }
}

impl<C: Cell, T: Real> Body for Forward<'_, C, T> {
    fn before(&self, step: usize, rows: Range<usize>) {
        let width = C::GATES * self.sizes.hidden;
        for n in rows {
            // SAFETY: the row of this step, which is this thread's.
            let row = unsafe { std::slice::from_raw_parts_mut(self.state(step + 1, n), width) };
            let from = (step * self.sizes.rows + n) * width;
            C::start(row, &self.gates[from..from + width], self.bias, self.sizes.hidden);
        }
    }

    fn matrices(&self, step: usize, row: usize) -> (Matrix, Matrix, bool) {
        let (h, stride) = (self.sizes.hidden, (C::ROW * self.sizes.hidden) as isize);
        let before = self.state(step, row).wrapping_add(C::HIDDEN * h);
        let matrix = |start: *mut T| Matrix::new(start.cast(), T::DTYPE, stride, 1);
        (matrix(before), matrix(self.state(step + 1, row)), true)
    }

    fn has_after(&self) -> bool {
        true
    }

    fn after(&self, step: usize, rows: Range<usize>) {
        let (h, width) = (self.sizes.hidden, C::GATES * self.sizes.hidden);
        let level = detect().level;
        for n in rows {
            let from = (step * self.sizes.rows + n) * width;
            // SAFETY: the row of this step, which is this thread's, and the one before it, which is done.
            let step = unsafe {
                Forth {
                    hidden: h,
                    row: std::slice::from_raw_parts_mut(self.state(step + 1, n), C::ROW * h),
                    before: std::slice::from_raw_parts(self.state(step, n), C::ROW * h),
                    gates: &self.gates[from..from + width],
                }
            };
            step_forward::<C, T>(level, step);
        }
    }
}

struct Backward<'a, C, T> {
    sizes: Sizes,
    states: &'a [T],
    outer: &'a [T],
    /// `[T+1, N, BACK_ROW*H]`; each row is one thread's.
    gradients: *mut T,
    /// `[STATES, N, H]`: the gradients of the states that a step has left; each row is one thread's.
    carried: *mut T,
    cell: PhantomData<fn(C)>,
}

// SAFETY: see `gradients` and `carried`.
unsafe impl<C, T: Sync> Sync for Backward<'_, C, T> {}

impl<C: Cell, T: Real> Backward<'_, C, T> {
    fn gradient(&self, at: usize, row: usize) -> *mut T {
        self.gradients.wrapping_add((at * self.sizes.rows + row) * C::BACK_ROW * self.sizes.hidden)
    }

    fn state(&self, at: usize, row: usize) -> &[T] {
        let width = C::ROW * self.sizes.hidden;
        let from = (at * self.sizes.rows + row) * width;
        &self.states[from..from + width]
    }
}

impl<C: Cell, T: Real> Body for Backward<'_, C, T> {
    fn before(&self, step: usize, rows: Range<usize>) {
        let Sizes { steps, rows: all, hidden: h } = self.sizes;
        let level = detect().level;
        // The row of states that this step made.
        let at = steps - step;
        for n in rows {
            let from = ((at - 1) * all + n) * h;
            let carried = |state: usize| {
                // SAFETY: a row of this thread's; those of several states are apart.
                unsafe { std::slice::from_raw_parts_mut(self.carried.wrapping_add((state * all + n) * h), h) }
            };
            // SAFETY: as above.
            let row = unsafe { std::slice::from_raw_parts_mut(self.gradient(at, n), C::BACK_ROW * h) };
            let step = Back {
                hidden: h,
                state: self.state(at, n),
                before: self.state(at - 1, n),
                outer: &self.outer[from..from + h],
                row,
                carried: carried(0),
                cell: if C::STATES == 2 { carried(1) } else { &mut [] },
            };
            step_back::<C, T>(level, step);
        }
    }

    fn matrices(&self, step: usize, row: usize) -> (Matrix, Matrix, bool) {
        let h = self.sizes.hidden;
        let from = self.gradient(self.sizes.steps - step, row);
        let from = Matrix::new(from.cast(), T::DTYPE, (C::BACK_ROW * h) as isize, 1);
        let to = Matrix::new(self.carried.wrapping_add(row * h).cast(), T::DTYPE, h as isize, 1);
        (from, to, C::CARRIES)
    }
}

/// What a step does with one row, by instructions of the machine: `$name(level, step)`.
macro_rules! for_levels {
    ($name:ident, $step:ident, $method:ident) => {
        fn $name<C: Cell, T: Real>(level: Level, step: $step<'_, T>) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma")]
                fn avx512<C: Cell, T: Real>(step: $step<'_, T>) {
                    C::$method::<T, true>(step);
                }
                #[target_feature(enable = "avx2,fma")]
                fn avx2<C: Cell, T: Real>(step: $step<'_, T>) {
                    C::$method::<T, true>(step);
                }
                match level {
                    // SAFETY: a machine of this level has the instructions.
                    Level::Avx512 => return unsafe { avx512::<C, T>(step) },
                    // SAFETY: as above.
                    Level::Avx2 => return unsafe { avx2::<C, T>(step) },
                    Level::Baseline => {}
                }
            }
            let _ = level;
            C::$method::<T, false>(step);
        }
    };
}

for_levels!(step_forward, Forth, forward);
for_levels!(step_back, Back, backward);
