//! What can go wrong in this crate.

use thiserror::Error;

/// The machine, or a limit that was set, has not enough memory for a request.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("not enough memory: {bytes} bytes were asked for; {live} are in use of {limit}")]
pub struct OutOfMemory {
    pub bytes: usize,
    /// Bytes in use by buffers at that time.
    pub live: usize,
    pub limit: usize,
}

/// Why a program could not be prepared or run.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
    /// A gather, scatter or index operation met a position outside its axis.
    #[error("index out of range in {step} ({file}:{line})")]
    IndexOutOfRange { step: String, file: String, line: u32 },
    #[error("program {program} takes {expected} inputs, {given} were given")]
    InputCount { program: String, expected: usize, given: usize },
    #[error("input {input} of program {program} has {given} bytes, not {expected}")]
    InputSize { program: String, input: usize, expected: usize, given: usize },
    #[error("program {program} has {expected} symbols, {given} values were given")]
    SymbolCount { program: String, expected: usize, given: usize },
    #[error("symbol {name} is {value}, but a size is at least 1")]
    SymbolValue { name: String, value: i64 },
    /// The program or its code is not consistent: a defect of the compiler, or of a cache entry.
    #[error("program {program} is malformed at {place}: {defect}")]
    Malformed { program: String, place: String, defect: Defect },
    #[error("custom kernel {name} is not known")]
    UnknownCustom { name: String },
    #[error("custom kernel {name}: {reason}")]
    Custom { name: String, reason: String },
    #[error("executable memory of {bytes} bytes was refused (error {code})")]
    ExecutableMemory { bytes: usize, code: i32 },
}

/// How a program contradicts itself.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Defect {
    #[error("no {what} has number {index}")]
    NoSuch { what: &'static str, index: u32 },
    #[error("{given} {what} where {expected} are needed")]
    Count { what: &'static str, expected: usize, given: usize },
    #[error("buffer {buffer} is {found}, not {expected}")]
    DType { buffer: u32, expected: &'static str, found: &'static str },
    #[error("buffer {buffer} has {len} elements, {needed} are accessed")]
    Bounds { buffer: u32, len: i64, needed: i64 },
    #[error("buffer {buffer} is an input and would be written")]
    WritesInput { buffer: u32 },
    #[error("output {output} is not memory that can be handed out")]
    Output { output: u32 },
    #[error("buffer {buffer} takes the place of itself")]
    ReuseCycle { buffer: u32 },
    #[error("size {value} of {what} is not possible")]
    Size { what: &'static str, value: i64 },
    #[error("{what} mentions symbol {symbol}, which the program has not")]
    Symbol { what: &'static str, symbol: u32 },
    #[error("an expression depends on a loop variable outside its loop")]
    LooseVariable,
    #[error("{what} of type {dtype} is not supported")]
    Unsupported { what: &'static str, dtype: &'static str },
    #[error("code ends before its entry point")]
    Entry,
}
