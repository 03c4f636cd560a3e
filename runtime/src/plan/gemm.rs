//! How a batch of matrix products is cut into tasks.
//!
//! Where sums are split, the cut depends on sizes alone and not on the number of threads, because the order in which
//! products are summed shows in the result. Where they are not, it shows nowhere.

use super::bind::{Binder, Call, Keep, Packed, Work, checked, sharing};
use super::gathered;
use super::pairs::{self, Joined};
use crate::error::Defect;
use crate::execute::multiply;
use crate::execute::product::{self, Panels, Style};
use crate::threads::{self, Sharing};
use std::ops::Range;
use ttk_ir::DType;
use ttk_ir::program::{BufferId, Epilogue, Gemm, Matrix, Operand};

/// A batch of products with every number worked out. Strides and offsets count elements.
#[derive(Debug)]
pub(crate) struct GemmWork {
    pub(crate) dtype: DType,
    /// Whether operands are matrices of pairs of terms; strides along them, and `k`, count those.
    pub(crate) pairs: bool,
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Axes of the batch, outermost first, and their product.
    pub(crate) batch: Vec<usize>,
    pub(crate) items: usize,
    /// Axes that are summed over, and their product.
    pub(crate) reduce: Vec<usize>,
    pub(crate) summed: usize,
    /// `k` is cut into this many pieces of `piece`, the last one shorter.
    pub(crate) pieces: usize,
    pub(crate) piece: usize,
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) c: Side,
    pub(crate) epilogue: Option<(Call, bool)>,
    pub(crate) style: Style,
    pub(crate) route: Route,
    /// A task computes a block of `C`, for `group` items of the batch: so many panels of lanes, and
    /// one of `across` parts of the rows or columns that are not lanes.
    pub(crate) panels: Panels,
    pub(crate) panels_each: usize,
    pub(crate) across: usize,
    pub(crate) group: usize,
    /// Where in the shared scratch the operand on the lanes is packed beforehand, so that tasks with the
    /// same lanes share it.
    pub(crate) lanes_packed: Option<usize>,
    /// The packed operand on the lanes, where it may be kept from run to run.
    pub(crate) lanes_kept: Option<Keep>,
    /// Whether the operand that is not on the lanes is copied by each task first.
    pub(crate) rows_copied: bool,
    /// Which threads the tasks are worth.
    pub(crate) sharing: Sharing,
    /// Whether all of it is one product of what buffers hold, for one thread: it is computed without further ado.
    pub(crate) is_single: bool,
    /// Byte offsets in a thread's scratch: after the locals of kernels come the packed operands, then
    /// room for products, then for the sum of a block whose type is not that of `C`.
    pub(crate) product_at: usize,
    pub(crate) sum_at: usize,
}

/// One of the three matrices.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) source: Source,
    /// For each batch axis; of items for a packed operand.
    pub(crate) batch_strides: Vec<i64>,
    pub(crate) reduce_strides: Vec<i64>,
    pub(crate) rs: i64,
    pub(crate) cs: i64,
}

impl Side {
    /// The kernel that packs it.
    fn pack_call(&self) -> Option<Call> {
        match &self.source {
            Source::Packed { call, .. } | Source::Prepacked { call, .. } => Some(*call),
            Source::Joined(joined) => joined.of.pack_call(),
            Source::Buffer { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Source {
    Buffer {
        buffer: BufferId,
        offset: i64,
    },
    /// Packed by the thread that needs it, at this offset of its scratch.
    Packed {
        call: Call,
        at: usize,
    },
    /// All `items` packed beforehand, `stride` bytes apart from this offset of the shared scratch.
    Prepacked {
        call: Call,
        items: usize,
        at: usize,
        stride: usize,
    },
    /// Of terms in pairs, which are brought together beforehand.
    Joined(Box<Joined>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// A task sums all terms of its block.
    Direct,
    /// The terms are dealt to `groups`, in order; the groups' sums are joined as a balanced tree. They
    /// lie in the shared scratch from byte `at`.
    Partial { groups: usize, at: usize },
}

/// A block of `C`.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
    /// The first panel of its lanes.
    pub(crate) panel: usize,
}

impl GemmWork {
    /// Whether tasks pack an operand by a kernel, each for itself; a task is a whole item then.
    fn packs_in_tasks(&self) -> bool {
        [&self.a, &self.b].iter().any(|s| matches!(s.source, Source::Packed { .. }))
    }

    pub(crate) fn terms(&self) -> usize {
        self.summed * self.pieces
    }

    /// 16-bit floats accumulate in `f32`.
    pub(crate) fn sum_type(&self) -> DType {
        self.dtype.compute()
    }

    /// Whether operands are converted to the type of the sums, in each task.
    fn converts(&self) -> bool {
        self.dtype != self.sum_type() && !self.pairs
    }

    /// The type that operands are read as; a pair is as large as an `i32`.
    pub(crate) fn operand_type(&self) -> DType {
        if self.pairs { DType::I32 } else { self.dtype }
    }

    /// How many blocks an item's `C` is cut into.
    pub(crate) fn blocks(&self) -> usize {
        self.panels.count().div_ceil(self.panels_each) * self.across
    }

    pub(crate) fn block(&self, index: usize) -> Block {
        let (along, across) = (index / self.across, index % self.across);
        let panel = along * self.panels_each;
        let lanes = self.panels.start(panel)..self.panels.start(panel + self.panels_each);
        let others = self.start_across(across)..self.start_across(across + 1);
        if self.style.on_rows() {
            Block { rows: lanes, cols: others, panel }
        } else {
            Block { rows: others, cols: lanes, panel }
        }
    }

    fn is_single(&self) -> bool {
        let plain = |side: &Side| matches!(side.source, Source::Buffer { .. });
        let one = self.items * self.terms() * self.blocks() == 1 && self.route == Route::Direct;
        one && self.dtype == self.sum_type() && plain(&self.a) && plain(&self.b)
    }

    /// The operand on the lanes.
    pub(crate) fn lanes_side(&self) -> &Side {
        if self.style.on_rows() { &self.a } else { &self.b }
    }

    /// Whether tasks read both operands where they are.
    fn reads_in_place(&self) -> bool {
        let side = self.lanes_side();
        let lane = if self.style.on_rows() { side.rs } else { side.cs };
        let whole = self.panels.padded() == self.panels.start(self.panels.count());
        let in_place = whole && product::is_read_in_place(lane, self.others()) && !self.rows_copied;
        in_place && self.style.packs() && product::has_tiles() && self.dtype == self.sum_type()
    }

    /// Rows or columns of `C`, whichever are not lanes.
    pub(crate) fn others(&self) -> usize {
        if self.style.on_rows() { self.n } else { self.m }
    }

    /// The distance between terms of the operand that is not on the lanes.
    fn broadcast_step(&self) -> i64 {
        if self.style.on_rows() { self.b.rs } else { self.a.cs }
    }

    /// Bytes of the packed operand on the lanes, of an item.
    pub(crate) fn lanes_bytes(&self) -> usize {
        product::packed_bytes(&self.panels, self.operand_type().size(), self.k).next_multiple_of(ALIGN)
    }

    /// Whether each block has whole rows of `C`.
    pub(crate) fn whole_rows(&self) -> bool {
        if self.style.on_rows() { self.across == 1 } else { self.panels_each >= self.panels.count() }
    }

    /// The first row (or column) that is not a lane of a part, and the end of the last: whole tiles, dealt out evenly.
    fn start_across(&self, part: usize) -> usize {
        let height = product::rows(self.sum_type().size());
        (part * self.others().div_ceil(height) / self.across * height).min(self.others())
    }

    /// The most of them in a part.
    fn most_across(&self) -> usize {
        let height = product::rows(self.sum_type().size());
        (self.others().div_ceil(height).div_ceil(self.across) * height).min(self.others())
    }

    /// The most rows and columns of a block.
    fn largest(&self) -> (usize, usize) {
        let lanes = self.panels.start(self.panels_each).max(self.panels.start(1));
        let others = self.most_across();
        if self.style.on_rows() { (lanes, others) } else { (others, lanes) }
    }
}

/// Floating-point operations of a task worth handing out, about 5 microseconds of them.
const TASK_FLOPS: f64 = 5e5;

/// How many tasks the larger jobs are cut into, about.
const TASKS: f64 = 64.0;

/// With so many tasks a thread, threads are done at about the same time.
const EVEN_TASKS: usize = 8;

/// Lanes, and rows (or columns) that are not lanes, that a task has at least where there are enough tasks.
const LANES_TOGETHER: usize = 256;
const ROWS_TOGETHER: usize = 48;
/// Rows whose terms are not next to each other: what a task has at least, and what it has where there are enough tasks.
const ROWS_APART: (usize, usize) = (24, 72);

/// With fewer tasks than this, sums are split too.
const FEW_TASKS: usize = 8;

/// Whether they are does not depend on the number of threads: the cut for so many tells.
const THREADS: usize = 4;

/// Results of so many bytes are in a cache when the last of them are there.
const EPILOGUE_BYTES: usize = 2 << 20;

/// Into how many groups a sum is split at most, and the memory for their results.
const GROUPS: usize = 16;
const GROUP_BYTES: usize = 64 << 20;

/// Up to so many packed items, all are packed beforehand, if they take no more bytes than that.
const PREPACKED_ITEMS: usize = 16;
pub(super) const PREPACKED_BYTES: usize = 64 << 20;

/// The shortest piece of `k`.
const PIECE: usize = 1024;

/// 16-bit matrices are converted in blocks of about so many rows and columns, and so many terms.
const CONVERTED: usize = 1024;
pub(crate) const PANEL_DEPTH: usize = 512;

/// A thin product reads its large operand in pieces of so many lanes at least: memory is slow otherwise.
const LANES_READ: usize = 1024;

pub(super) const ALIGN: usize = 64;

pub(super) fn bind(b: &mut Binder<'_>, g: &Gemm) -> Result<Work, Defect> {
    let what = "a matrix product";
    let (mut m, mut n, mut k) = (b.size(what, &g.m)?, b.size(what, &g.n)?, b.size(what, &g.k)?);
    let sizes = |b: &Binder<'_>, list: &[ttk_ir::Expr]| {
        list.iter().map(|e| b.size(what, e)).collect::<Result<Vec<_>, _>>()
    };
    let (mut batch, mut reduce) = (sizes(b, &g.batch)?, sizes(b, &g.reduce)?);
    let axes = batch.len();
    let matrix = |b: &Binder<'_>, m: &Matrix| Side {
        source: Source::Buffer { buffer: m.buffer, offset: b.eval(&m.offset) },
        batch_strides: m.batch_strides[..axes].iter().map(|e| b.eval(e)).collect(),
        reduce_strides: m.batch_strides[axes..].iter().map(|e| b.eval(e)).collect(),
        rs: b.eval(&m.row_stride),
        cs: b.eval(&m.col_stride),
    };
    let mut c = matrix(b, &g.c);
    if m == 0 || n == 0 || batch.contains(&0) {
        return Ok(Work::Nothing);
    }
    if reduce.contains(&0) {
        (k, reduce) = (0, vec![1; reduce.len()]);
    }

    let operand = |b: &mut Binder<'_>, o: &Operand, rows: usize, cols: usize| match o {
        Operand::Strided(m) => {
            let side = matrix(b, m);
            in_bounds(b, &side, rows, cols, &batch, &reduce)?;
            Ok((side, 0, 0))
        }
        Operand::Packed { kernel, buffers, symbols, len, item_strides, row_stride, col_stride } => {
            let call = b.call(*kernel, buffers, symbols)?;
            let side = Side {
                source: Source::Packed { call, at: 0 },
                batch_strides: item_strides[..axes].iter().map(|e| b.eval(e)).collect(),
                reduce_strides: item_strides[axes..].iter().map(|e| b.eval(e)).collect(),
                rs: b.eval(row_stride),
                cs: b.eval(col_stride),
            };
            let (len, items) = (b.size(what, len)?, b.range(&call));
            let defect = |value| Defect::Size { what: "a packed matrix", value };
            let (low, high) = extent(0, &[(rows, side.rs), (cols, side.cs)]);
            if low < 0 || high >= len as i128 && k > 0 || b.parameter_len(&call, 0) > len as i64 {
                return Err(defect(len as i64));
            }
            let (low, high) = extent(0, &axes_of(&side, &batch, &reduce));
            if low < 0 || items.0 != 0 || high >= i128::from(items.1) {
                return Err(defect(items.1));
            }
            let bytes = checked(what, (len as i64).checked_mul(g.dtype.size() as i64))?;
            Ok((side, bytes.next_multiple_of(ALIGN), items.1 as usize))
        }
    };
    let (mut a, a_bytes, a_items) = operand(b, &g.a, m, k)?;
    let (mut bb, b_bytes, b_items) = operand(b, &g.b, k, n)?;
    in_bounds(b, &c, m, n, &batch, &[])?;

    let epilogue = match &g.epilogue {
        None => None,
        Some(Epilogue { kernel, buffers, symbols, rows }) => {
            let call = b.call(*kernel, buffers, symbols)?;
            b.set_argument(&call, 0, g.c.buffer);
            b.fits(g.c.buffer, b.parameter_len(&call, 0))?;
            let range = b.range(&call);
            let whole = batch.iter().product::<usize>() * if *rows { m } else { 1 };
            if range != (0, whole as i64) {
                return Err(Defect::Size { what: "an epilogue's range", value: range.1 });
            }
            Some((call, *rows))
        }
    };

    // Axes that are only a longer m, n or k.
    drop_units(&mut batch, [&mut a.batch_strides, &mut bb.batch_strides, &mut c.batch_strides]);
    drop_units(&mut reduce, [&mut a.reduce_strides, &mut bb.reduce_strides, &mut Vec::new()]);
    let strided = a_items == 0 && b_items == 0;
    while strided && let Some(&size) = reduce.last() {
        let fits = a.reduce_strides.last() == Some(&(k as i64 * a.cs))
            && bb.reduce_strides.last() == Some(&(k as i64 * bb.rs));
        if !fits || k == 0 {
            break;
        }
        k *= size;
        reduce.pop();
        a.reduce_strides.pop();
        bb.reduce_strides.pop();
    }
    while strided && let Some(&size) = batch.last() {
        let (sa, sb, sc) = (*last(&a), *last(&bb), *last(&c));
        let down = sb == 0 && sa == m as i64 * a.rs && sc == m as i64 * c.rs;
        let right = sa == 0 && sb == n as i64 * bb.cs && sc == n as i64 * c.cs;
        if down && epilogue.is_none_or(|(_, rows)| rows) {
            m *= size;
        } else if right && epilogue.is_none() {
            n *= size;
        } else {
            break;
        }
        batch.pop();
        for side in [&mut a, &mut bb, &mut c] {
            side.batch_strides.pop();
        }
    }

    if strided && epilogue.is_none() {
        let sides = [&a, &bb, &c];
        if let Some(work) = gathered::bind(b, g.dtype, [m, n, k], &batch, &reduce, sides) {
            return Ok(work);
        }
    }
    let (items, summed) = (batch.iter().product::<usize>(), reduce.iter().product::<usize>());
    let mut work = GemmWork {
        dtype: g.dtype,
        pairs: false,
        m,
        n,
        k,
        batch,
        items,
        reduce,
        summed,
        pieces: 1,
        piece: k,
        a,
        b: bb,
        c,
        epilogue,
        style: Style::Columns,
        route: Route::Direct,
        panels: Panels::new(n, g.dtype.compute().size()),
        panels_each: 1,
        across: 1,
        group: 1,
        lanes_packed: None,
        lanes_kept: None,
        rows_copied: false,
        sharing: Sharing::Alone,
        is_single: false,
        product_at: 0,
        sum_at: 0,
    };
    let mut shared = 0;
    prepack(&mut work.a, a_items, a_bytes, items * summed, &mut shared);
    prepack(&mut work.b, b_items, b_bytes, items * summed, &mut shared);
    pairs::bind(&mut work, &mut shared);
    style(b, &mut work);
    cut(&mut work, THREADS);
    split_sums(&mut work, &mut shared);
    if work.terms() == 1 {
        // Each element is the same sum, however it is cut.
        cut(&mut work, threads::num_threads());
    }
    pack_lanes(b, &mut work, &mut shared);
    work.is_single = work.is_single();
    scratch(b, &mut work, a_bytes, b_bytes, shared);
    Ok(Work::Gemm(Box::new(work)))
}

fn last(side: &Side) -> &i64 {
    side.batch_strides.last().unwrap_or(&0)
}

fn drop_units<const N: usize>(sizes: &mut Vec<usize>, mut strides: [&mut Vec<i64>; N]) {
    for i in (0..sizes.len()).rev() {
        if sizes[i] == 1 {
            sizes.remove(i);
            for s in &mut strides {
                if i < s.len() {
                    s.remove(i);
                }
            }
        }
    }
}

/// Packs all items beforehand where they are few, or each is used by many products.
fn prepack(side: &mut Side, items: usize, bytes: usize, products: usize, shared: &mut usize) {
    let Source::Packed { call, .. } = side.source else { return };
    let few = items <= PREPACKED_ITEMS || products >= 4 * items;
    if few && items.saturating_mul(bytes) <= PREPACKED_BYTES {
        side.source = Source::Prepacked { call, items, at: *shared, stride: bytes };
        *shared += items * bytes;
    }
}

/// Decides which operand lies along the lanes.
fn style(binder: &Binder<'_>, w: &mut GemmWork) {
    let size = w.sum_type().size();
    let strides = |s: &Side| [s.rs, s.cs];
    let (mut a, mut b, mut c) = (strides(&w.a), strides(&w.b), strides(&w.c));
    if w.converts() {
        // They are converted to these.
        (a, b, c) = ([w.k as i64, 1], [w.n as i64, 1], [w.n as i64, 1]);
    }
    let kept = [&w.a, &w.b].map(|side| match &side.source {
        Source::Buffer { buffer, .. } => w.summed == 1 && binder.is_read_only(*buffer),
        Source::Joined(joined) => {
            matches!(joined.of.source, Source::Buffer { buffer, .. } if binder.is_read_only(buffer))
        }
        Source::Packed { .. } | Source::Prepacked { .. } => false,
    });
    w.style = product::choose([w.m, w.n, w.piece], [a, b, c], kept, product::vector(size));
    if w.pairs {
        w.style = w.style.without_streams();
    }
    w.panels = Panels::new(if w.style.on_rows() { w.m } else { w.n }, size);
    w.panels_each = w.panels.count();
    w.across = 1;
}

/// Operations of an item's product and of a task, and the [work units](sharing) that all products take.
fn work(w: &GemmWork) -> (f64, f64, f64) {
    let per_item = 2.0 * w.m as f64 * w.n as f64 * (w.k as f64 * w.summed as f64).max(1.0);
    // A product with a vector runs at the speed of memory, not of arithmetic.
    let narrow = (w.m.min(w.n) as f64 / 16.0).min(1.0);
    let slow = match w.dtype {
        DType::F32 => 1.0,
        DType::BF16 if w.pairs => 1.0,
        DType::F64 | DType::F16 | DType::BF16 => 2.0,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 30.0,
    };
    let total = per_item * w.items as f64;
    // A tenth of a nanosecond is about ten operations at 100 GFLOP/s.
    (per_item, (total / TASKS).max(TASK_FLOPS * narrow / slow), total / 10.0 / narrow * slow)
}

/// Decides how the products are cut into tasks for so many threads.
fn cut(w: &mut GemmWork, threads: usize) {
    let (per_item, per_task, units) = work(w);
    w.sharing = sharing(units);
    let rows_together = matches!(w.epilogue, Some((_, true)));
    // An epilogue of rows is cheaper on what a task has just computed than a thread more.
    let halves = w.items == 1 && (w.style.on_rows() || !rows_together);
    if w.sharing == Sharing::Awake && halves && w.style.packs() && !w.packs_in_tasks() {
        // Of the lanes: each packs its own, where they are not kept packed.
        w.panels_each = w.panels.count().div_ceil(2);
    } else if per_item <= 1.5 * per_task || w.packs_in_tasks() {
        w.group = ((per_task / per_item) as usize).clamp(1, w.items);
    } else {
        let wanted = (per_item / per_task).ceil() as usize;
        let (most_along, most_across) = match w.style {
            Style::Rows | Style::Columns | Style::Dots => (w.panels.count(), w.others().div_ceil(32)),
            Style::RowStreams | Style::ColumnStreams => {
                (w.panels.start(w.panels.count()).div_ceil(LANES_READ), 1)
            }
        };
        let enough = |parts: usize| parts * w.items >= FEW_TASKS || parts >= wanted;
        // Blocks of few whole rows would each read all lanes; an epilogue on what is still in a cache is cheaper.
        let thin = w.others() < ROWS_TOGETHER * wanted.min(most_across / 2);
        let apart = thin && w.m * w.n * w.dtype.size() <= EPILOGUE_BYTES;
        // An epilogue of rows wants blocks of whole rows, if there are enough of those.
        let (along, across) = if rows_together && w.style.on_rows() && enough(most_along) {
            (wanted.min(most_along), 1)
        } else if rows_together && !w.style.on_rows() && enough(most_across / 2) && !apart {
            (1, wanted.min(most_across / 2))
        } else if w.style.packs() {
            let lanes = w.panels.start(w.panels.count());
            let rows = |each: usize| w.others().div_ceil(each);
            if w.broadcast_step() == 1 {
                // Rows that a task copies should serve many lanes, and lanes that are read again many rows.
                let along = wanted.min(lanes / LANES_TOGETHER).max(1);
                let across = wanted.div_ceil(along).min(rows(ROWS_TOGETHER));
                let enough = wanted.min(EVEN_TASKS * THREADS).div_ceil(across * w.items);
                (along.max(enough.min(most_along)), across)
            } else {
                // To copy rows whose terms are apart is dear: rather fewer of them than fewer lanes.
                let enough = wanted.min((EVEN_TASKS * threads).max(FEW_TASKS)).div_ceil(w.items);
                let across = enough.min(rows(ROWS_APART.1));
                let along = enough.div_ceil(across).min(lanes / LANES_TOGETHER).max(1);
                let across = across.max(enough.div_ceil(along).min(w.others() / ROWS_APART.0));
                (along.max(enough.div_ceil(across).min(most_along)), across)
            }
        } else {
            let along = wanted.min(most_along);
            (along, wanted.div_ceil(along).min(most_across))
        };
        w.panels_each = w.panels.count().div_ceil(along);
        w.across = across.min(w.others().div_ceil(product::rows(w.sum_type().size()))).max(1);
    }
    if w.dtype != w.sum_type() {
        w.across = w.across.max(w.others().div_ceil(CONVERTED));
        let most = CONVERTED / w.panels.start(1).max(1);
        w.panels_each = w.panels_each.min(most.max(1));
    }
    if !w.converts() && w.style.packs() && product::has_tiles() {
        w.rows_copied =
            product::worth_copying(w.broadcast_step(), w.panels.start(w.panels_each.min(w.panels.count())));
    }
}

/// Splits sums where there would be too few tasks otherwise.
fn split_sums(w: &mut GemmWork, shared: &mut usize) {
    let tasks = w.items.div_ceil(w.group) * w.blocks();
    if tasks >= FEW_TASKS || w.sharing != Sharing::All {
        return;
    }
    let one = w.items * w.m * w.n * w.sum_type().size();
    let most = (GROUP_BYTES / one.max(1)).min(GROUPS).min(GROUPS.div_ceil(tasks));
    if w.summed == 1 && w.k >= 2 * PIECE && !w.packs_in_tasks() {
        w.pieces = (w.k / PIECE).min(most).max(1);
        w.piece = w.k.div_ceil(w.pieces).next_multiple_of(16);
        w.pieces = w.k.div_ceil(w.piece);
    }
    let groups = w.terms().min(most);
    if groups > 1 {
        w.route = Route::Partial { groups, at: *shared };
        w.group = 1;
        *shared += (groups * one).next_multiple_of(ALIGN);
    }
}

/// Packs the operand on the lanes beforehand where several blocks would pack the same, or it may be kept.
fn pack_lanes(b: &Binder<'_>, w: &mut GemmWork, shared: &mut usize) {
    let side = w.lanes_side();
    let plain = !matches!(side.source, Source::Packed { .. });
    let float = matches!(w.dtype, DType::F32 | DType::F64) || w.pairs;
    let bytes = w.lanes_bytes();
    let whole = w.style.packs() && w.terms() == 1 && product::has_tiles();
    if !whole || !float || !plain {
        return;
    }
    // What is read is the operand before its pairs are brought together.
    let (of, joined) = match &side.source {
        Source::Joined(joined) => (&joined.of, true),
        Source::Buffer { .. } | Source::Packed { .. } | Source::Prepacked { .. } => (side, false),
    };
    let (lane, step) = if w.style.on_rows() { (of.rs, of.cs) } else { (of.cs, of.rs) };
    if let Source::Buffer { buffer, offset } = of.source
        && (joined || !product::is_read_in_place(lane, w.others()))
    {
        let sizes = [w.operand_type() as usize, usize::from(joined), w.panels.start(w.panels.count()), w.k];
        let batch = w.batch.iter().map(|&n| n as i64).chain(of.batch_strides.iter().copied());
        let numbers = sizes.map(|n| n as i64).into_iter().chain([offset, lane, step]).chain(batch);
        w.lanes_kept = b.keep(buffer, w.items * bytes, Packed::Product, numbers);
    }
    if w.across > 1 && w.items * bytes <= PREPACKED_BYTES {
        w.lanes_packed = Some(*shared);
        *shared += w.items * bytes;
    }
}

fn scratch(b: &mut Binder<'_>, w: &mut GemmWork, a_bytes: usize, b_bytes: usize, shared: usize) {
    let calls = [&w.a, &w.b].into_iter().filter_map(Side::pack_call);
    let calls: Vec<Call> = calls.chain(w.epilogue.map(|e| e.0)).collect();
    let locals = calls.iter().map(|c| b.locals_bytes(c)).max().unwrap_or(0);
    let mut at = locals.next_multiple_of(ALIGN);
    for (side, bytes) in [(&mut w.a, a_bytes), (&mut w.b, b_bytes)] {
        if let Source::Packed { at: place, .. } = &mut side.source {
            *place = at;
            at += bytes;
        }
    }
    let (rows, cols) = w.largest();
    w.product_at = at;
    if !w.reads_in_place() {
        let copied = if w.rows_copied { w.most_across() } else { 0 };
        at += multiply::scratch(w.operand_type(), rows, cols, w.piece, copied).next_multiple_of(ALIGN);
    }
    w.sum_at = at;
    if w.dtype != w.sum_type() {
        at += rows * cols * w.sum_type().size();
    }
    b.reserve(at, shared);
}

/// The batch and reduce axes with their strides.
fn axes_of(side: &Side, batch: &[usize], reduce: &[usize]) -> Vec<(usize, i64)> {
    let batch = batch.iter().copied().zip(side.batch_strides.iter().copied());
    batch.chain(reduce.iter().copied().zip(side.reduce_strides.iter().copied())).collect()
}

/// The least and the greatest element that `offset + sum(i * stride)` reaches; no axis is empty.
fn extent(offset: i64, axes: &[(usize, i64)]) -> (i128, i128) {
    axes.iter().fold((i128::from(offset), i128::from(offset)), |(low, high), &(size, stride)| {
        let far = i128::from(stride) * (size.max(1) as i128 - 1);
        (low + far.min(0), high + far.max(0))
    })
}

fn in_bounds(
    b: &Binder<'_>,
    side: &Side,
    rows: usize,
    cols: usize,
    batch: &[usize],
    reduce: &[usize],
) -> Result<(), Defect> {
    let Source::Buffer { buffer, offset } = side.source else { return Ok(()) };
    if rows == 0 || cols == 0 {
        return Ok(());
    }
    let mut axes = axes_of(side, batch, reduce);
    axes.extend([(rows, side.rs), (cols, side.cs)]);
    let (low, high) = extent(offset, &axes);
    let needed = if low < 0 { -1 } else { i64::try_from(high + 1).unwrap_or(i64::MAX) };
    b.fits(buffer, needed)
}
