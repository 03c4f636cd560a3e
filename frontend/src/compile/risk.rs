//! What a run that fails half-way has written over.

use ttk_ir::kernel::Kernel;
use ttk_ir::program::{Action, BufferId, Operand, Placement, Program};

/// For each input, whether a run may write over it and fail afterwards, or in the same step.
///
/// Such an input must not be given away: what comes after the failure still needs it.
pub(super) fn at_risk(program: &Program) -> Vec<bool> {
    let mut risk = vec![false; program.inputs.len()];
    let checks: Vec<bool> = program.kernels.iter().map(Kernel::can_fail).collect();
    let Some(last) = program.steps.iter().rposition(|step| action_can_fail(&step.action, &checks)) else {
        return risk;
    };
    for step in &program.steps[..=last] {
        let (reads, writes) = step.action.touched(&program.kernels);
        for id in reads.into_iter().chain(writes) {
            if let Some(input) = overwrites(program, id) {
                risk[input] = true;
            }
        }
    }
    risk
}

/// Whether a run may fail for what is in its inputs.
pub(super) fn can_fail(program: &Program) -> bool {
    let checks: Vec<bool> = program.kernels.iter().map(Kernel::can_fail).collect();
    program.steps.iter().any(|step| action_can_fail(&step.action, &checks))
}

/// The input whose memory a buffer takes over.
fn overwrites(program: &Program, id: BufferId) -> Option<usize> {
    let root = program.root(id);
    match program.buffers[root.0 as usize].placement {
        Placement::Input(i) => (root != id).then_some(i as usize),
        Placement::Output | Placement::Arena { .. } | Placement::Reuse(_) => None,
    }
}

fn action_can_fail(action: &Action, checks: &[bool]) -> bool {
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
