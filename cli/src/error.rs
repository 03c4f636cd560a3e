//! What the program says when a file is not what it should be.

use thiserror::Error;
use ttk_ir::DType;

#[derive(Debug, Error)]
pub enum CliError {
    #[error(transparent)]
    Artifact(#[from] ttk_runtime::artifact::ArtifactError),
    #[error(transparent)]
    Npy(#[from] ttk_runtime::npy::NpyError),
    #[error(transparent)]
    Pass(#[from] ttk_passes::PassError),
    #[error(transparent)]
    Compile(#[from] ttk_frontend::Error),
    #[error("cannot read {path}: {reason}")]
    Read { path: String, reason: String },
    #[error("{path}: {reason}")]
    Graph { path: String, reason: String },
    #[error("{path} is a Python script; run it with the `ttk` that `pip install tiny-torch` gives")]
    Script { path: String },
    #[error("{file} takes {expected} inputs ({names}), {given} were given")]
    Inputs { file: String, expected: usize, names: String, given: usize },
    #[error("{file} gives {expected} outputs ({names}), {given} files were given for them")]
    Outputs { file: String, expected: usize, names: String, given: usize },
    #[error("input {name} is {expected:?}, but {path} holds {found:?}")]
    InputType { name: String, path: String, expected: Box<(DType, Vec<i64>)>, found: Box<(DType, Vec<i64>)> },
    #[error("{file} takes symbolic sizes that its inputs do not determine")]
    Symbols { file: String },
}
