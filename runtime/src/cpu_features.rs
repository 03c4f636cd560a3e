//! What the processor can do, and how much of it the user wants used.

use std::sync::LazyLock;

/// The widest vectors that kernels may use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// 128 bits: every machine.
    Baseline,
    /// 256 bits: AVX2 with FMA and F16C.
    Avx2,
    /// 512 bits: AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    pub const ALL: [Level; 3] = [Level::Baseline, Level::Avx2, Level::Avx512];

    /// As in the environment variable `TTK_CPU`.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Baseline => "baseline",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    pub fn from_name(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|l| l.name() == name)
    }

    pub const fn vector_bits(self) -> u32 {
        match self {
            Level::Baseline => 128,
            Level::Avx2 => 256,
            Level::Avx512 => 512,
        }
    }
}

/// What was found, and the level to compile for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct CpuFeatures {
    pub avx2: bool,
    pub fma: bool,
    pub f16c: bool,
    /// AVX-512 F, BW, DQ and VL, all of them.
    pub avx512: bool,
    /// Sums of products of pairs of bf16 (AVX-512 BF16).
    pub avx512_bf16: bool,
    /// The most that the processor has and `TTK_CPU` allows.
    pub level: Level,
}

impl CpuFeatures {
    /// Whether products of bf16 may be used.
    pub fn has_bf16_products(&self) -> bool {
        self.avx512_bf16 && self.level == Level::Avx512
    }
}

/// The features of this machine; `TTK_CPU=baseline|avx2|avx512` lowers the level. Found once.
pub fn detect() -> CpuFeatures {
    static FOUND: LazyLock<CpuFeatures> = LazyLock::new(|| {
        let wanted = std::env::var("TTK_CPU").ok();
        limited(processor(), wanted.as_deref().and_then(|name| Level::from_name(name.trim())))
    });
    *FOUND
}

fn limited(found: CpuFeatures, wanted: Option<Level>) -> CpuFeatures {
    CpuFeatures { level: wanted.map_or(found.level, |w| w.min(found.level)), ..found }
}

#[cfg(target_arch = "x86_64")]
fn processor() -> CpuFeatures {
    use std::arch::is_x86_feature_detected as has;
    let (avx2, fma, f16c) = (has!("avx2"), has!("fma"), has!("f16c"));
    let avx512 = has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
    let level = match (avx2 && fma && f16c, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        (false, _) => Level::Baseline,
    };
    let avx512_bf16 = has!("avx512bf16");
    CpuFeatures { avx2, fma, f16c, avx512, avx512_bf16, level }
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> CpuFeatures {
    CpuFeatures {
        avx2: false,
        fma: false,
        f16c: false,
        avx512: false,
        avx512_bf16: false,
        level: Level::Baseline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_lowered_never_raised() {
        let all = CpuFeatures {
            avx2: true,
            fma: true,
            f16c: true,
            avx512: true,
            avx512_bf16: true,
            level: Level::Avx512,
        };
        assert!(all.has_bf16_products() && !limited(all, Some(Level::Avx2)).has_bf16_products());
        assert_eq!(limited(all, Some(Level::Avx2)).level, Level::Avx2);
        assert_eq!(limited(all, None).level, Level::Avx512);
        let old = CpuFeatures { avx512: false, level: Level::Avx2, ..all };
        assert_eq!(limited(old, Some(Level::Avx512)).level, Level::Avx2);
        assert_eq!(Level::from_name("avx512"), Some(Level::Avx512));
        assert_eq!(Level::from_name("sse9"), None);
    }
}
