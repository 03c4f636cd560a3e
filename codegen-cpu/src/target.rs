//! What machine the code is for.

use crate::error::CodegenError;
use crate::widen::Wide;
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use target_lexicon::{Architecture, Triple};

/// Vector width of kernels, in bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Width {
    /// What Cranelift emits: every machine.
    W128,
    /// AVX2.
    W256,
    /// AVX-512 F, BW, DQ and VL.
    W512,
}

impl Width {
    pub const ALL: [Width; 3] = [Width::W128, Width::W256, Width::W512];

    pub const fn bits(self) -> u32 {
        match self {
            Width::W128 => 128,
            Width::W256 => 256,
            Width::W512 => 512,
        }
    }

    pub(crate) const fn wide(self) -> Option<Wide> {
        match self {
            Width::W128 => None,
            Width::W256 => Some(Wide::W256),
            Width::W512 => Some(Wide::W512),
        }
    }
}

/// What the processor can do, as the runtime found out. Only x86-64 looks at it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct CpuFeatures {
    pub avx2: bool,
    pub fma: bool,
    pub f16c: bool,
    /// AVX-512 F, BW, DQ and VL, all of them.
    pub avx512: bool,
}

/// A machine to compile for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    pub triple: Triple,
    pub width: Width,
}

impl Target {
    /// The target of a processor at its full vector width.
    ///
    /// # Errors
    /// An x86-64 processor without AVX2, FMA and F16C, or another architecture than x86-64 and AArch64.
    pub fn new(triple: Triple, features: CpuFeatures) -> Result<Target, CodegenError> {
        let unsupported = |missing| {
            Err(CodegenError::UnsupportedTarget { architecture: triple.architecture.to_string(), missing })
        };
        let width = match triple.architecture {
            Architecture::Aarch64(_) => Width::W128,
            Architecture::X86_64 if !features.avx2 => return unsupported("AVX2"),
            Architecture::X86_64 if !features.fma => return unsupported("FMA"),
            Architecture::X86_64 if !features.f16c => return unsupported("F16C"),
            Architecture::X86_64 if features.avx512 => Width::W512,
            Architecture::X86_64 => Width::W256,
            _ => return unsupported("a supported architecture"),
        };
        Ok(Target { triple, width })
    }

    /// The target of the machine this crate was compiled for.
    ///
    /// # Errors
    /// As [`Target::new`].
    pub fn host(features: CpuFeatures) -> Result<Target, CodegenError> {
        Target::new(Triple::host(), features)
    }

    /// The same machine at no more than `width`.
    pub fn at_most(&self, width: Width) -> Target {
        Target { triple: self.triple.clone(), width: self.width.min(width) }
    }

    pub(crate) fn is_x86(&self) -> bool {
        self.triple.architecture == Architecture::X86_64
    }
}

/// Cranelift's code generator for code of a width; wider code may use more of the instruction set.
pub(crate) fn isa(triple: &Triple, width: Width) -> Result<OwnedTargetIsa, CodegenError> {
    let failed = |message: String| CodegenError::Cranelift { kernel: String::new(), message };
    let mut flags = settings::builder();
    let verifier = if cfg!(debug_assertions) { "true" } else { "false" };
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_verifier", verifier),
        ("enable_probestack", "false"),
        ("unwind_info", "false"),
        // Spill slots are found by their distance from the stack pointer, and a frame that was aligned
        // is left through the frame pointer.
        ("preserve_frame_pointers", "true"),
    ] {
        flags.set(name, value).map_err(|e| failed(e.to_string()))?;
    }
    let mut builder = isa::lookup(triple.clone()).map_err(|e| failed(e.to_string()))?;
    if triple.architecture == Architecture::X86_64 {
        let v3 = [
            "has_sse3",
            "has_ssse3",
            "has_sse41",
            "has_sse42",
            "has_popcnt",
            "has_avx",
            "has_avx2",
            "has_fma",
            "has_bmi1",
            "has_bmi2",
            "has_lzcnt",
        ];
        let v4 = ["has_avx512f", "has_avx512vl", "has_avx512dq"];
        let enabled = v3.iter().chain(if width == Width::W512 { &v4[..] } else { &[] });
        for name in enabled {
            builder.enable(name).map_err(|e| failed(e.to_string()))?;
        }
    }
    builder.finish(settings::Flags::new(flags)).map_err(|e| failed(e.to_string()))
}
