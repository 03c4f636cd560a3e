//! Which threads compute an iteration of a kernel's parallel loop.

use crate::access::{Motion, accesses_of, defined, for_each_loop, has_vector_loop, motion, trips};
use crate::vector;
use ttk_ir::Expr;
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Kernel, LoopKind, Stmt};

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
}

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
        }
    }

    /// Blocks of a launch.
    pub(crate) fn grid(&self) -> Expr {
        let threads = self.count().scale(self.lanes());
        threads.offset(self.block - 1).floor_div(&Expr::constant(self.block))
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
const MEASURED: i64 = 128;

/// Ways to map a kernel, the best first. The first that needs no barrier it cannot have is taken; the last
/// one, a thread for each item, needs none.
pub(crate) fn candidates(kernel: &Kernel) -> Vec<Mapping> {
    let (items, body) = match kernel.parallel_loop() {
        Some((var, begin, end, body)) => {
            let item = ItemLoop { var: var.0, begin: begin.clone(), end: end.clone() };
            (vec![item], body.to_vec())
        }
        None => (Vec::new(), kernel.body.clone()),
    };
    let thread = Mapping { items, body, group: Group::Thread, block: 128, width: 1 };
    if !has_vector_loop(&thread.body) {
        return vec![thread];
    }
    let facts = Facts::of(&thread);
    let width = vector::width(kernel, &thread);
    let with = |group, block, width| Mapping { group, block, width, ..thread.clone() };
    let mut out = Vec::new();
    let rows = if facts.joins {
        match facts.trips {
            Some(t) if t <= SHORT => return vec![thread],
            // A warp's lanes are all at work before they take several elements.
            Some(t) if t <= 1024 => with(Group::Warp, 128, vector::narrowed(width, t / 32)),
            Some(t) if t <= 4096 => with(Group::Block, 256, width),
            Some(t) if t <= 16384 => with(Group::Block, 512, width),
            Some(_) => with(Group::Block, 1024, width),
            None => with(Group::Block, BLOCK, width),
        }
    } else {
        if facts.strided_lanes {
            out.push(with(Group::Thread, BLOCK, 1));
        }
        let vectors = facts.trips.map(|t| (t + width - 1) / width);
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

/// What the choice of a group rests on.
struct Facts {
    /// The longest vector loop, where that is known.
    trips: Option<i64>,
    /// A vector loop has an accumulator from outside.
    joins: bool,
    /// Neighbouring items touch neighbouring elements, and lanes do not.
    strided_lanes: bool,
}

impl Facts {
    fn of(mapping: &Mapping) -> Facts {
        let mut facts = Facts { trips: Some(0), joins: false, strided_lanes: false };
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
        facts.strided_lanes = along_lanes < 0 && along_items > 0;
        facts
    }
}

/// The accumulators that a vector loop adds to but does not declare.
pub(crate) fn outer_accumulators(body: &[Stmt]) -> Vec<(u32, ttk_ir::ReduceOp)> {
    let mut out: Vec<(u32, ttk_ir::ReduceOp)> = Vec::new();
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
