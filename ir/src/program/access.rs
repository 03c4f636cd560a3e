//! What the steps of a program read and write, and whose memory a buffer has.

use super::{Action, BufferId, Operand, Placement, Program};
use crate::kernel::{Access, Kernel};

impl Program {
    /// The buffer whose memory this one has in the end; the buffer itself, unless it reuses another's. A
    /// chain of reuse that does not end gives one of its members.
    pub fn root(&self, id: BufferId) -> BufferId {
        let mut at = id;
        for _ in 0..self.buffers.len() {
            match self.buffers.get(at.0 as usize).map(|b| &b.placement) {
                Some(Placement::Reuse(other)) => at = *other,
                Some(Placement::Input(_) | Placement::Output | Placement::Arena { .. }) | None => break,
            }
        }
        at
    }

    /// Removes kernels that no step calls and buffers that nothing touches, inputs excepted.
    pub fn drop_unused(&mut self) {
        let mut kernels: Vec<Option<u32>> = vec![None; self.kernels.len()];
        let mut buffers: Vec<Option<u32>> = vec![None; self.buffers.len()];
        let inputs = self.buffers.iter().map(|b| matches!(b.placement, Placement::Input(_)));
        for (number, _) in buffers.iter_mut().zip(inputs).filter(|(_, input)| *input) {
            *number = Some(0);
        }
        self.outputs.iter().for_each(|o| buffers[o.buffer.0 as usize] = Some(0));
        for step in &mut self.steps {
            step.action.for_each_kernel(&mut |k| kernels[*k as usize] = Some(0));
            step.action.for_each_buffer(&mut |b| buffers[b.0 as usize] = Some(0));
        }
        for numbers in [&mut kernels, &mut buffers] {
            numbers.iter_mut().flatten().enumerate().for_each(|(i, number)| *number = i as u32);
        }
        let mut used = kernels.iter().map(Option::is_some);
        self.kernels.retain(|_| used.next().unwrap_or(true));
        let mut used = buffers.iter().map(Option::is_some);
        self.buffers.retain(|_| used.next().unwrap_or(true));
        let renumber = |b: &mut BufferId| b.0 = buffers[b.0 as usize].unwrap_or(b.0);
        self.outputs.iter_mut().for_each(|o| renumber(&mut o.buffer));
        for buffer in &mut self.buffers {
            if let Placement::Reuse(other) = &mut buffer.placement {
                renumber(other);
            }
        }
        for step in &mut self.steps {
            step.action.for_each_kernel(&mut |k| *k = kernels[*k as usize].unwrap_or(*k));
            step.action.for_each_buffer(&mut |b| renumber(b));
        }
    }
}

impl Action {
    /// What messages and tables call it: the kernel's name, or what kind of step it is.
    pub fn name<'a>(&'a self, kernels: &'a [Kernel]) -> &'a str {
        match self {
            Action::Launch { kernel, .. } => &kernels[*kernel as usize].name,
            Action::Gemm(_) => "gemm",
            Action::Argsort(_) => "argsort",
            Action::RandomBits { .. } => "random_bits",
            Action::Copy { .. } => "copy",
            Action::Custom { name, .. } => name,
        }
    }

    /// The buffers it reads and those it writes. The product of a [`Gemm`](super::Gemm) counts as written,
    /// its epilogue's own parameters as what they are.
    pub fn touched(&self, kernels: &[Kernel]) -> (Vec<BufferId>, Vec<BufferId>) {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        let mut launch = |kernel: u32, buffers: &[BufferId], implied: usize| {
            let params = &kernels[kernel as usize].params;
            for (p, &b) in params[implied..].iter().zip(buffers) {
                match p.access {
                    Access::Read => reads.push(b),
                    Access::Write => writes.push(b),
                }
            }
        };
        match self {
            Action::Launch { kernel, buffers, .. } => launch(*kernel, buffers, 0),
            Action::Gemm(g) => {
                for operand in [&g.a, &g.b] {
                    match operand {
                        Operand::Strided(_) => {}
                        Operand::Packed { kernel, buffers, .. } => launch(*kernel, buffers, 1),
                    }
                }
                if let Some(e) = &g.epilogue {
                    launch(e.kernel, &e.buffers, 1);
                }
                for operand in [&g.a, &g.b] {
                    if let Operand::Strided(m) = operand {
                        reads.push(m.buffer);
                    }
                }
                writes.push(g.c.buffer);
            }
            Action::Argsort(s) => {
                reads.push(s.input);
                writes.push(s.output);
            }
            Action::RandomBits { state, output, .. } => {
                reads.push(*state);
                writes.push(*output);
            }
            Action::Copy { input, output } => {
                reads.push(*input);
                writes.push(*output);
            }
            Action::Custom { inputs, output, .. } => {
                reads.extend(inputs.iter().map(|(b, _)| *b));
                writes.push(output.0);
            }
        }
        (reads, writes)
    }

    /// Every kernel it calls.
    pub fn for_each_kernel(&mut self, f: &mut dyn FnMut(&mut u32)) {
        match self {
            Action::Launch { kernel, .. } => f(kernel),
            Action::Gemm(g) => {
                for operand in [&mut g.a, &mut g.b] {
                    match operand {
                        Operand::Strided(_) => {}
                        Operand::Packed { kernel, .. } => f(kernel),
                    }
                }
                if let Some(e) = &mut g.epilogue {
                    f(&mut e.kernel);
                }
            }
            Action::Argsort(_) | Action::RandomBits { .. } | Action::Copy { .. } | Action::Custom { .. } => {}
        }
    }

    /// Every mention of a buffer.
    pub fn for_each_buffer(&mut self, f: &mut dyn FnMut(&mut BufferId)) {
        match self {
            Action::Launch { buffers, .. } => buffers.iter_mut().for_each(f),
            Action::Gemm(g) => {
                for operand in [&mut g.a, &mut g.b] {
                    match operand {
                        Operand::Strided(m) => f(&mut m.buffer),
                        Operand::Packed { buffers, .. } => buffers.iter_mut().for_each(&mut *f),
                    }
                }
                if let Some(e) = &mut g.epilogue {
                    e.buffers.iter_mut().for_each(&mut *f);
                }
                f(&mut g.c.buffer);
            }
            Action::Argsort(s) => {
                f(&mut s.input);
                f(&mut s.output);
            }
            Action::RandomBits { state, output, .. } => {
                f(state);
                f(output);
            }
            Action::Copy { input, output } => {
                f(input);
                f(output);
            }
            Action::Custom { inputs, output, .. } => {
                inputs.iter_mut().for_each(|(b, _)| f(b));
                f(&mut output.0);
            }
        }
    }
}
