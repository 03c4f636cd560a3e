//! The `ttk` program, as a library: the native binary and the Python package both run it.
//!
//! `ttk inspect` shows a graph at any stage of the compiler; `ttk run` runs a `.ttk` file without Python.
//! Whatever is wrong with the user's files is one line on standard error and exit code 2.

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
    },
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

fn run_command(arguments: Vec<OsString>) -> Result<(), CliError> {
    let cli = match Cli::try_parse_from(std::iter::once("ttk".into()).chain(arguments)) {
        Ok(cli) => cli,
        // Help and version are no errors, and go to standard output.
        Err(e) if !e.use_stderr() => return show(&e.to_string()),
        Err(e) => return Err(CliError::usage(&e)),
    };
    match cli.command {
        Command::Inspect(arguments) => show(&inspect::inspect(&arguments)?),
        Command::Run { file, inputs, outputs } => run::run(&file, &inputs, &outputs),
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
