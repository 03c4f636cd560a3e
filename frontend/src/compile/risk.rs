//! What a run that fails half-way has written over.

use ttk_ir::kernel::{Inst, Stmt};
use ttk_ir::program::{Action, BufferId, Operand, Placement, Program};

/// For each input, whether a run may write over it and fail afterwards, or in the same step.
///
/// Such an input must not be given away: what comes after the failure still needs it.
pub(super) fn at_risk(program: &Program) -> Vec<bool> {
    let mut risk = vec![false; program.inputs.len()];
    let checks: Vec<bool> = program.kernels.iter().map(|k| has_check(&k.body)).collect();
    let Some(last) = program.steps.iter().rposition(|step| can_fail(&step.action, &checks)) else {
        return risk;
    };
    for step in &program.steps[..=last] {
        for id in buffers(&step.action) {
            if let Some(input) = overwrites(program, id) {
                risk[input] = true;
            }
        }
    }
    risk
}

/// The input whose memory a buffer takes over.
fn overwrites(program: &Program, id: BufferId) -> Option<usize> {
    let mut at = id;
    // A chain of reuse has no cycle, and is no longer than there are buffers.
    for _ in 0..program.buffers.len() {
        match program.buffers[at.0 as usize].placement {
            Placement::Reuse(other) => at = other,
            Placement::Input(i) => return (at != id).then_some(i as usize),
            Placement::Output | Placement::Arena { .. } => return None,
        }
    }
    None
}

fn can_fail(action: &Action, checks: &[bool]) -> bool {
    match action {
        Action::Launch { kernel, .. } => checks[*kernel as usize],
        Action::Gemm(g) => {
            let packed = |o: &Operand| match o {
                Operand::Packed { kernel, .. } => checks[*kernel as usize],
                Operand::Strided(_) => false,
            };
            packed(&g.a) || packed(&g.b) || g.epilogue.as_ref().is_some_and(|e| checks[e.kernel as usize])
        }
        Action::Custom { .. } => true,
        Action::Argsort(_) | Action::RandomBits { .. } | Action::Copy { .. } => false,
    }
}

fn has_check(body: &[Stmt]) -> bool {
    body.iter().any(|stmt| match stmt {
        Stmt::For { body, .. } | Stmt::If { body, .. } => has_check(body),
        Stmt::Let { inst, .. } => matches!(inst, Inst::CheckedIndex { .. }),
        Stmt::Store { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } | Stmt::Update { .. } => false,
    })
}

fn buffers(action: &Action) -> Vec<BufferId> {
    match action {
        Action::Launch { buffers, .. } => buffers.clone(),
        Action::Gemm(g) => {
            let mut found = vec![g.c.buffer];
            for operand in [&g.a, &g.b] {
                match operand {
                    Operand::Strided(m) => found.push(m.buffer),
                    Operand::Packed { buffers, .. } => found.extend(buffers),
                }
            }
            found.extend(g.epilogue.iter().flat_map(|e| &e.buffers));
            found
        }
        Action::Argsort(s) => vec![s.input, s.output],
        Action::RandomBits { state, output, .. } => vec![*state, *output],
        Action::Copy { input, output } => vec![*input, *output],
        Action::Custom { inputs, output, .. } => inputs.iter().map(|(id, _)| *id).chain([output.0]).collect(),
    }
}
