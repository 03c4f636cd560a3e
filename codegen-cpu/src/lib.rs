//! Kernel IR to machine code for the CPU.
//!
//! A kernel becomes CLIF ([`emit`]), Cranelift makes 128-bit code of it, and vector loops are widened to
//! AVX2 or AVX-512 ([`widen`]). The result is position-independent bytes without relocations.
//!
//! **Invariant:** the same kernel gives the same results, bit for bit, at every vector width and whatever
//! the number of threads: lanes compute what scalars compute, and accumulators are joined in one order.

mod emit;
mod error;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod widen;

pub use error::CodegenError;
pub use target::{CpuFeatures, Target, Width};
pub use widen::Declined;

use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::OwnedTargetIsa;
use cranelift_frontend::FunctionBuilderContext;
use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use std::fmt::Write;
use ttk_ir::kernel::Kernel;
use widen::{Tag, Widener};

/// Machine code of one kernel.
///
/// The entry point is the first byte, called as
///
/// ```text
/// extern "C" fn(buffers: *const *mut u8, symbols: *const i64, begin: i64, end: i64,
///               scratch: *mut u8, constants: *const u8, errors: *mut u32)
/// ```
///
/// and runs iterations `begin..end` of the parallel loop (a kernel without one ignores the range).
/// `scratch` holds the kernel's locals one after the other, each from a multiple of 64 bytes;
/// `constants` points to a copy of [`CompiledKernel::constants`] at a multiple of 64; the word at
/// `errors` becomes 1 when a checked index is out of range.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompiledKernel {
    pub code: Vec<u8>,
    pub constants: Vec<u8>,
    /// Of its vector loops; a kernel without any has [`Width::W128`].
    pub width: Width,
    /// Why the code is narrower than the target.
    pub declined: Option<Declined>,
    /// What Cranelift was given, when asked for.
    pub clif: Option<String>,
}

impl CompiledKernel {
    /// The code as assembly, one instruction a line; constants behind the code are left out.
    pub fn disassembly(&self) -> String {
        let mut out = String::new();
        let mut decoder = Decoder::with_ip(64, &self.code, 0, DecoderOptions::NONE);
        let mut formatter = IntelFormatter::new();
        let mut furthest = 0;
        while decoder.can_decode() {
            let ins = decoder.decode();
            furthest = furthest.max(ins.near_branch_target());
            let mut text = String::new();
            formatter.format(&ins, &mut text);
            let _ = writeln!(out, "{:5x}  {text}", ins.ip());
            if ins.flow_control() == iced_x86::FlowControl::Return && furthest < ins.next_ip() {
                break;
            }
        }
        out
    }
}

/// Compiles kernels for one target; keeps Cranelift's tables and buffers between kernels.
pub struct Compiler {
    target: Target,
    isa: OwnedTargetIsa,
    /// For code that stays at 128 bits on a wider target.
    narrow: OwnedTargetIsa,
    widener: Widener,
    context: Context,
    builder: FunctionBuilderContext,
    keep_clif: bool,
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Compiler {
    /// # Errors
    /// When Cranelift does not know the target.
    pub fn new(target: &Target) -> Result<Compiler, CodegenError> {
        Ok(Compiler {
            target: target.clone(),
            isa: target::isa(&target.triple, target.width)?,
            narrow: target::isa(&target.triple, Width::W128)?,
            widener: Widener::new(),
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            keep_clif: false,
        })
    }

    /// Whether compiled kernels keep their CLIF as text.
    pub fn keep_clif(&mut self, keep: bool) {
        self.keep_clif = keep;
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Compiles a kernel that passed the verifier, at the target's width if its vector loops can be
    /// widened, else at 128 bits.
    ///
    /// # Errors
    /// An operation that `passes` should have expanded, or a kernel that is not well formed.
    pub fn compile(&mut self, kernel: &Kernel) -> Result<CompiledKernel, CodegenError> {
        let wide = self.target.width.wide();
        if wide.is_none() {
            return self.attempt(kernel, Width::W128);
        }
        match self.attempt(kernel, self.target.width) {
            Err(CodegenError::NotWidened { reason, .. }) => {
                let narrow = self.attempt(kernel, Width::W128)?;
                Ok(CompiledKernel { declined: Some(reason), ..narrow })
            }
            other => other,
        }
    }

    /// Compiles a kernel at one width, or says why it cannot be widened to it.
    fn attempt(&mut self, kernel: &Kernel, width: Width) -> Result<CompiledKernel, CodegenError> {
        let wide = width.wide();
        let isa = if wide.is_some() { &*self.isa } else { &*self.narrow };
        let is_x86 = self.target.is_x86();
        let emitted = emit::emit(kernel, isa, is_x86, wide, &mut self.builder)?;
        self.context.clear();
        self.context.func = emitted.func;
        let clif = self.keep_clif.then(|| self.context.func.display().to_string());
        let name = || kernel.name.clone();
        let compiled = self
            .context
            .compile(isa, &mut ControlPlane::default())
            .map_err(|e| CodegenError::Cranelift { kernel: name(), message: format!("{:?}", e.inner) })?;
        let count = compiled.buffer.relocs().len();
        if count > 0 {
            return Err(CodegenError::Relocations { kernel: name(), count });
        }
        let constants = if emitted.uses_constants { emit::constants_table() } else { Vec::new() };
        let narrow = compiled.buffer.data();
        let (code, width) = match wide.filter(|_| emitted.vectors) {
            None => (narrow.to_vec(), Width::W128),
            Some(wide) => {
                let tags: Vec<(u32, Tag)> = compiled
                    .buffer
                    .traps()
                    .iter()
                    .filter_map(|t| Tag::from_trap_code(t.code).map(|tag| (t.offset, tag)))
                    .collect();
                let widened = self.widener.widen(narrow, &tags, emitted.fixed, wide);
                let widened =
                    widened.map_err(|reason| CodegenError::NotWidened { kernel: name(), reason })?;
                (widened.code, width)
            }
        };
        Ok(CompiledKernel { code, constants, width, declined: None, clif })
    }
}

/// Compiles one kernel; a [`Compiler`] does several for less.
///
/// # Errors
/// As [`Compiler::compile`].
pub fn compile(kernel: &Kernel, target: &Target) -> Result<CompiledKernel, CodegenError> {
    Compiler::new(target)?.compile(kernel)
}
