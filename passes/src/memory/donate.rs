//! Results that take over memory that is read for the last time where they are written.
//!
//! An optimizer's update reads a weight and writes the new one: when the caller gives the old one away, the
//! new one may lie in its place, and the step touches half the memory.

use crate::lower::LowerOptions;
use ttk_ir::Expr;
use ttk_ir::kernel::{Access, BufferRef, Inst, Kernel, Stmt};
use ttk_ir::program::{Action, BufferId, Placement, Program};

/// Lets buffers reuse those that a launch reads for the last time, where the kernel allows it, or a copy, which is then
/// left out.
pub(super) fn donate(program: &mut Program, options: &LowerOptions) {
    let may: Vec<Vec<(u32, u32)>> = program.kernels.iter().map(in_place_pairs).collect();
    // The last step that touches each buffer, or memory that lies in it.
    let mut last: Vec<usize> = vec![0; program.buffers.len()];
    for (i, step) in program.steps.iter().enumerate() {
        let (reads, writes) = step.action.touched(&program.kernels);
        reads.iter().chain(&writes).for_each(|b| last[b.0 as usize] = i);
    }
    for output in &program.outputs {
        last[output.buffer.0 as usize] = usize::MAX;
    }
    for i in 0..program.steps.len() {
        match &program.steps[i].action {
            Action::Launch { kernel, buffers, .. } => {
                let (kernel, buffers) = (*kernel as usize, buffers.clone());
                for &(read, written) in &may[kernel] {
                    let (from, to) = (buffers[read as usize], buffers[written as usize]);
                    let root = program.root(from);
                    let alone = buffers.iter().filter(|&&b| program.root(b) == root).count() == 1;
                    if alone && last[root.0 as usize] == i && given(program, options, root, to, false) {
                        reuse(program, &mut last, root, to);
                        let aliases = &mut program.kernels[kernel].aliases;
                        if !aliases.contains(&(read, written)) {
                            aliases.push((read, written));
                        }
                    }
                }
            }
            Action::Copy { input, output } => {
                let (root, to) = (program.root(*input), *output);
                // What is copied is updated next, perhaps again, and in the end a result: an input serves for all of it.
                if last[root.0 as usize] == i && given(program, options, root, to, true) {
                    reuse(program, &mut last, root, to);
                }
            }
            Action::Gemm(_) | Action::Argsort(_) | Action::RandomBits { .. } | Action::Custom { .. } => {}
        }
    }
    let mut steps = std::mem::take(&mut program.steps);
    steps.retain(|step| {
        let Action::Copy { input, output } = &step.action else { return true };
        program.root(*input) != program.root(*output)
    });
    program.steps = steps;
}

/// Whether a buffer may lie where another is that nobody reads after it is written; an input's place is for results, and
/// for others if `inputs_too`.
fn given(program: &Program, options: &LowerOptions, root: BufferId, to: BufferId, inputs_too: bool) -> bool {
    let (a, b) = (&program.buffers[root.0 as usize], &program.buffers[to.0 as usize]);
    let given = match (&a.placement, &b.placement) {
        (Placement::Input(n), Placement::Output | Placement::Arena { .. }) => {
            let wanted = inputs_too || matches!(b.placement, Placement::Output);
            wanted && options.donate.get(*n as usize).copied().unwrap_or(false)
        }
        (Placement::Arena { .. }, Placement::Arena { .. }) => true,
        _ => false,
    };
    given && a.dtype == b.dtype && a.len == b.len && root < to
}

fn reuse(program: &mut Program, last: &mut [usize], root: BufferId, to: BufferId) {
    last[root.0 as usize] = last[to.0 as usize];
    program.buffers[to.0 as usize].placement = Placement::Reuse(root);
}

/// An access: the loops and conditions around it, its index, and its place among the statements.
#[derive(Clone, PartialEq, Debug)]
struct Spot {
    around: Vec<u32>,
    index: Expr,
    at: u32,
}

/// What is done with a parameter.
#[derive(Default)]
struct Uses {
    loads: Vec<Spot>,
    stores: Vec<Spot>,
    /// Written in a way that depends on what is there.
    updated: bool,
}

/// The pairs of a read and a written parameter that may be one memory: each element is read, in the one
/// place where the parameter is read, just before it is written. A kernel writes each element of a result
/// once, so no other iteration can miss what was there.
pub(crate) fn in_place_pairs(kernel: &Kernel) -> Vec<(u32, u32)> {
    let mut uses: Vec<Uses> = kernel.params.iter().map(|_| Uses::default()).collect();
    let mut around = Vec::new();
    walk(&kernel.body, &mut around, &mut 0, &mut uses);
    let mut out = Vec::new();
    for (w, written) in kernel.params.iter().enumerate().filter(|(_, p)| p.access == Access::Write) {
        let [store] = uses[w].stores.as_slice() else { continue };
        if uses[w].updated || !uses[w].loads.is_empty() {
            continue;
        }
        for (r, read) in kernel.params.iter().enumerate().filter(|(_, p)| p.access == Access::Read) {
            let same = |l: &Spot| l.around == store.around && l.index == store.index && l.at < store.at;
            let loads = &uses[r].loads;
            if read.dtype == written.dtype && !loads.is_empty() && loads.iter().all(same) {
                out.push((r as u32, w as u32));
            }
        }
    }
    out
}

fn walk(stmts: &[Stmt], around: &mut Vec<u32>, at: &mut u32, uses: &mut [Uses]) {
    for stmt in stmts {
        *at += 1;
        match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => {
                around.push(*at);
                walk(body, around, at, uses);
                around.pop();
            }
            Stmt::Let { inst: Inst::Load { buffer: BufferRef::Param(p), index }, .. } => {
                let spot = Spot { around: around.clone(), index: index.clone(), at: *at };
                uses[*p as usize].loads.push(spot);
            }
            Stmt::Store { buffer: BufferRef::Param(p), index, .. } => {
                let spot = Spot { around: around.clone(), index: index.clone(), at: *at };
                uses[*p as usize].stores.push(spot);
            }
            Stmt::Update { buffer: BufferRef::Param(p), .. } => uses[*p as usize].updated = true,
            Stmt::Let { .. } | Stmt::Store { .. } | Stmt::Update { .. } => {}
            Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}
