//! The `ttk` program, as a library: the native binary and the Python package both run it.
//!
//! `ttk inspect` shows a graph at any stage of the compiler; `ttk run` runs a `.ttk` file without Python.
//! Whatever is wrong with the user's files is one line on standard error and exit code 2.

mod build;
mod dot;
mod error;
mod inspect;
mod run;

pub use error::CliError;
pub use inspect::stage as graph_after;

use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use ttk_frontend::device::Device;

/// Shows and runs what Tiny-Torch compiles.
#[derive(Parser, Debug)]
#[command(name = "ttk", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Shows the graph of a .ttk file, or of a file in the graph's text form, at a stage of the compiler.
    Inspect(inspect::Arguments),
    /// Runs a .ttk file on .npy arrays.
    Run {
        /// A .ttk file.
        file: PathBuf,
        /// An array for each input, in order.
        #[arg(long = "input", value_name = "X.npy")]
        inputs: Vec<PathBuf>,
        /// A file for each output, in order.
        #[arg(long = "output", value_name = "Y.npy")]
        outputs: Vec<PathBuf>,
        /// Where it runs: cpu, cuda or cuda:1.
        #[arg(long, default_value = "cpu", value_parser = run::device)]
        device: Device,
        /// The file is from someone who may run code here: its machine code for GPUs is used.
        #[arg(long)]
        trusted: bool,
    },
    /// Adds to a .ttk file what other machines need not do again: machine code for GPUs.
    Build(build::Arguments),
    /// Lists the passes of the compiler, in order.
    Passes,
}

/// Runs `ttk` with the arguments after the program's name; its exit code.
pub fn main_with(arguments: Vec<OsString>) -> i32 {
    match catch_unwind(|| run_command(arguments)) {
        Ok(Ok(())) => 0,
        Ok(Err(e)) => complain(&e.to_string()),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without a text");
            complain(&format!("internal error of the compiler, please report it: {text}"))
        }
    }
}

/// One line on standard error; the exit code for errors.
fn complain(text: &str) -> i32 {
    let line: Vec<&str> = text.split(['\n', '\r']).map(str::trim).filter(|part| !part.is_empty()).collect();
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "ttk: {}", line.join(" "));
    2
}

/// Says where CUDA's libraries may be: in the folders of `TTK_CUDA_LIBRARIES`, or in the toolkit's.
fn find_cuda() {
    let folders = match std::env::var_os("TTK_CUDA_LIBRARIES") {
        Some(chosen) => std::env::split_paths(&chosen).collect(),
        None => ["CUDA_HOME", "CUDA_PATH"]
            .iter()
            .filter_map(std::env::var_os)
            .flat_map(|home| ["lib64", "lib"].map(|lib| PathBuf::from(&home).join(lib)))
            .collect::<Vec<_>>(),
    };
    ttk_runtime::cuda::add_search_paths(folders);
}

fn run_command(arguments: Vec<OsString>) -> Result<(), CliError> {
    let cli = match Cli::try_parse_from(std::iter::once("ttk".into()).chain(arguments)) {
        Ok(cli) => cli,
        // Help and version are no errors, and go to standard output.
        Err(e) if !e.use_stderr() => return show(&e.to_string()),
        Err(e) => return Err(CliError::usage(&e)),
    };
    match cli.command {
        Command::Inspect(arguments) => show(&inspect::inspect(&arguments)?),
        Command::Run { file, inputs, outputs, device, trusted } => {
            run::run(&file, &inputs, &outputs, device, trusted)
        }
        Command::Build(arguments) => build::build(&arguments),
        Command::Passes => {
            let line = |pass: &ttk_passes::Pass| format!("{:14} {}\n", pass.name, pass.doc);
            show(&ttk_passes::PIPELINE.iter().map(line).collect::<String>())
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`ttk inspect | head`) is no error.
fn show(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(CliError::Output { reason: e.to_string() }),
        Ok(()) | Err(_) => Ok(()),
    }
}
