//! Sections for GPUs: the CUDA source of a graph, and machine code of its functions for some architectures.
//!
//! `cuda:source` is a text to be read. `cuda:sm_90` is a list of units of machine code (cubins), and a list of
//! functions: the hash of a function's text, its unit, and its name there. What runs is always printed from the graph;
//! machine code stands for the very text that it was made of, and only where the user trusts the file
//! ([`crate::cuda::trust`]).

use super::{ArtifactError, section};
use crate::encode::{DecodeError, Reader, Writer};

/// Limits that no honest file comes near.
const MAX_UNITS: usize = 1 << 12;
const MAX_FUNCTIONS: usize = 1 << 16;
const MAX_NAME: usize = 1 << 8;

/// Machine code of functions for one architecture.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CudaCode {
    /// Compute capability, major and minor: `(9, 0)` of `sm_90`.
    pub capability: (i32, i32),
    /// Cubins.
    pub units: Vec<Vec<u8>>,
    pub functions: Vec<CudaFunction>,
}

/// Where a function's machine code is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CudaFunction {
    /// The hash of its text and of all that it stands on.
    pub key: [u8; 32],
    /// An index into the units.
    pub unit: u32,
    /// Its name in the unit.
    pub name: String,
}

/// `sm_90` of `(9, 0)`.
pub fn architecture_name((major, minor): (i32, i32)) -> String {
    format!("sm_{major}{minor}")
}

/// `(9, 0)` of `sm_90`; `None` of anything else, as of `sm_90a`, whose code runs on no other device.
pub fn architecture_of(name: &str) -> Option<(i32, i32)> {
    let digits = name.strip_prefix("sm_")?;
    let number: i32 = digits.parse().ok().filter(|n| (10..10_000).contains(n))?;
    (number.to_string() == digits).then_some((number / 10, number % 10))
}

impl CudaCode {
    /// The name of its section.
    pub(super) fn section(&self) -> String {
        format!("{}{}", section::CUDA, architecture_name(self.capability))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.list(&self.units, |w, unit| w.bytes(unit));
        w.list(&self.functions, |w, f| {
            w.bytes(&f.key);
            w.number(f.unit.into());
            w.bytes(f.name.as_bytes());
        });
        w.finish()
    }

    /// Reads a section of this name; `None` when it is for no architecture that is known here.
    ///
    /// # Errors
    /// Bytes that are no such section.
    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Option<CudaCode>, ArtifactError> {
        let Some(capability) = name.strip_prefix(section::CUDA).and_then(architecture_of) else {
            return Ok(None);
        };
        let damaged = |reason| ArtifactError::Cuda { name: name.to_string(), reason };
        let mut r = Reader::new(bytes);
        let mut read = || -> Result<CudaCode, DecodeError> {
            let units = r.list(|r| Ok(r.bytes()?.to_vec()))?;
            let functions =
                r.list(|r| Ok(CudaFunction { key: r.array()?, unit: r.u32("a unit")?, name: r.string()? }))?;
            Ok(CudaCode { capability, units, functions })
        };
        let code = read().map_err(damaged)?;
        r.finish().map_err(damaged)?;
        code.check()?;
        Ok(Some(code))
    }

    /// What must hold between the parts.
    pub(super) fn check(&self) -> Result<(), ArtifactError> {
        let limit = |what, value: usize, limit: usize| {
            let (value, limit) = (value as u64, limit as u64);
            if value > limit { Err(ArtifactError::Limit { what, value, limit }) } else { Ok(()) }
        };
        limit("units of machine code", self.units.len(), MAX_UNITS)?;
        limit("functions of machine code", self.functions.len(), MAX_FUNCTIONS)?;
        let wrong = |what| Err(ArtifactError::CudaCode { name: self.section(), what });
        if self.units.iter().any(Vec::is_empty) {
            return wrong("a unit is empty");
        }
        for f in &self.functions {
            limit("bytes of a name", f.name.len(), MAX_NAME)?;
            if f.unit as usize >= self.units.len() {
                return wrong("a function is in a unit that is not there");
            }
            let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if f.name.is_empty() || !f.name.chars().all(part) {
                return wrong("a function has a name that C has not");
            }
        }
        Ok(())
    }
}
