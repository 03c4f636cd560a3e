//! Statements of a vector loop that have no vector form, run lane by lane between vector code.
//!
//! What they need from vectors is put into the frame first, and what they make is read back from there.

use super::analysis::{Plan, values_used};
use super::value::{Kind, V};
use super::{Binding, Gen, Result};
use cranelift_codegen::ir::{InstBuilder, types};
use rustc_hash::FxHashSet;
use ttk_ir::kernel::{Stmt, Val, VarId};

impl<'a> Gen<'a> {
    /// Runs statements `from..to` of the body for each lane.
    pub(super) fn serial_run(&mut self, var: VarId, from: usize, to: usize, plan: &Plan<'a>) -> Result<()> {
        let run = with_deferred(from, to, plan);
        let made_here: FxHashSet<Val> = run
            .iter()
            .filter_map(|s| match s {
                Stmt::Let { dst, .. } => Some(*dst),
                _ => None,
            })
            .collect();
        let mut inputs: Vec<(Val, Kind, i32)> = Vec::new();
        for v in run.iter().flat_map(|s| values_used(s)) {
            let known = made_here.contains(&v) || inputs.iter().any(|(i, ..)| *i == v);
            if plan.varying.contains(&v) && !known {
                let (value, _) = self.val(v)?;
                let at = self.frame_vector(value.kind);
                let address = self.frame_address(at);
                self.store_frame(value, address, 0);
                inputs.push((v, value.kind, at));
            }
        }
        let mut outputs: Vec<(Val, Kind, i32)> = Vec::new();
        for k in (from..to).filter(|&k| !plan.deferred[k]) {
            let Stmt::Let { dst, dtype, .. } = plan.body[k] else { continue };
            if plan.users_of(*dst).iter().any(|&u| u >= to) {
                let kind = match Kind::of(*dtype) {
                    Kind::Bool => Kind::Mask32,
                    other => other,
                };
                outputs.push((*dst, kind, self.frame_vector(kind)));
            }
        }

        let Some(lanes) = self.lanes.take() else { return Ok(()) };
        let old_var = self.vars[var.0 as usize];
        let first = self.var_value(var)?;
        let zero = self.b.ins().iconst(types::I64, 0);
        let count = match &lanes.masked {
            Some(masked) => masked.count,
            None => {
                let all = i64::from(lanes.count * self.scale());
                self.b.ins().iconst(types::I64, all)
            }
        };
        let nonnegative = old_var.is_some_and(|v| v.nonnegative);
        self.counted(zero, count, 1, true, |g, lane| {
            let i = g.b.ins().iadd(first, lane);
            g.bind_var(var, Binding::Value(i), nonnegative);
            for &(v, kind, at) in &inputs {
                let scalar = g.lane_of(kind, at, lane);
                g.vals[v.0 as usize].scalar = Some(scalar);
                g.vals[v.0 as usize].depth = g.depth;
            }
            run.iter().try_for_each(|&s| g.stmt(s))?;
            for &(v, kind, at) in &outputs {
                if let Some(scalar) = g.vals[v.0 as usize].scalar {
                    let address = g.frame_address(at);
                    let offset = g.b.ins().ishl_imm_u(lane, i64::from(kind.size().trailing_zeros()));
                    let address = g.b.ins().iadd(address, offset);
                    g.store_lane(scalar, address, 0);
                }
            }
            Ok(())
        })?;
        self.lanes = Some(lanes);
        self.vars[var.0 as usize] = old_var;
        for (v, kind, at) in outputs {
            let address = self.frame_address(at);
            let vector = self.load_frame(kind, address, 0);
            let bound = &mut self.vals[v.0 as usize];
            (bound.vector, bound.scalar) = (Some(vector), None);
        }
        // The inputs are vectors again to what follows.
        for (v, ..) in inputs {
            self.vals[v.0 as usize].scalar = None;
        }
        Ok(())
    }

    fn lane_of(&mut self, kind: Kind, at: i32, lane: cranelift_codegen::ir::Value) -> V {
        let address = self.frame_address(at);
        let offset = self.b.ins().ishl_imm_u(lane, i64::from(kind.size().trailing_zeros()));
        let address = self.b.ins().iadd(address, offset);
        self.load_lane(kind, address, 0)
    }
}

/// The statements of a run and, before them, the deferred ones they need.
fn with_deferred<'a>(from: usize, to: usize, plan: &Plan<'a>) -> Vec<&'a Stmt> {
    let mut wanted: Vec<usize> = (from..to).filter(|&k| !plan.deferred[k]).collect();
    let mut at = 0;
    while at < wanted.len() {
        for v in values_used(plan.body[wanted[at]]) {
            if let Some(&k) = plan.made_by.get(&v).filter(|k| plan.deferred[**k])
                && !wanted.contains(&k)
            {
                wanted.push(k);
            }
        }
        at += 1;
    }
    wanted.sort_unstable();
    wanted.into_iter().map(|k| plan.body[k]).collect()
}
