//! Where buffers lie: liveness, reuse of donated inputs, and offsets in the arena.

mod donate;

pub(crate) use donate::in_place_pairs;

use crate::lower::LowerOptions;
use ttk_ir::Expr;
use ttk_ir::program::{Placement, Program};

/// Every arena offset is a multiple of this many bytes.
pub(crate) const ALIGN: i64 = 64;

/// Places every buffer of the arena.
pub(crate) fn assign(program: &mut Program, options: &LowerOptions) {
    donate::donate(program, options);
    let mut spans: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    for (i, step) in program.steps.iter().enumerate() {
        let (reads, writes) = step.action.touched(&program.kernels);
        for b in reads.iter().chain(&writes) {
            let span = spans[program.root(*b).0 as usize].get_or_insert((i, i));
            span.1 = i;
        }
    }
    // Numbers first, by best fit over lifetimes; symbolic sizes follow one after another.
    let mut order: Vec<usize> = (0..program.buffers.len())
        .filter(|&b| matches!(program.buffers[b].placement, Placement::Arena { .. }))
        .collect();
    let bytes = |program: &Program, b: usize| {
        let buffer = &program.buffers[b];
        let size = buffer.len.scale(buffer.dtype.size() as i64);
        size.offset(ALIGN - 1).floor_div(&Expr::constant(ALIGN)).scale(ALIGN)
    };
    order.sort_by_cached_key(|&b| (std::cmp::Reverse(bytes(program, b).as_const().unwrap_or(-1)), b));
    // What is placed so far: (span, offset, size).
    let mut placed: Vec<((usize, usize), i64, i64)> = Vec::new();
    let mut top = 0;
    let mut symbolic = Vec::new();
    for b in order {
        let Some(size) = bytes(program, b).as_const() else {
            symbolic.push(b);
            continue;
        };
        let span = spans[b].unwrap_or((0, usize::MAX));
        let mut busy: Vec<(i64, i64)> = placed
            .iter()
            .filter(|(s, _, _)| s.0 <= span.1 && span.0 <= s.1)
            .map(|&(_, offset, size)| (offset, offset + size))
            .collect();
        busy.sort();
        // The smallest gap that fits.
        let (mut best, mut end) = (None::<(i64, i64)>, 0);
        for (from, to) in busy {
            let gap = from - end;
            if gap >= size && best.is_none_or(|(g, _)| gap < g) {
                best = Some((gap, end));
            }
            end = end.max(to);
        }
        let offset = best.map_or(end, |(_, at)| at);
        placed.push((span, offset, size));
        top = top.max(offset + size);
        program.buffers[b].placement = Placement::Arena { offset: Expr::constant(offset) };
    }
    let mut end = Expr::constant(top);
    for b in symbolic {
        program.buffers[b].placement = Placement::Arena { offset: end.clone() };
        end = end.add(&bytes(program, b));
    }
    program.arena = end;
}
