//! Loops that read along one axis and write along another, by square tiles through shared memory.
//!
//! Neighbouring threads read neighbouring elements into the tile, wait, and take them out the other way round,
//! so that both memories are accessed in whole lines.

use super::{Body, Context, Stop};
use crate::access::{Motion, accesses_of, defined, memories, motion, slot};
use crate::mapping::{Group, Mapping, TILE};
use crate::scalar;
use std::collections::HashSet;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, LoopKind, Stmt};
use ttk_ir::{Atom, Expr};

/// Bytes of shared memory that tiles may take.
const SHARED: i64 = 40 << 10;

/// The axis of the items along which some loads of a mapping's one vector loop are contiguous while they are not
/// along its lanes, which everything else is. `None` where there is no such thing.
pub(crate) fn axis(kernel: &Kernel, mapping: &Mapping) -> Option<u32> {
    let (lane, _, _, body) = mapping.lane_loop()?;
    let inside = defined(body);
    let memory = memories(kernel);
    let written: HashSet<usize> =
        accesses_of(body).iter().filter(|a| a.write).map(|a| memory[slot(kernel, a.buffer)]).collect();
    let mut found = None;
    for a in accesses_of(&mapping.body) {
        match (motion(&a.index, lane, &inside), a.write) {
            (Motion::Unit | Motion::Still, _) => {}
            (Motion::Strided, false) if fixed(&a.index) => {
                let unit = |l: &&crate::mapping::ItemLoop| motion(&a.index, l.var, &inside) == Motion::Unit;
                let item = mapping.items.iter().find(unit)?.var;
                let other = written.contains(&memory[slot(kernel, a.buffer)]);
                if other || *found.get_or_insert(item) != item {
                    return None;
                }
            }
            (Motion::Strided | Motion::Free, _) => return None,
        }
    }
    // Tiles of a short side would be mostly empty.
    let item = found?;
    let long = |e: &Expr| e.as_const().is_none_or(|n| n >= TILE / 2);
    let strided =
        accesses_of(body).into_iter().filter(|a| motion(&a.index, lane, &inside) == Motion::Strided);
    let bytes = |a: crate::access::Access| match a.buffer {
        BufferRef::Param(p) => kernel.params[p as usize].dtype.size() as i64 * TILE * (TILE + 1),
        BufferRef::Local(_) => 0,
    };
    if strided.map(bytes).sum::<i64>() > SHARED {
        return None;
    }
    let (_, begin, end, _) = mapping.lane_loop()?;
    let side = mapping.items.iter().find(|l| l.var == item)?;
    (long(&side.length()) && long(&end.sub(begin)) && kernel.locals.is_empty()).then_some(item)
}

/// Whether an expression holds no data.
fn fixed(e: &Expr) -> bool {
    let mut fixed = true;
    e.for_each_leaf(&mut |a| fixed &= !matches!(a, Atom::Value(_)));
    fixed
}

impl Body<'_> {
    /// Prints the item of a [`Group::Tile`]: the prologue has set `item0` and `lane0`, where the tile begins.
    pub(super) fn tile(&mut self, item: u32) -> Result<(), Stop> {
        let mapping = self.mapping;
        debug_assert!(matches!(mapping.group, Group::Tile(_)));
        let side = mapping.items.iter().find(|l| l.var == item).ok_or(Stop::Exchange)?;
        let (lane, begin, end, body) = mapping.lane_loop().ok_or(Stop::Exchange)?;
        let (first, before) = mapping.body.split_last().ok_or(Stop::Exchange)?;
        debug_assert!(matches!(first, Stmt::For { kind: LoopKind::Vector, .. }));
        let inside = defined(body);
        let rows = mapping.block / TILE;
        let c = self.width.c_type();
        self.ranges.push_var(lane, begin, end);
        let (side_end, lane_end) = (self.expr(&side.end), self.expr(end));
        let limits = format!("i{item} < {side_end} && i{lane} < {lane_end}");

        let mut loads = Vec::new();
        for stmt in body {
            if let Stmt::Let { dst, dtype, inst: Inst::Load { buffer, index } } = stmt
                && motion(index, lane, &inside) == Motion::Strided
            {
                let memory = scalar::memory(*dtype);
                // One more column, so that a column lies in different banks.
                self.code.line(format!("__shared__ {memory} tile{}[{TILE}][{}];", dst.0, TILE + 1));
                loads.push((*dst, *buffer, index.clone()));
            }
        }
        self.code.line(format!("const int x = (int)threadIdx.x % {TILE}, y = (int)threadIdx.x / {TILE};"));
        self.code.pragma("unroll");
        self.code.open(format!("for (int r = y; r < {TILE}; r += {rows})"));
        self.code.line(format!("const {c} i{item} = item0 + x, i{lane} = lane0 + r;"));
        self.code.open(format!("if ({limits})"));
        for (dst, buffer, index) in &loads {
            let place = self.element(*buffer, index)?;
            self.code.line(format!("tile{}[r][x] = {place};", dst.0));
            self.staged.insert(dst.0);
        }
        self.code.close();
        self.code.close();
        self.code.line("__syncthreads();");
        self.code.pragma("unroll");
        self.code.open(format!("for (int r = y; r < {TILE}; r += {rows})"));
        self.code.line(format!("const {c} i{item} = item0 + r, i{lane} = lane0 + x;"));
        self.code.open(format!("if ({limits})"));
        self.context = Context::Lane { slot: None };
        self.block_of(before)?;
        self.block_of(body)?;
        self.code.close();
        self.code.close();
        Ok(())
    }

    /// Statements whose values stay known.
    fn block_of(&mut self, stmts: &[Stmt]) -> Result<(), Stop> {
        stmts.iter().try_for_each(|s| self.stmt(s))
    }

    /// Where a staged load is, if it is one.
    pub(super) fn in_tile(&self, dst: u32, buffer: BufferRef) -> Option<String> {
        self.staged
            .contains(&dst)
            .then(|| scalar::from_memory(self.dtype(buffer), &format!("tile{dst}[x][r]")))
    }
}
