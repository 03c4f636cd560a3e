//! What the program says when a file is not what it should be.

use clap::error::ErrorKind;
use std::path::Path;
use thiserror::Error;
use ttk_ir::DType;
use ttk_runtime::artifact::ArtifactError;
use ttk_runtime::npy::NpyError;

#[derive(Debug, Error)]
pub enum CliError {
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error(transparent)]
    Npy(#[from] NpyError),
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
    #[error("input {name} is {expected}, but {path} holds {found}")]
    InputType { name: String, path: String, expected: String, found: String },
    #[error("{path} is named for more than one output")]
    OutputTwice { path: String },
    #[error("{path}: {source}")]
    InFile { path: String, source: Box<CliError> },
    #[error("{file} takes symbolic sizes that its inputs do not determine")]
    Symbols { file: String },
    #[error("cannot write to standard output: {reason}")]
    Output { reason: String },
    #[error("{0}")]
    Usage(String),
}

impl CliError {
    /// The error with the name of the file that it concerns, if it does not have it yet.
    pub(crate) fn of_file(self, path: &Path) -> CliError {
        match self {
            CliError::Artifact(ArtifactError::Io { .. }) | CliError::Npy(NpyError::Io { .. }) => self,
            other => CliError::InFile { path: path.display().to_string(), source: Box::new(other) },
        }
    }

    /// What is wrong with the command line, without the usage text that follows it.
    pub(crate) fn usage(e: &clap::Error) -> CliError {
        if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return CliError::Usage("a command is needed (see `ttk --help`)".into());
        }
        let text = e.to_string();
        let text = text.split("\n\n").next().unwrap_or_default();
        CliError::Usage(format!("{} (see `ttk --help`)", text.strip_prefix("error: ").unwrap_or(text)))
    }
}

/// `f32[2,3]`; a size that is not fixed is `?`.
pub(crate) fn type_text(dtype: DType, sizes: &[i64]) -> String {
    let size = |&n: &i64| if n < 0 { "?".into() } else { n.to_string() };
    format!("{dtype}[{}]", sizes.iter().map(size).collect::<Vec<String>>().join(","))
}
