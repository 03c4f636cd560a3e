//! `ttk build FILE`: what a file can bring along for other machines.

use crate::error::CliError;
use clap::Args;
use std::path::PathBuf;
use ttk_frontend::compile;
use ttk_runtime::artifact::{Artifact, architecture_of};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A .ttk file.
    file: PathBuf,
    /// Architectures of GPUs to add machine code for, as sm_80,sm_90. Needs NVRTC, but no GPU.
    #[arg(long, value_name = "ARCHITECTURES", value_delimiter = ',', required = true, value_parser = architecture)]
    cuda: Vec<Capability>,
    /// The file to write; it may be the one that is read.
    #[arg(long, short, value_name = "OUT.ttk")]
    output: PathBuf,
}

/// Compute capability, major and minor.
#[derive(Clone, Copy, Debug)]
struct Capability(i32, i32);

fn architecture(text: &str) -> Result<Capability, String> {
    let found = architecture_of(text).map(|(major, minor)| Capability(major, minor));
    found.ok_or_else(|| "an architecture is a name such as sm_90".to_string())
}

/// Compiles for every architecture, then writes: all of the file, or nothing.
pub(crate) fn build(arguments: &Arguments) -> Result<(), CliError> {
    let path = &arguments.file;
    let mut artifact = Artifact::read(path).map_err(|e| CliError::from(e).of_file(path))?;
    crate::find_cuda();
    let capabilities: Vec<(i32, i32)> = arguments.cuda.iter().map(|c| (c.0, c.1)).collect();
    artifact.cuda = compile::cuda_of_file(&artifact.graph, &capabilities)?;
    artifact.write(&arguments.output).map_err(|e| CliError::from(e).of_file(&arguments.output))
}
