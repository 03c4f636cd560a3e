//! Which threads compute an iteration of a kernel's parallel loop.

use crate::access::{Motion, accesses_of, defined, for_each_loop, has_vector_loop, motion, trips};
use crate::{order, vector};
use std::collections::HashMap;
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Kernel, LoopKind, Stmt};
use ttk_ir::{Expr, ReduceOp};

/// The threads of one item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// One thread: vector loops are serial.
    Thread,
    /// Some threads that exchange nothing.
    Lanes(i64),
    Warp,
    /// All threads of a block.
    Block,
    /// None: a block takes a square tile of items along this variable and of lanes.
    Tile(u32),
}

/// Items and lanes of a tile.
pub(crate) const TILE: i64 = 32;

/// A loop whose iterations are items.
#[derive(Clone, Debug)]
pub(crate) struct ItemLoop {
    pub(crate) var: u32,
    pub(crate) begin: Expr,
    pub(crate) end: Expr,
}

impl ItemLoop {
    pub(crate) fn length(&self) -> Expr {
        self.end.sub(&self.begin)
    }
}

/// How a kernel is mapped.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    /// Outermost first; one item where there is none.
    pub(crate) items: Vec<ItemLoop>,
    /// What an item computes.
    pub(crate) body: Vec<Stmt>,
    pub(crate) group: Group,
    /// Threads of a block.
    pub(crate) block: i64,
    /// Neighbouring iterations of a vector loop that a thread takes at once.
    pub(crate) width: i64,
    /// How many threads share the serial sums of a lane, each with some of the terms. More than one only
    /// for [`Group::Lanes`] and [`Group::Block`].
    pub(crate) spread: i64,
    /// How many blocks share the terms of a sum down columns, whose parts a second function joins.
    pub(crate) chunks: i64,
    /// Which of the two functions this is for.
    pub(crate) phase: Phase,
}

/// What a function computes of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    Whole,
    /// Parts of sums, up to and with the loop that makes them.
    Parts,
    /// The rest, where that loop is the sum of the parts.
    Join,
    /// Additions in any order.
    Atomic,
}

impl Mapping {
    /// How many items there are.
    pub(crate) fn count(&self) -> Expr {
        self.items.iter().fold(Expr::constant(1), |n, l| n.mul(&l.length()))
    }

    /// Threads of a group.
    pub(crate) fn lanes(&self) -> i64 {
        match self.group {
            Group::Thread => 1,
            Group::Lanes(n) => n,
            Group::Warp => 32,
            Group::Block => self.block,
            Group::Tile(_) => 1,
        }
    }

    /// The vector loop that is all an item has beside scalars: its variable, begin, end and body.
    pub(crate) fn lane_loop(&self) -> Option<(u32, &Expr, &Expr, &[Stmt])> {
        let (Stmt::For { var, begin, end, kind: LoopKind::Vector, body }, before) = self.body.split_last()?
        else {
            return None;
        };
        let scalars = before.iter().all(|s| matches!(s, Stmt::Let { .. }));
        (scalars && outer_accumulators(body).is_empty()).then_some((var.0, begin, end, body))
    }

    /// Tiles along the items' variable and along the lanes, and how many items there are beside.
    pub(crate) fn tiles(&self, item: u32) -> (Expr, Expr, Expr) {
        let tiles = |n: &Expr| n.offset(TILE - 1).floor_div(&Expr::constant(TILE));
        let (mut along, mut others) = (Expr::constant(1), Expr::constant(1));
        for l in &self.items {
            if l.var == item {
                along = tiles(&l.length());
            } else {
                others = others.mul(&l.length());
            }
        }
        let lanes = self.lane_loop().map_or(Expr::constant(1), |(_, begin, end, _)| tiles(&end.sub(begin)));
        (along, lanes, others)
    }

    /// Threads of a block that have different lanes or items.
    pub(crate) fn across(&self) -> i64 {
        match self.group {
            Group::Lanes(_) => self.block / self.spread,
            Group::Thread | Group::Warp | Group::Block | Group::Tile(_) => self.block,
        }
    }

    /// Blocks of a launch.
    pub(crate) fn grid(&self) -> Expr {
        if let Group::Tile(item) = self.group {
            let (along, lanes, others) = self.tiles(item);
            return along.mul(&lanes).mul(&others);
        }
        let chunks = if self.phase == Phase::Parts { self.chunks } else { 1 };
        self.blocks_of_chunk().scale(chunks)
    }

    /// Blocks that have different items or lanes.
    pub(crate) fn blocks_of_chunk(&self) -> Expr {
        let (threads, across) = (self.count().scale(self.lanes()), self.across());
        threads.offset(across - 1).floor_div(&Expr::constant(across))
    }

    /// The mapping of the function that joins the parts of this one's.
    pub(crate) fn joining(&self) -> Mapping {
        Mapping { phase: Phase::Join, spread: 1, block: BLOCK, ..self.clone() }
    }

    /// What is known in an item.
    pub(crate) fn ranges(&self) -> Ranges {
        let mut ranges = Ranges::new();
        for l in &self.items {
            ranges.push_var(l.var, &l.begin, &l.end);
        }
        ranges
    }
}

/// Threads of a block where nothing speaks for another number.
const BLOCK: i64 = 256;
/// A vector loop of this many iterations at most is no work for several threads that have to join results.
const SHORT: i64 = 4;
/// Up to this many vectors a row is left to a group made to measure.
const MEASURED: i64 = 511;

/// Ways to map a kernel, the best first. The first that needs no barrier it cannot have is taken; the last
/// one, a thread for each item, needs none.
pub(crate) fn candidates(kernel: &Kernel) -> Vec<Mapping> {
    let (mut items, mut body) = match kernel.parallel_loop() {
        Some((var, begin, end, body)) => {
            let item = ItemLoop { var: var.0, begin: begin.clone(), end: end.clone() };
            (vec![item], body.to_vec())
        }
        None => (Vec::new(), kernel.body.clone()),
    };
    if has_vector_loop(&body) {
        order::collapse(kernel, &mut items, &mut body);
    }
    let thread = Mapping {
        items,
        body,
        group: Group::Thread,
        block: 128,
        width: 1,
        spread: 1,
        chunks: 1,
        phase: Phase::Whole,
    };
    if !has_vector_loop(&thread.body) {
        return vec![thread];
    }
    let facts = Facts::of(&thread);
    // No wider than the longest loop.
    let width = vector::narrowed(vector::width(kernel, &thread), facts.trips.unwrap_or(i64::MAX).max(1));
    let with = |group, block, width| Mapping { group, block, width, ..thread.clone() };
    let mut out = Vec::new();
    let rows = if facts.joins {
        match facts.trips {
            _ if facts.rows_for_blocks(&thread.count()) => {
                let t = facts.trips.unwrap_or(32);
                Mapping { spread: BLOCK / 32, ..with(Group::Block, BLOCK, vector::narrowed(width, t / 32)) }
            }
            Some(t) if t <= SHORT => return vec![thread],
            // Few rows: every device has room for a block each.
            Some(t) if (512..=1024).contains(&t) && thread.count().as_const().is_some_and(|n| n < FEW) => {
                with(Group::Block, BLOCK, vector::narrowed(width, t / BLOCK))
            }
            // A warp's lanes are all at work before they take several elements.
            Some(t) if t <= 1024 => with(Group::Warp, 128, vector::narrowed(width, t / 32)),
            Some(t) if t <= 4096 => with(Group::Block, 256, width),
            Some(t) if t <= 16384 => with(Group::Block, 512, width),
            Some(_) => with(Group::Block, 1024, width),
            None => with(Group::Block, BLOCK, width),
        }
    } else {
        if let Some(item) = crate::body::transposed_axis(kernel, &thread) {
            out.push(with(Group::Tile(item), BLOCK, 1));
        }
        if facts.strided_lanes {
            out.push(with(Group::Thread, BLOCK, 1));
        }
        let vectors = facts.trips.map(|t| (t + width - 1) / width);
        if let Some(trips) = facts.trips {
            out.extend(columns(kernel, &thread, trips));
        }
        if let Some(n) = vectors.filter(|n| *n <= MEASURED) {
            out.push(with(Group::Lanes(n.max(1)), BLOCK, width));
        }
        match facts.trips {
            Some(t) if t <= 512 => with(Group::Warp, 128, vector::narrowed(width, t / 32)),
            Some(_) | None => with(Group::Block, BLOCK, width),
        }
    };
    out.push(rows);
    out.push(thread);
    out
}

/// Threads that different lanes have in a block whose other threads share their sums: 128 bytes of `f32`.
const ACROSS: i64 = 32;

/// Sums down columns: neighbouring threads take neighbouring columns, and several threads share the terms of
/// each.
fn columns(kernel: &Kernel, thread: &Mapping, trips: i64) -> Option<Mapping> {
    let sums = shared_sums(kernel, thread);
    let trips_of = |stmt: &Stmt| match stmt {
        Stmt::For { var, begin, end, .. } if sums.contains_key(&var.0) => {
            Some(end.sub(begin).as_const().unwrap_or(1024))
        }
        _ => None,
    };
    let longest = thread.body.iter().filter_map(trips_of).max()?;
    let threads = thread.count().scale(trips);
    let busy = threads.as_const().is_some_and(|n| n >= FULL);
    if busy || longest < 16 || trips == 0 || !crate::index::divisible(&threads, ACROSS) {
        return None;
    }
    let spread = if longest >= 128 { 32 } else { 8 };
    let group = Group::Lanes(trips);
    let blocks = threads.as_const().map(|n| n / ACROSS);
    let chunks = if in_chunks(thread, &sums) { chunks(blocks, longest, spread) } else { 1 };
    let phase = if chunks > 1 { Phase::Parts } else { Phase::Whole };
    Some(Mapping { group, block: ACROSS * spread, width: 1, spread, chunks, phase, ..thread.clone() })
}

/// Blocks that keep a large device busy.
const BLOCKS: i64 = 132;
/// Terms that a thread should have of a chunk at least.
const TERMS: i64 = 8;

/// How many blocks share the terms of sums that `blocks` blocks would make, each with `terms` terms.
fn chunks(blocks: Option<i64>, terms: i64, spread: i64) -> i64 {
    blocks.map_or(1, |b| (2 * BLOCKS / b.max(1)).min(terms / (spread * TERMS)).clamp(1, 64))
}

/// Whether a kernel can be cut after its sums: one loop makes them, nothing is stored before it, and the rest is
/// little work.
fn in_chunks(mapping: &Mapping, sums: &HashMap<u32, Vec<(u32, ReduceOp)>>) -> bool {
    let serial = |s: &&Stmt| matches!(s, Stmt::For { kind: LoopKind::Serial, .. });
    let stores = |stmts: &[Stmt]| {
        accesses_of(stmts).iter().any(|a| a.write && matches!(a.buffer, BufferRef::Param(_)))
    };
    let Some(at) = mapping.body.iter().position(|s| serial(&s)) else { return false };
    let adds = match &mapping.body[at] {
        Stmt::For { var, .. } => sums.get(&var.0).is_some_and(|s| !s.is_empty()),
        _ => false,
    };
    adds && !stores(&mapping.body[..at]) && mapping.body.iter().filter(serial).count() == 1
}

/// Threads that keep a large device busy.
const FULL: i64 = 132 * 1024;

/// The serial loops of an item that only add to locals, by their variables, and what they add to.
pub(crate) fn shared_sums(kernel: &Kernel, mapping: &Mapping) -> HashMap<u32, Vec<(u32, ReduceOp)>> {
    let mut out = HashMap::new();
    for (n, stmt) in mapping.body.iter().enumerate() {
        if let Stmt::For { var, begin, end, kind: LoopKind::Serial, body } = stmt {
            let (head, before) = ((var.0, begin, end), &mapping.body[..n]);
            if let Some(sums) = order::sums(kernel, before, head, body, &mapping.ranges()) {
                out.insert(var.0, sums);
            }
        }
    }
    out
}

/// What the choice of a group rests on.
struct Facts {
    /// The longest vector loop, where that is known.
    trips: Option<i64>,
    /// A vector loop has an accumulator from outside.
    joins: bool,
    /// Neighbouring items touch neighbouring elements, and lanes do not.
    strided_lanes: bool,
    /// The most iterations of serial loops that only accumulate, where known.
    serial: Option<i64>,
}

/// Items that leave many multiprocessors idle if each is a warp's.
const FEW: i64 = 528;

impl Facts {
    fn of(mapping: &Mapping) -> Facts {
        let mut facts = Facts { trips: Some(0), joins: false, strided_lanes: false, serial: Some(0) };
        let (mut along_lanes, mut along_items) = (0, 0);
        let item = mapping.items.last().map(|l| l.var);
        for_each_loop(&mapping.body, &mut mapping.ranges(), &mut |stmt, ranges| {
            let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = stmt else { return };
            let here = trips(begin, end, ranges);
            facts.trips = facts.trips.zip(here).map(|(a, b)| a.max(b));
            facts.joins |= !outer_accumulators(body).is_empty();
            let inside = defined(body);
            for a in accesses_of(body).iter().filter(|a| matches!(a.buffer, BufferRef::Param(_))) {
                match motion(&a.index, var.0, &inside) {
                    Motion::Unit => along_lanes += 1,
                    Motion::Strided => along_lanes -= 1,
                    Motion::Still | Motion::Free => {}
                }
                if let Some(item) = item {
                    match motion(&a.index, item, &inside) {
                        Motion::Unit => along_items += 1,
                        Motion::Strided | Motion::Free => along_items -= 1,
                        Motion::Still => {}
                    }
                }
            }
        });
        for stmt in &mapping.body {
            if let Stmt::For { begin, end, kind: LoopKind::Serial, body, .. } = stmt
                && order::only_accumulates(body)
            {
                let here = end.sub(begin).as_const();
                facts.serial = facts.serial.zip(here).map(|(a, b)| a.max(b));
            }
        }
        facts.strided_lanes = along_lanes < 0 && along_items > 0;
        facts
    }
}

impl Facts {
    /// Whether sums over several axes are long enough for the warps of a block to share their outer loop.
    fn rows_for_blocks(&self, items: &Expr) -> bool {
        let terms = self.serial.unwrap_or(1024).saturating_mul(self.trips.unwrap_or(1024));
        let few = items.as_const().is_some_and(|n| n < 4 * FEW);
        self.serial.is_none_or(|n| n >= 4) && terms >= if few { 1024 } else { 8192 }
    }
}

/// The accumulators that a vector loop adds to but does not declare.
pub(crate) fn outer_accumulators(body: &[Stmt]) -> Vec<(u32, ReduceOp)> {
    let mut out: Vec<(u32, ReduceOp)> = Vec::new();
    for stmt in body {
        if let Stmt::Accumulate { acc, op, .. } = stmt
            && !out.iter().any(|(a, _)| *a == acc.0)
            && !body.iter().any(|s| matches!(s, Stmt::Acc { acc: own, .. } if own == acc))
        {
            out.push((acc.0, *op));
        }
    }
    out
}
