//! The statements of a kernel as C, for the threads of a [`Mapping`].

mod lanes;
mod locals;
mod serial;
mod transposed;

use crate::Error;
use crate::access::{Access, accesses_of, memories, slot};
use crate::hazard::{Hazards, Touch, Who};
use crate::index::{self, Width};
use crate::mapping::{Group, Mapping, Phase, outer_accumulators, shared_sums};
use crate::names::{self, Code};
use crate::scalar;
pub(crate) use locals::APART;
use locals::Place;
use std::collections::{BTreeSet, HashMap, HashSet};
pub(crate) use transposed::axis as transposed_axis;
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{AccId, Access as Mode, BufferRef, Inst, Kernel, LoopKind, Stmt, Val};
use ttk_ir::{Atom, DType, Expr, ReduceOp, Scalar, Unary};

/// Why statements cannot be printed for a mapping.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Threads of a group would have to exchange data, which this group cannot.
    Exchange,
    Bad(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Bad(error)
    }
}

/// The printed statements and what they need.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: Code,
    /// They use the parameter `fault`.
    pub(crate) fault: bool,
    /// Memory for each item beside shared memory: name, type, bytes of one element, elements of all items.
    pub(crate) scratch: Vec<Scratch>,
}

/// Memory of a local that does not fit anywhere nearer.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    /// Elements for all items together.
    pub(crate) len: Expr,
}

/// Which threads compute a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Context {
    /// The only thread of its group.
    Alone,
    /// All threads of the group, alike.
    Group,
    /// The first thread of the group only.
    First,
    /// Each thread its own iteration of a vector loop.
    Lane {
        /// The position of the iteration among those of the thread, as C; of none, registers cannot be used.
        slot: Option<String>,
    },
}

struct Acc {
    dtype: DType,
    /// Each thread has a part of it.
    parts: Option<ReduceOp>,
}

pub(crate) struct Body<'a> {
    kernel: &'a Kernel,
    mapping: &'a Mapping,
    width: Width,
    ranges: Ranges,
    code: Code,
    vals: HashMap<u32, (DType, Option<Inst>)>,
    accs: HashMap<u32, Acc>,
    /// Serial loops whose terms the threads of a lane share, and what they add to.
    sums: HashMap<u32, Vec<(u32, ReduceOp)>>,
    /// Inside one of them.
    spread: bool,
    /// Inside a serial loop whose iterations the warps of the block share.
    warps: bool,
    /// Accumulators that vector loops outside their own add to.
    joined: HashMap<u32, ReduceOp>,
    /// The memory of each buffer; see [`memories`].
    memory: Vec<usize>,
    /// Memory that is written.
    written: HashSet<usize>,
    hazards: Hazards,
    /// The variables of serial loops around the statement.
    open: Vec<u32>,
    under: Vec<(u32, bool)>,
    places: Vec<Place>,
    context: Context,
    /// The parts of sums are stored: nothing is left to do.
    done: bool,
    /// Loads whose results are in shared memory.
    staged: HashSet<u32>,
    fault: bool,
    /// Types of which the threads of the block exchange parts of accumulators.
    parts: BTreeSet<&'static str>,
    /// Types of which the threads of a lane exchange parts of sums.
    spread_parts: BTreeSet<&'static str>,
    scratch: Vec<Scratch>,
}

/// Prints what an item computes.
///
/// # Errors
/// [`Stop::Exchange`] when the group of the mapping cannot do it.
pub(crate) fn print(kernel: &Kernel, mapping: &Mapping, width: Width) -> Result<Printed, Stop> {
    let memory = memories(kernel);
    let mut written = HashSet::new();
    for a in accesses_of(&mapping.body).iter().filter(|a| a.write) {
        written.insert(memory[slot(kernel, a.buffer)]);
    }
    let alone = mapping.group == Group::Thread;
    let mut body = Body {
        kernel,
        mapping,
        width,
        ranges: mapping.ranges(),
        code: Code::at(1),
        vals: HashMap::new(),
        accs: HashMap::new(),
        sums: match mapping.group {
            Group::Lanes(_) if mapping.spread > 1 || mapping.phase != Phase::Whole => {
                shared_sums(kernel, mapping)
            }
            Group::Thread | Group::Lanes(_) | Group::Warp | Group::Block | Group::Tile(_) => HashMap::new(),
        },
        spread: false,
        warps: false,
        joined: if alone { HashMap::new() } else { joined(&mapping.body)? },
        memory,
        written,
        hazards: Hazards::default(),
        open: Vec::new(),
        under: Vec::new(),
        places: Vec::new(),
        context: if alone { Context::Alone } else { Context::Group },
        done: false,
        staged: HashSet::new(),
        fault: false,
        parts: BTreeSet::new(),
        spread_parts: BTreeSet::new(),
        scratch: Vec::new(),
    };
    body.locals()?;
    match mapping.group {
        Group::Tile(item) => body.tile(item)?,
        Group::Thread | Group::Lanes(_) | Group::Warp | Group::Block => body.block(&mapping.body)?,
    }
    let mut code = Code::at(1);
    for c in &body.parts {
        code.line(format!("__shared__ {c} {}[{}];", parts_name(c), mapping.block / 32));
    }
    for c in &body.spread_parts {
        let (parts, across) = (mapping.spread, mapping.across());
        code.line(format!("__shared__ {c} {}[{parts}][{across}];", spread_name(c)));
    }
    code.append(&body.code);
    Ok(Printed { code, fault: body.fault, scratch: body.scratch })
}

/// The accumulators that vector loops add to from inside, and how.
fn joined(stmts: &[Stmt]) -> Result<HashMap<u32, ReduceOp>, Stop> {
    fn walk(stmts: &[Stmt], out: &mut HashMap<u32, ReduceOp>) -> Result<(), Stop> {
        for stmt in stmts {
            match stmt {
                Stmt::For { kind: LoopKind::Vector, body, .. } => {
                    for (acc, op) in outer_accumulators(body) {
                        // Parts that are joined in two ways are not parts of one result.
                        if *out.entry(acc).or_insert(op) != op {
                            return Err(Stop::Exchange);
                        }
                    }
                }
                Stmt::For { body, .. } | Stmt::If { body, .. } => walk(body, out)?,
                Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } => {}
                Stmt::Accumulate { .. } | Stmt::Update { .. } => {}
            }
        }
        Ok(())
    }
    /// A serial sum into parts must be of their kind.
    fn check(stmts: &[Stmt], parts: &HashMap<u32, ReduceOp>) -> bool {
        stmts.iter().all(|stmt| match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => check(body, parts),
            Stmt::Accumulate { acc, op, .. } => parts.get(&acc.0).is_none_or(|o| o == op),
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Update { .. } => true,
        })
    }
    let mut out = HashMap::new();
    walk(stmts, &mut out)?;
    if check(stmts, &out) { Ok(out) } else { Err(Stop::Exchange) }
}

impl Body<'_> {
    fn block(&mut self, stmts: &[Stmt]) -> Result<(), Stop> {
        let mark = self.ranges.mark();
        for stmt in stmts {
            // What follows the sums is another function's.
            if !self.done {
                self.stmt(stmt)?;
            }
        }
        self.ranges.reset(mark);
        Ok(())
    }

    fn stmt(&mut self, stmt: &Stmt) -> Result<(), Stop> {
        match stmt {
            Stmt::For { var, begin, end, kind, body } => {
                let mark = self.ranges.mark();
                match kind {
                    LoopKind::Parallel => {
                        return Err(Error::Parallel { kernel: self.kernel.name.clone() }.into());
                    }
                    LoopKind::Vector if self.context == Context::Group => {
                        self.vector_loop(var.0, begin, end, body)?;
                    }
                    LoopKind::Serial | LoopKind::Unroll | LoopKind::Vector => {
                        if *kind == LoopKind::Unroll {
                            self.code.pragma("unroll");
                        }
                        self.serial_loop(var.0, begin, end, body)?;
                    }
                }
                self.ranges.reset(mark);
                Ok(())
            }
            Stmt::Let { dst, dtype, inst } => self.let_(*dst, *dtype, inst),
            Stmt::Store { buffer, index, value } => {
                self.touch(*buffer, index, true)?;
                let place = self.element(*buffer, index)?;
                let text = format!("{place} = {};", self.stored(*buffer, *value)?);
                if self.in_registers(*buffer) {
                    self.code.line(text);
                } else {
                    self.by_first(text);
                }
                Ok(())
            }
            Stmt::Acc { acc, dtype, init } => self.declare(*acc, *dtype, *init),
            Stmt::Accumulate { acc, op, value } => {
                let (dtype, parts) = self.acc(*acc)?;
                let value = self.val(*value)?.0;
                let name = format!("acc{}", acc.0);
                let text = format!("{name} = {};", scalar::binary(op.combine(), dtype, &name, &value));
                // Every thread but the first would add to its part what belongs to the whole once.
                if parts.is_some() && self.context == Context::Group {
                    self.by_first(text);
                } else {
                    self.code.line(text);
                }
                Ok(())
            }
            Stmt::Update { buffer, index, op, value } => {
                if matches!(self.context, Context::Lane { .. }) {
                    return Err(self.in_vector("an update"));
                }
                self.touch(*buffer, index, false)?;
                self.touch(*buffer, index, true)?;
                let place = self.element(*buffer, index)?;
                let dtype = self.dtype(*buffer);
                if self.mapping.phase == Phase::Atomic {
                    let value = self.val(*value)?.0;
                    // Additions of signed numbers wrap as those of unsigned ones do.
                    self.code.line(match dtype {
                        DType::I64 => {
                            format!("atomicAdd((unsigned long long*)&{place}, (unsigned long long){value});")
                        }
                        _ => format!("atomicAdd(&{place}, {value});"),
                    });
                    return Ok(());
                }
                let old = match dtype {
                    DType::Bool => format!("({})", scalar::from_memory(dtype, &place)),
                    _ => scalar::from_memory(dtype, &place),
                };
                let joined = scalar::binary(*op, dtype, &old, &self.val(*value)?.0);
                let value = scalar::to_memory(dtype, &joined);
                self.by_first(format!("{place} = {value};"));
                Ok(())
            }
            Stmt::If { cond, body } => self.condition(*cond, body),
        }
    }

    fn in_vector(&self, what: &'static str) -> Stop {
        Error::InVector { kernel: self.kernel.name.clone(), what }.into()
    }

    fn declare(&mut self, acc: AccId, dtype: DType, init: Scalar) -> Result<(), Stop> {
        let parts = match self.context {
            Context::Group => self.joined.get(&acc.0).copied(),
            Context::Alone | Context::First | Context::Lane { .. } => None,
        };
        let value = match parts {
            Some(op) if op.identity(dtype) != init => {
                let (first, rest) = (scalar::constant(init), scalar::constant(op.identity(dtype)));
                format!("lane == 0 ? {first} : {rest}")
            }
            Some(_) | None => scalar::constant(init),
        };
        self.code.line(format!("{} acc{} = {value};", scalar::register(dtype), acc.0));
        self.accs.insert(acc.0, Acc { dtype, parts });
        Ok(())
    }

    /// A statement that only the first thread of the group does.
    fn by_first(&mut self, text: String) {
        // Of threads that share sums, one stores what all of them know.
        let first_part = if self.one_stores() { " && part == 0" } else { "" };
        match self.context {
            Context::Group => self.code.line(format!("if (lane == 0{first_part}) {text}")),
            Context::Lane { .. } if self.one_stores() => self.code.line(format!("if (part == 0) {text}")),
            Context::Alone | Context::First | Context::Lane { .. } => self.code.line(text),
        }
    }

    /// Whether several threads compute the same lane here.
    fn one_stores(&self) -> bool {
        matches!(self.mapping.group, Group::Lanes(_)) && self.mapping.spread > 1 && !self.spread
    }

    fn let_(&mut self, dst: Val, dtype: DType, inst: &Inst) -> Result<(), Stop> {
        let val = |v: &Val| self.val(*v).map(|(name, _)| name);
        let text = match inst {
            Inst::Const(value) => scalar::constant(*value),
            Inst::Load { buffer, index } => match self.in_tile(dst.0, *buffer) {
                Some(text) => text,
                None => {
                    self.touch(*buffer, index, false)?;
                    let place = self.element(*buffer, index)?;
                    scalar::from_memory(self.dtype(*buffer), &place)
                }
            },
            Inst::Read(acc) => self.read(*acc)?,
            Inst::Index(e) => format!("({})({})", scalar::register(dtype), self.expr(e)),
            Inst::CheckedIndex { value, extent } => {
                let text = format!("tt_checked(fault, {}, {})", val(value)?, self.expr(extent));
                self.fault = true;
                self.ranges.push_value(dst.0, extent);
                text
            }
            Inst::Unary(op, a) => scalar::unary(*op, dtype, &val(a)?),
            Inst::Binary(op, a, b) => scalar::binary(*op, dtype, &val(a)?, &val(b)?),
            Inst::Fma(a, b, c) => scalar::fma(dtype, &val(a)?, &val(b)?, &val(c)?),
            Inst::Cmp(op, a, b) => scalar::cmp(*op, &val(a)?, &val(b)?),
            Inst::Select(c, a, b) => format!("{} ? {} : {}", val(c)?, val(a)?, val(b)?),
            Inst::Cast(a) => scalar::cast(self.val(*a)?.1, dtype, &val(a)?),
            Inst::Bitcast(a) => scalar::bitcast(self.val(*a)?.1, dtype, &val(a)?),
        };
        self.define(dst, dtype, inst, &text);
        Ok(())
    }

    fn define(&mut self, dst: Val, dtype: DType, inst: &Inst, text: &str) {
        self.vals.insert(dst.0, (dtype, Some(inst.clone())));
        // Constants stand where they are used.
        if matches!(inst, Inst::Const(_)) {
            return;
        }
        self.code.line(format!("const {} v{} = {text};", scalar::register(dtype), dst.0));
    }

    /// The whole of an accumulator.
    fn read(&mut self, acc: AccId) -> Result<String, Stop> {
        let (dtype, parts) = self.acc(acc)?;
        let name = format!("acc{}", acc.0);
        let Some(op) = parts else { return Ok(name) };
        let join = scalar::joiner(op, dtype);
        match (self.mapping.group, &self.context) {
            (Group::Warp, Context::Group) => Ok(format!("tt_warp_all<{join}>({name})")),
            (Group::Block, Context::Group) => {
                self.hazards.clear();
                let c = scalar::register(dtype);
                self.parts.insert(c);
                Ok(format!("tt_block_all<{join}, {}>({name}, {})", self.mapping.block, parts_name(c)))
            }
            // Read before the loop; see `vector_loop`.
            (Group::Warp | Group::Block, Context::Lane { .. }) => Ok(format!("all{}", acc.0)),
            (Group::Thread | Group::Lanes(_) | Group::Tile(_), _) | (_, Context::Alone | Context::First) => {
                Err(Stop::Exchange)
            }
        }
    }

    fn condition(&mut self, cond: Val, body: &[Stmt]) -> Result<(), Stop> {
        if matches!(self.context, Context::Lane { .. }) {
            return Err(self.in_vector("a condition"));
        }
        let (name, _) = self.val(cond)?;
        // `not c` holds where `c` fails.
        let key = match self.vals.get(&cond.0) {
            Some((_, Some(Inst::Unary(Unary::Not, c)))) => (c.0, false),
            _ => (cond.0, true),
        };
        let before = self.hazards.clone();
        self.under.push(key);
        self.code.open(format!("if ({name})"));
        self.block(body)?;
        self.code.close();
        self.under.pop();
        self.hazards.join(&before);
        Ok(())
    }

    /// An access outside vector loops: waits for what it must not overtake.
    fn touch(&mut self, buffer: BufferRef, index: &Expr, write: bool) -> Result<(), Stop> {
        // In a vector loop and for one thread that has been done before.
        if self.context != Context::Group {
            return Ok(());
        }
        let who = if write { Who::First } else { Who::All };
        let access = Access { buffer, index: index.clone(), write };
        let touches = self.touch_of(&access, who).into_iter().collect();
        self.wait_for(touches)
    }

    /// What an access means to other threads, if it does.
    fn touch_of(&self, access: &Access, who: Who) -> Option<Touch> {
        let memory = self.memory[slot(self.kernel, access.buffer)];
        if !self.written.contains(&memory) || self.in_registers(access.buffer) {
            return None;
        }
        let stretch = self.at_hand(&access.index).then(|| (access.index.clone(), access.index.clone()));
        Some(Touch { memory, who, write: access.write, stretch, under: self.under.clone() })
    }

    /// Whether an expression has one value in an item.
    fn fixed(&self, e: &Expr) -> bool {
        let mut fixed = true;
        e.for_each_leaf(&mut |a| {
            fixed &= match a {
                Atom::Symbol(_) => true,
                Atom::Var(v) => self.mapping.items.iter().any(|l| l.var == *v),
                Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => false,
            }
        });
        fixed
    }

    /// Whether an expression has one value at this place of an item: that of loops that are open.
    fn at_hand(&self, e: &Expr) -> bool {
        let mut known = true;
        e.for_each_leaf(&mut |a| {
            known &= match a {
                Atom::Symbol(_) => true,
                Atom::Var(v) => self.open.contains(v) || self.mapping.items.iter().any(|l| l.var == *v),
                Atom::Value(_) | Atom::FloorDiv(..) | Atom::Mod(..) | Atom::Clamp(..) => false,
            }
        });
        known
    }

    /// A barrier, if one of the accesses needs it.
    fn wait_for(&mut self, touches: Vec<Touch>) -> Result<(), Stop> {
        if self.hazards.conflict(&touches, &self.ranges) {
            match self.mapping.group {
                Group::Warp => self.code.line("__syncwarp();"),
                Group::Block => self.code.line("__syncthreads();"),
                Group::Thread | Group::Lanes(_) | Group::Tile(_) => return Err(Stop::Exchange),
            }
            self.hazards.clear();
        }
        self.hazards.add(touches);
        Ok(())
    }

    /// A value as an element of a buffer. What is rounded to be stored is rounded once.
    fn stored(&self, buffer: BufferRef, value: Val) -> Result<String, Stop> {
        let dtype = self.dtype(buffer);
        let source = match self.vals.get(&value.0) {
            Some((_, Some(Inst::Cast(from)))) if dtype.compute() != dtype => match self.vals.get(&from.0) {
                Some((DType::F32, _)) => *from,
                _ => value,
            },
            _ => value,
        };
        Ok(scalar::to_memory(dtype, &self.val(source)?.0))
    }

    fn dtype(&self, buffer: BufferRef) -> DType {
        match buffer {
            BufferRef::Param(p) => self.kernel.params[p as usize].dtype,
            BufferRef::Local(l) => self.kernel.locals[l as usize].dtype,
        }
    }

    fn expr(&self, e: &Expr) -> String {
        index::sum(e, self.width, &self.ranges)
    }

    /// The C name and the type of a value.
    fn val(&self, val: Val) -> Result<(String, DType), Stop> {
        match self.vals.get(&val.0) {
            Some((dtype, Some(Inst::Const(value)))) => Ok((scalar::literal(*value), *dtype)),
            Some((dtype, _)) => Ok((format!("v{}", val.0), *dtype)),
            None => Err(self.undefined("value", val.0)),
        }
    }

    fn acc(&self, acc: AccId) -> Result<(DType, Option<ReduceOp>), Stop> {
        self.accs.get(&acc.0).map(|a| (a.dtype, a.parts)).ok_or_else(|| self.undefined("accumulator", acc.0))
    }

    fn undefined(&self, what: &'static str, id: u32) -> Stop {
        Error::Undefined { kernel: self.kernel.name.clone(), what, id }.into()
    }
}

/// The name of the shared memory through which threads join parts of a type.
fn parts_name(c: &str) -> String {
    format!("{}_parts", c.replace(' ', "_"))
}

/// The name of the shared memory through which the threads of a lane join sums of a type.
fn spread_name(c: &str) -> String {
    format!("{}_sums", c.replace(' ', "_"))
}

/// Whether a parameter is declared as read only.
pub(crate) fn is_const(kernel: &Kernel, p: u32) -> bool {
    kernel.params[p as usize].access == Mode::Read
}
