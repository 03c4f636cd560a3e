//! `.ttk` files: a traced graph with its weights, to be run without the program that made it.
//!
//! ```text
//! 0   magic, version, where the manifest is, its BLAKE3        64 bytes
//! 64  sections, each from a multiple of 64, zeros between them
//!     manifest
//! ```
//!
//! The manifest lists the sections with their lengths and BLAKE3 hashes, the signature (names and types of
//! inputs and outputs), where each weight is, and texts (license, notes, what the user added). The graph
//! is a section in its text form; so anything that can change what the graph computes is IR, which is
//! verified. A file may hold the CUDA source of the graph and machine code for GPUs of some architectures besides
//! ([`Cuda`]): that is read and checked like the rest, but used only for a file that the user trusts. A section for
//! native code has its name already ([`section`]); this version writes none, and a reader skips what it does not know.
//!
//! A file from a stranger is data. The reader checks every offset, length, hash and overlap, and that
//! nothing lies between the sections; it gives an [`ArtifactError`] for any bytes that are not a whole
//! artifact. Weights are mapped, not read; a file that is cut short while it is mapped takes the process
//! with it (as with any mapped file), so replace a `.ttk` by renaming, as [`Artifact::write`] does.

mod cuda;
mod manifest;
mod read;
mod write;

pub use cuda::{CudaCode, CudaFunction, architecture_name, architecture_of};
pub use read::{ReadOptions, sections};

use crate::memory::Buffer;
use std::collections::BTreeMap;
use std::path::Path;
use thiserror::Error;
use ttk_ir::text::ParseError;
use ttk_ir::verify::VerifyError;
use ttk_ir::{Graph, Type};

/// A graph that can be kept in a file.
#[derive(Clone, Debug)]
pub struct Artifact {
    pub graph: Graph,
    /// What each input of the graph is bound to.
    pub bindings: Vec<Binding>,
    /// A name for each output of the graph.
    pub outputs: Vec<String>,
    pub weights: Vec<Weight>,
    /// `license`, `notes`, `source`, and whatever the user wants kept.
    pub texts: BTreeMap<String, String>,
    /// For GPUs; nothing of it is needed.
    pub cuda: Cuda,
    /// The version of this library that wrote the file; filled in by the writer.
    pub producer: String,
}

/// What a file holds for GPUs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cuda {
    /// The CUDA C that the machine code was made of, to be read.
    pub source: Option<String>,
    /// Machine code, one for each architecture.
    pub code: Vec<CudaCode>,
}

/// What an input of the graph is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Binding {
    /// Passed by the caller, in order.
    Input { name: String },
    /// One of [`Artifact::weights`].
    Weight { index: u32 },
}

/// A tensor that the file holds, dense and row-major.
#[derive(Clone, Debug)]
pub struct Weight {
    pub name: String,
    /// All sizes are numbers.
    pub ty: Type,
    pub data: Buffer,
}

/// Names of sections.
pub mod section {
    /// The graph in its text form.
    pub const GRAPH: &str = "graph";
    /// The bytes of all weights.
    pub const WEIGHTS: &str = "weights";
    /// Machine code for a target whose name follows.
    pub const NATIVE: &str = "native:";
    /// Cubins for an architecture whose name follows.
    pub const CUDA: &str = "cuda:";
    /// CUDA C.
    pub const CUDA_SOURCE: &str = "cuda:source";
}

/// Why a file could not be written or read.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum ArtifactError {
    #[error("cannot {action} {path}: {reason}")]
    Io { action: &'static str, path: String, reason: String },
    #[error("not a .ttk file")]
    Magic,
    #[error("a .ttk file of version {found}, which this version cannot read")]
    Version { found: u32 },
    #[error("the file is cut short or damaged: {what} at {offset} with {length} bytes, in {file} bytes")]
    Range { what: &'static str, offset: u64, length: u64, file: u64 },
    #[error("the file is damaged: {what} {name} does not have the hash that it should")]
    Hash { what: &'static str, name: String },
    #[error("the file is damaged: there are bytes between the sections")]
    Stray,
    #[error("the file is damaged: its manifest cannot be read: {0}")]
    Manifest(crate::encode::DecodeError),
    #[error("the file has no section {name}")]
    MissingSection { name: &'static str },
    #[error("{what} {name:?} occurs twice")]
    Duplicate { what: &'static str, name: String },
    #[error("{what}: {value} is more than {limit}")]
    Limit { what: &'static str, value: u64, limit: u64 },
    #[error("weight {name:?} of type {ty:?} cannot have {bytes} bytes")]
    Weight { name: String, ty: Box<Type>, bytes: u64 },
    #[error("the signature does not fit the graph: {what}")]
    Signature { what: &'static str },
    #[error("the graph cannot be read: {0}")]
    Graph(ParseError),
    #[error("the graph is not valid: {0}")]
    Verify(Box<VerifyError>),
    #[error("the graph's text is not UTF-8")]
    Text,
    #[error("section {name} cannot be read: {reason}")]
    Cuda { name: String, reason: crate::encode::DecodeError },
    #[error("section {name} is damaged: {what}")]
    CudaCode { name: String, what: &'static str },
}

impl Artifact {
    /// An artifact of a graph whose inputs are all passed by the caller.
    pub fn of_graph(graph: Graph) -> Artifact {
        let bindings =
            (0..graph.params().len()).map(|i| Binding::Input { name: format!("input{i}") }).collect();
        let outputs = (0..graph.outputs.len()).map(|i| format!("output{i}")).collect();
        Artifact {
            graph,
            bindings,
            outputs,
            weights: Vec::new(),
            texts: BTreeMap::new(),
            cuda: Cuda::default(),
            producer: producer(),
        }
    }

    /// Writes the file; `path` holds all of it, or what it held before.
    ///
    /// # Errors
    /// When the parts do not fit each other, or the file system refuses.
    pub fn write(&self, path: &Path) -> Result<(), ArtifactError> {
        write::write(self, path)
    }

    /// Reads a file, its weights mapped.
    ///
    /// # Errors
    /// When it is not a whole artifact.
    pub fn read(path: &Path) -> Result<Artifact, ArtifactError> {
        read::read(path, &ReadOptions::default())
    }

    /// [`Artifact::read`] with options.
    ///
    /// # Errors
    /// As [`Artifact::read`].
    pub fn read_with(path: &Path, options: &ReadOptions) -> Result<Artifact, ArtifactError> {
        read::read(path, options)
    }

    /// Reads a file that is in memory already.
    ///
    /// # Errors
    /// As [`Artifact::read`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Artifact, ArtifactError> {
        read::from_bytes(bytes, &ReadOptions::default())
    }

    /// Names and types of the inputs that the caller passes, in order.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, &Type)> {
        let params = self.graph.params().iter();
        self.bindings.iter().zip(params).filter_map(|(binding, &p)| match binding {
            Binding::Input { name } => Some((name.as_str(), self.graph.ty(p))),
            Binding::Weight { .. } => None,
        })
    }

    /// The memory for every input of the graph, given that of the caller's inputs in order; `None` when
    /// their number is wrong.
    pub fn arguments(&self, inputs: &[Buffer]) -> Option<Vec<Buffer>> {
        let mut given = inputs.iter();
        let all = self
            .bindings
            .iter()
            .map(|binding| match binding {
                Binding::Input { .. } => given.next().cloned(),
                Binding::Weight { index } => self.weights.get(*index as usize).map(|w| w.data.clone()),
            })
            .collect::<Option<Vec<_>>>()?;
        given.next().is_none().then_some(all)
    }

    /// What must hold between the parts.
    fn check(&self) -> Result<(), ArtifactError> {
        let wrong = |what| Err(ArtifactError::Signature { what });
        if self.bindings.len() != self.graph.params().len() {
            return wrong("there is not a binding for each input of the graph");
        }
        if self.outputs.len() != self.graph.outputs.len() {
            return wrong("there is not a name for each output of the graph");
        }
        for (binding, &param) in self.bindings.iter().zip(self.graph.params()) {
            let Binding::Weight { index } = binding else { continue };
            let Some(weight) = self.weights.get(*index as usize) else {
                return wrong("an input is bound to a weight that is not there");
            };
            if weight.ty != *self.graph.ty(param) {
                return wrong("a weight has another type than the input it is bound to");
            }
        }
        for code in &self.cuda.code {
            code.check()?;
        }
        for weight in &self.weights {
            if weight_bytes(&weight.ty) != Some(weight.data.len() as u64) {
                return Err(ArtifactError::Weight {
                    name: weight.name.clone(),
                    ty: Box::new(weight.ty.clone()),
                    bytes: weight.data.len() as u64,
                });
            }
        }
        Ok(())
    }
}

const MAGIC: [u8; 8] = *b"\x89TTK\r\n\x1a\n";
const VERSION: u32 = 1;

/// Magic, version, flags (none yet, zero), offset, length and BLAKE3 of the manifest.
const HEADER: usize = 8 + 4 + 4 + 8 + 8 + 32;

/// Sections, and weights in theirs, start at a multiple of this.
const ALIGN: u64 = 64;

fn producer() -> String {
    concat!("tiny-torch ", env!("CARGO_PKG_VERSION")).into()
}

/// The size of a weight; `None` when a size is not a number, or all are too much.
fn weight_bytes(ty: &Type) -> Option<u64> {
    let mut bytes = ty.dtype.size() as u64;
    for d in &ty.shape {
        bytes = bytes.checked_mul(u64::try_from(d.fixed()?).ok()?)?;
    }
    (bytes < 1 << 52).then_some(bytes)
}
