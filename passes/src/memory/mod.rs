//! Where buffers lie: liveness, reuse of donated inputs, and offsets in the arena.

mod donate;

pub(crate) use donate::in_place_pairs;

use crate::lower::LowerOptions;
use ttk_ir::Expr;
use ttk_ir::program::{Buffer, Placement, Program};

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
    let bytes = |b: &Buffer| {
        let size = b.len.scale(b.dtype.size() as i64);
        size.offset(ALIGN - 1).floor_div(&Expr::constant(ALIGN)).scale(ALIGN)
    };
    let sizes: Vec<Expr> = program.buffers.iter().map(bytes).collect();
    order.sort_by_key(|&b| (std::cmp::Reverse(sizes[b].as_const().unwrap_or(-1)), b));
    // What is placed so far, by offset: (span, offset, size).
    let mut placed: Vec<((usize, usize), i64, i64)> = Vec::new();
    let mut top = 0;
    let mut symbolic = Vec::new();
    for b in order {
        let Some(size) = sizes[b].as_const() else {
            symbolic.push(b);
            continue;
        };
        let span = spans[b].unwrap_or((0, usize::MAX));
        // The smallest gap that fits.
        let (mut best, mut end) = (None::<(i64, i64)>, 0);
        for &(_, from, busy) in placed.iter().filter(|(s, _, _)| s.0 <= span.1 && span.0 <= s.1) {
            let gap = from - end;
            if gap >= size && best.is_none_or(|(g, _)| gap < g) {
                best = Some((gap, end));
            }
            end = end.max(from + busy);
        }
        let offset = best.map_or(end, |(_, at)| at);
        let place = placed.partition_point(|&(_, other, _)| other <= offset);
        placed.insert(place, (span, offset, size));
        top = top.max(offset + size);
        program.buffers[b].placement = Placement::Arena { offset: Expr::constant(offset) };
    }
    let mut end = Expr::constant(top);
    for b in symbolic {
        program.buffers[b].placement = Placement::Arena { offset: end.clone() };
        end = end.add(&sizes[b]);
    }
    program.arena = end;
}
