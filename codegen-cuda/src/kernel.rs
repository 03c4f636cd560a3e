//! A kernel of the IR as a function of CUDA C.

use crate::Error;
use crate::access::for_each_loop;
use crate::body::{self, Printed, Stop};
use crate::cost::{Cost, cost};
use crate::index::{self, Width, fits};
use crate::keep::keep;
use crate::mapping::{Group, Mapping, Phase, TILE, candidates};
use crate::names::{self, Code, NAME, places};
use crate::scalar;
use crate::scatter::{Scatter, scatter};
use crate::split::split;
use std::collections::HashSet;
use ttk_ir::expr::range::Ranges;
use ttk_ir::kernel::{BufferRef, Inst, Kernel, Stmt};
use ttk_ir::{Atom, DType, Expr};

/// A printed function and how it is launched. Expressions are over the kernel's symbols.
#[derive(Debug)]
pub(crate) struct Function {
    /// What it would be called.
    pub(crate) name: String,
    /// Comments and the definition, under the name [`NAME`].
    pub(crate) text: String,
    pub(crate) block: u32,
    pub(crate) grid: Expr,
    /// The symbols that are its arguments, after the buffers.
    pub(crate) symbols: Vec<u32>,
    /// Scratch that it needs, in bytes; the arguments after the symbols.
    pub(crate) scratch: Vec<Expr>,
    /// Its last argument is the fault.
    pub(crate) fault: bool,
    /// What a launch costs, where that does not depend on data.
    pub(crate) cost: Option<Cost>,
}

/// Prints a kernel: one function, or several that are launched one after the other with the same arguments.
pub(crate) fn print(kernel: &Kernel, atomics: bool) -> Result<Vec<Function>, Error> {
    let parts = split(kernel).into_iter().map(|part| print_part(&part, atomics));
    Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// Prints a kernel by the best mapping that fits: one function, or two.
fn print_part(kernel: &Kernel, atomics: bool) -> Result<Vec<Function>, Error> {
    if let Some(Scatter { start, additions }) = scatter(kernel).filter(|_| atomics) {
        let mut out = match &start {
            Some(start) => print_part(start, false)?,
            None => Vec::new(),
        };
        let width = width(kernel, &additions);
        match body::print(kernel, &additions, width) {
            Ok(printed) => {
                let name = format!("{}_additions", kernel.name);
                out.push(function(kernel, name, &additions, width, printed));
                return Ok(out);
            }
            Err(Stop::Exchange) => {}
            Err(Stop::Bad(error)) => return Err(error),
        }
    }
    for mapping in candidates(kernel) {
        if let Some((kernel, mapping)) = keep(kernel, &mapping) {
            let width = width(&kernel, &mapping);
            match body::print(&kernel, &mapping, width) {
                Ok(printed) => {
                    let bounds = Bounds { block: mapping.block, resident: KEEPING / mapping.block };
                    let name = kernel.name.clone();
                    return Ok(vec![function_within(&kernel, name, &mapping, width, printed, bounds)]);
                }
                Err(Stop::Exchange) => {}
                Err(Stop::Bad(error)) => return Err(error),
            }
        }
        let width = width(kernel, &mapping);
        match body::print(kernel, &mapping, width) {
            Ok(printed) if mapping.phase == Phase::Whole => {
                return Ok(vec![function(kernel, kernel.name.clone(), &mapping, width, printed)]);
            }
            Ok(printed) => {
                let parts = format!("{}_parts", kernel.name);
                let parts = function(kernel, parts, &mapping, width, printed);
                let mapping = mapping.joining();
                match body::print(kernel, &mapping, width) {
                    Ok(printed) => {
                        let joined = function(kernel, kernel.name.clone(), &mapping, width, printed);
                        return Ok(vec![parts, joined]);
                    }
                    Err(Stop::Exchange) => {}
                    Err(Stop::Bad(error)) => return Err(error),
                }
            }
            Err(Stop::Exchange) => {}
            Err(Stop::Bad(error)) => return Err(error),
        }
    }
    // A thread for each item exchanges nothing, so that the last candidate has been printed.
    Err(Error::Mapping { kernel: kernel.name.clone() })
}

/// Threads that a multiprocessor must have room for when they keep rows: 64 registers are left to each of them.
const KEEPING: i64 = 1024;

/// What `__launch_bounds__` says.
#[derive(Clone, Copy)]
struct Bounds {
    block: i64,
    /// Blocks that a multiprocessor must have room for at once. It is always said: else the compiler aims for a
    /// number of its own, and rather puts a value on the stack than take a register more than that has.
    resident: i64,
}

impl std::fmt::Display for Bounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {}", self.block, self.resident.max(1))
    }
}

fn function(kernel: &Kernel, name: String, mapping: &Mapping, width: Width, printed: Printed) -> Function {
    let bounds = Bounds { block: mapping.block, resident: 1 };
    function_within(kernel, name, mapping, width, printed, bounds)
}

fn function_within(
    kernel: &Kernel,
    name: String,
    mapping: &Mapping,
    width: Width,
    printed: Printed,
    bounds: Bounds,
) -> Function {
    let symbols = symbols(kernel, mapping);
    let mut code = Code::default();
    let lines = places(&kernel.locs);
    let from = if lines.is_empty() { String::new() } else { format!(", from {lines}") };
    code.line(format!("// {}{from}: {}.", kernel.name, shape(mapping)));
    let mut params: Vec<String> = (0..kernel.params.len() as u32).map(|p| parameter(kernel, p)).collect();
    params.extend(symbols.iter().map(|s| format!("long long s{s}")));
    params.extend(
        printed.scratch.iter().map(|s| format!("{}* __restrict__ {}", scalar::memory(s.dtype), s.name)),
    );
    if printed.fault {
        params.push("long long* fault".to_string());
    }
    code.open(format!(
        "extern \"C\" __global__ void __launch_bounds__({bounds}) {NAME}({})",
        params.join(", ")
    ));
    prologue(&mut code, mapping, width);
    code.append(&printed.code);
    code.close();
    code.line(format!("TT_KERNEL({NAME})"));
    let bytes = |s: &body::Scratch| {
        let size = s.dtype.size() as i64;
        s.len.scale(size).offset(15).floor_div(&Expr::constant(16)).scale(16)
    };
    Function {
        name,
        text: code.text,
        block: mapping.block as u32,
        grid: mapping.grid(),
        symbols,
        scratch: printed.scratch.iter().map(bytes).collect(),
        fault: printed.fault,
        cost: if mapping.phase == Phase::Join { None } else { cost(kernel, mapping) },
    }
}

/// How items and threads meet, in words.
fn shape(mapping: &Mapping) -> String {
    let items = mapping.count();
    let items = if items.is_one() { "one item".to_string() } else { format!("{items} items") };
    let group = match mapping.group {
        Group::Thread => "a thread each".to_string(),
        Group::Lanes(1) => "a thread each".to_string(),
        Group::Lanes(n) => format!("{n} threads each"),
        Group::Warp => "a warp each".to_string(),
        Group::Block => "a block each".to_string(),
        Group::Tile(_) => format!("a block for tiles of {TILE} by {TILE}"),
    };
    let group = if mapping.spread > 1 && matches!(mapping.group, Group::Lanes(_)) {
        format!("{group} and {} for the sums of each", mapping.spread)
    } else {
        group
    };
    let width =
        if mapping.width > 1 { format!(", {} elements at once", mapping.width) } else { String::new() };
    let phase = match mapping.phase {
        Phase::Whole => String::new(),
        Phase::Atomic => ", additions in any order".to_string(),
        Phase::Parts => format!(", sums in {} chunks", mapping.chunks),
        Phase::Join => format!(", sums of {} chunks", mapping.chunks),
    };
    format!("{items}, {group}{width}{phase}")
}

fn parameter(kernel: &Kernel, p: u32) -> String {
    let constant = if body::is_const(kernel, p) { "const " } else { "" };
    // What may be the same memory as another parameter must not promise that it is not.
    let shared = kernel.aliases.iter().any(|&(a, b)| a == p || b == p);
    let restrict = if shared { "" } else { " __restrict__" };
    let c = scalar::memory(kernel.params[p as usize].dtype);
    format!("{constant}{c}*{restrict} {}", names::buffer(kernel, BufferRef::Param(p)))
}

/// Which item this thread has, and which lane of it.
fn prologue(code: &mut Code, mapping: &Mapping, width: Width) {
    let ranges = Ranges::new();
    if let Group::Tile(item) = mapping.group {
        return tile_prologue(code, mapping, width, item);
    }
    let c = width.c_type();
    let count = mapping.count();
    let (block, lanes) = (mapping.block, mapping.lanes());
    let wide = if width == Width::Bits64 { "(long long)" } else { "(int)" };
    let threads = count.scale(lanes);
    // Where threads of a block wait for each other none may leave; the mapping sees to it that none is over.
    let whole = mapping.spread > 1 || threads.as_const().is_some_and(|n| n % block == 0);
    match mapping.group {
        Group::Thread => {
            code.line(format!("const {c} item = {wide}blockIdx.x * {block} + (int)threadIdx.x;"));
        }
        Group::Lanes(n) => {
            let across = mapping.across();
            if mapping.spread > 1 {
                let mut block = format!("{wide}blockIdx.x");
                if mapping.phase == Phase::Parts {
                    let blocks = index::operand(&mapping.blocks_of_chunk(), width, &ranges);
                    code.line(format!("const {c} chunk = {wide}blockIdx.x / {blocks};"));
                    block = format!("{wide}blockIdx.x % {blocks}");
                }
                code.line(format!("const {c} thread = {block} * {across} + (int)threadIdx.x % {across};"));
                code.line(format!("const int part = (int)threadIdx.x / {across};"));
            } else {
                code.line(format!("const {c} thread = {wide}blockIdx.x * {block} + (int)threadIdx.x;"));
            }
            if n > 1 {
                code.line(format!("const {c} item = thread / {n};"));
                code.line(format!("const int lane = (int)(thread % {n});"));
            } else {
                code.line(format!("const {c} item = thread;"));
                code.line("const int lane = 0;");
            }
        }
        Group::Warp => {
            code.line(format!("const {c} item = {wide}blockIdx.x * {} + (int)threadIdx.x / 32;", block / 32));
            code.line("const int lane = (int)threadIdx.x % 32;");
        }
        Group::Tile(_) => {}
        Group::Block => {
            code.line(format!("const {c} item = {wide}blockIdx.x;"));
            code.line("const int lane = (int)threadIdx.x;");
        }
    }
    if !(whole || mapping.group == Group::Block) {
        code.line(format!("if (item >= {}) return;", index::sum(&count, width, &ranges)));
    }
    // The innermost loop of the items changes fastest.
    let mut rest = "item".to_string();
    for (n, l) in mapping.items.iter().enumerate().rev() {
        let length = index::operand(&l.length(), width, &ranges);
        let at = if n == 0 { rest.clone() } else { format!("{rest} % {length}") };
        let begin = index::sum(&l.begin, width, &ranges);
        let begin = if l.begin.is_zero() { String::new() } else { format!("{begin} + ") };
        code.line(format!("const {c} i{} = {begin}{at};", l.var));
        rest = format!("{rest} / {length}");
    }
}

/// Where the tile of this block begins, along the lanes and along one of the items' loops; and the other ones.
fn tile_prologue(code: &mut Code, mapping: &Mapping, width: Width, item: u32) {
    let ranges = Ranges::new();
    let (along, lanes, _) = mapping.tiles(item);
    let c = width.c_type();
    let begin = |e: &Expr| {
        if e.is_zero() { String::new() } else { format!("{} + ", index::sum(e, width, &ranges)) }
    };
    code.line(format!("const {c} block = ({c})blockIdx.x;"));
    let (lanes, along) = (index::operand(&lanes, width, &ranges), index::operand(&along, width, &ranges));
    if let Some((_, first, _, _)) = mapping.lane_loop() {
        code.line(format!("const {c} lane0 = {}block % {lanes} * {TILE};", begin(first)));
    }
    let mut rest = format!("block / {lanes} / {along}");
    for l in mapping.items.iter().rev() {
        if l.var == item {
            code.line(format!("const {c} item0 = {}block / {lanes} % {along} * {TILE};", begin(&l.begin)));
            continue;
        }
        let length = index::operand(&l.length(), width, &ranges);
        code.line(format!("const {c} i{} = {}{rest} % {length};", l.var, begin(&l.begin)));
        rest = format!("{rest} / {length}");
    }
}

/// Symbols that a kernel mentions and that are not known.
fn symbols(kernel: &Kernel, mapping: &Mapping) -> Vec<u32> {
    let mut found = HashSet::new();
    let mut visit = |e: &Expr| {
        e.for_each_leaf(&mut |a| {
            if let Atom::Symbol(s) = a {
                found.insert(*s);
            }
        });
    };
    for l in &mapping.items {
        visit(&l.begin);
        visit(&l.end);
    }
    kernel.locals.iter().for_each(|l| visit(&l.len));
    expressions(&mapping.body, &mut visit);
    let mut found: Vec<u32> = found.into_iter().collect();
    found.sort_unstable();
    found
}

/// Calls `f` on the expressions of statements.
fn expressions(stmts: &[Stmt], f: &mut dyn FnMut(&Expr)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { begin, end, body, .. } => {
                f(begin);
                f(end);
                expressions(body, f);
            }
            Stmt::If { body, .. } => expressions(body, f),
            Stmt::Store { index, .. } | Stmt::Update { index, .. } => f(index),
            Stmt::Let { inst, .. } => match inst {
                Inst::Load { index: e, .. } | Inst::Index(e) | Inst::CheckedIndex { extent: e, .. } => f(e),
                Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) => {}
                Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => {}
            },
            Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}

/// 32 bits, if all expressions are known to fit.
fn width(kernel: &Kernel, mapping: &Mapping) -> Width {
    let mut ranges = mapping.ranges();
    let threads = mapping.count().scale(mapping.lanes());
    let mut ok = fits(&threads, &ranges) && kernel.locals.iter().all(|l| fits(&l.len, &ranges));
    ok &= mapping.items.iter().all(|l| fits(&l.begin, &ranges) && fits(&l.end, &ranges));
    ok &= all_fit(&mapping.body, &mut ranges);
    for_each_loop(&mapping.body, &mut mapping.ranges(), &mut |stmt, ranges| {
        if let Stmt::For { begin, end, .. } = stmt {
            ok &= fits(begin, ranges) && fits(end, ranges);
        }
    });
    if ok { Width::Bits32 } else { Width::Bits64 }
}

fn all_fit(stmts: &[Stmt], ranges: &mut Ranges) -> bool {
    stmts.iter().all(|stmt| match stmt {
        Stmt::For { var, begin, end, body, .. } => {
            let mark = ranges.mark();
            ranges.push_var(var.0, begin, end);
            let ok = all_fit(body, ranges);
            ranges.reset(mark);
            ok
        }
        Stmt::If { body, .. } => all_fit(body, ranges),
        Stmt::Store { index, .. } | Stmt::Update { index, .. } => fits(index, ranges),
        Stmt::Let { dst, inst, .. } => match inst {
            Inst::Load { index: e, .. } | Inst::Index(e) => fits(e, ranges),
            Inst::CheckedIndex { extent, .. } => {
                ranges.push_value(dst.0, extent);
                fits(extent, ranges)
            }
            Inst::Const(_) | Inst::Read(_) | Inst::Unary(..) | Inst::Binary(..) => true,
            Inst::Fma(..) | Inst::Cmp(..) | Inst::Select(..) | Inst::Cast(_) | Inst::Bitcast(_) => true,
        },
        Stmt::Acc { .. } | Stmt::Accumulate { .. } => true,
    })
}

/// The bytes of an element.
pub(crate) fn size(dtype: DType) -> i64 {
    dtype.size() as i64
}
