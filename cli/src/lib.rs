//! The `ttk` program, as a library: the native binary and the Python package both run it.
//!
//! `ttk inspect` shows a graph at any stage of the compiler; `ttk run` runs a `.ttk` file without Python.
//! Whatever is wrong with the user's files is one line on standard error and exit code 2.

// What this crate is for is printing.
#![allow(clippy::print_stdout)]

mod dot;
mod error;
mod inspect;
mod run;

pub use error::CliError;

use clap::{Parser, Subcommand};
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
pub fn main_with(arguments: Vec<String>) -> i32 {
    let cli = match Cli::try_parse_from(std::iter::once("ttk".to_owned()).chain(arguments)) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no errors, and go to standard output.
            let _ = e.print();
            return if e.use_stderr() { 2 } else { 0 };
        }
    };
    let result = match cli.command {
        Command::Inspect(arguments) => inspect::inspect(&arguments).map(|text| print!("{text}")),
        Command::Run { file, inputs, outputs } => run::run(&file, &inputs, &outputs),
        Command::Passes => {
            for pass in ttk_passes::PIPELINE {
                println!("{:14} {}", pass.name, pass.doc);
            }
            Ok(())
        }
    };
    match result {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("ttk: {e}");
            2
        }
    }
}
