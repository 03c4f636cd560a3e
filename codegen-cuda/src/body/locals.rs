//! Where the local buffers of an item lie.

use super::{Body, Context, Scratch, Stop};
use crate::access::{Motion, accesses_of, defined, for_each_loop, motion, trips};
use crate::mapping::Group;
use crate::names;
use crate::scalar;
use crate::vector::at_begin;
use ttk_ir::Expr;
use ttk_ir::expr::simplify::simplify;
use ttk_ir::kernel::{BufferRef, LoopKind, Stmt};

/// Where a local buffer lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Each thread holds the elements of its lanes.
    Registers,
    /// An array: of the thread, in shared memory, or in scratch.
    Array,
}

/// Iterations of a vector loop for each thread that are taken apart, so that their elements can be in registers.
pub(crate) const APART: i64 = 16;
/// Bytes of shared memory that the locals of a block may take.
const SHARED: i64 = 40 << 10;
/// Bytes of a thread's own memory that its locals may take.
const OWN: i64 = 8 << 10;

impl Body<'_> {
    /// Decides where each local lies, and declares it.
    pub(super) fn locals(&mut self) -> Result<(), Stop> {
        let mut shared = 0;
        for (l, local) in self.kernel.locals.iter().enumerate() {
            let name = names::buffer(self.kernel, BufferRef::Local(l as u32));
            let c = scalar::memory(local.dtype);
            let size = local.dtype.size() as i64;
            if let Some(n) = self.registers(l as u32) {
                self.code.line(format!("{c} {name}[{n}];"));
                self.places.push(Place::Registers);
                continue;
            }
            self.places.push(Place::Array);
            let len = local.len.as_const();
            match self.mapping.group {
                Group::Thread if len.is_some_and(|n| n * size <= OWN) => {
                    self.code.line(format!("{c} {name}[{}];", len.unwrap_or(1).max(1)));
                    continue;
                }
                Group::Lanes(_) | Group::Tile(_) => return Err(Stop::Exchange),
                Group::Thread | Group::Warp | Group::Block => {}
            }
            let groups = self.mapping.block / self.mapping.lanes();
            let bytes = len.map(|n| n.max(1) * size * groups).filter(|b| shared + b <= SHARED);
            match (self.mapping.group, bytes) {
                (Group::Warp, Some(b)) => {
                    shared += b;
                    let n = b / size / groups;
                    self.code.line(format!("__shared__ {c} {name}_of_warp[{groups}][{n}];"));
                    self.code.line(format!("{c}* const {name} = {name}_of_warp[threadIdx.x / 32];"));
                }
                (Group::Block, Some(b)) => {
                    shared += b;
                    self.code.line(format!("__shared__ {c} {name}[{}];", b / size));
                }
                (Group::Thread | Group::Lanes(_) | Group::Warp | Group::Block | Group::Tile(_), _) => {
                    let each = self.expr(&local.len);
                    self.code
                        .line(format!("{c}* const {name} = {name}_of_item + (long long)item * ({each});"));
                    let len = self.mapping.count().mul(&local.len);
                    self.scratch.push(Scratch { name: format!("{name}_of_item"), dtype: local.dtype, len });
                }
            }
        }
        Ok(())
    }

    pub(super) fn in_registers(&self, buffer: BufferRef) -> bool {
        match buffer {
            BufferRef::Param(_) => false,
            BufferRef::Local(l) => self.places.get(l as usize) == Some(&Place::Registers),
        }
    }

    /// How many registers a thread needs for a local, if none of its elements is used by another thread.
    fn registers(&self, local: u32) -> Option<i64> {
        let me = BufferRef::Local(local);
        let mapping = self.mapping;
        if mapping.group == Group::Thread {
            return None;
        }
        let (mut inside, mut fits, mut key, mut most) = (0, true, None, 1);
        for_each_loop(&mapping.body, &mut mapping.ranges(), &mut |stmt, ranges| {
            let Stmt::For { var, begin, end, kind: LoopKind::Vector, body } = stmt else { return };
            let vals = defined(body);
            for a in accesses_of(body).iter().filter(|a| a.buffer == me) {
                inside += 1;
                let first = simplify(&at_begin(&a.index, var.0, begin), ranges);
                let ours = *key.get_or_insert_with(|| first.clone()) == first;
                let apart = apart(begin, end, ranges, mapping.lanes() * mapping.width);
                fits &= ours
                    && first.as_const().is_some()
                    && motion(&a.index, var.0, &vals) == Motion::Unit
                    && apart.is_some();
                most = most.max(apart.unwrap_or(1));
            }
        });
        let all = accesses_of(&mapping.body).iter().filter(|a| a.buffer == me).count();
        (fits && inside == all).then_some(most * mapping.width)
    }

    /// The place of an element as C.
    pub(super) fn element(&self, buffer: BufferRef, index: &Expr) -> Result<String, Stop> {
        let name = names::buffer(self.kernel, buffer);
        if self.in_registers(buffer) {
            return match &self.context {
                Context::Lane { slot: Some(slot) } => Ok(format!("{name}[{slot}]")),
                Context::Lane { slot: None } | Context::Alone | Context::Group | Context::First => {
                    Err(Stop::Exchange)
                }
            };
        }
        Ok(format!("{name}[{}]", self.expr(index)))
    }
}

/// How many times a thread takes neighbouring iterations of a vector loop, if that is known and small.
/// `at_once` is how many all threads take together.
pub(super) fn apart(
    begin: &Expr,
    end: &Expr,
    ranges: &ttk_ir::expr::range::Ranges,
    at_once: i64,
) -> Option<i64> {
    let n = (trips(begin, end, ranges)? + at_once - 1) / at_once;
    (n <= APART).then_some(n.max(1))
}
