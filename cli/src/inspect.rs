//! `ttk inspect FILE`: the graph at any stage of the compiler.

use crate::dot::dot;
use crate::error::CliError;
use clap::Args;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use ttk_codegen_cpu::Compiler;
use ttk_frontend::compile::{self, CompileOptions};
use ttk_ir::{Graph, kernel, text};
use ttk_passes::Options;
use ttk_runtime::artifact::{Artifact, CudaCode, architecture_name, section};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A .ttk file, or the text form of a graph.
    file: PathBuf,
    /// The graph after a pass (`ttk passes` lists them).
    #[arg(long, value_name = "PASS")]
    after: Option<String>,
    /// What changed between two passes; `recorded` names the graph before the first.
    #[arg(long, num_args = 2, value_names = ["A", "B"])]
    diff: Vec<String>,
    /// The program: buffers, steps and kernels.
    #[arg(long)]
    kernels: bool,
    /// The kernels in Cranelift's language.
    #[arg(long)]
    clif: bool,
    /// The kernels as machine code.
    #[arg(long)]
    asm: bool,
    /// The kernels as CUDA C, with the launches of each step and the calls of libraries that may stand for them;
    /// with `--kernels`, the program for a GPU and those. Needs no GPU.
    #[arg(long)]
    cuda: bool,
    /// The sections of a .ttk file, with their sizes in bytes.
    #[arg(long)]
    sections: bool,
    /// The graph for Graphviz.
    #[arg(long)]
    dot: bool,
}

fn read(path: &Path) -> Result<Graph, CliError> {
    let name = path.display().to_string();
    let bytes =
        std::fs::read(path).map_err(|e| CliError::Read { path: name.clone(), reason: e.to_string() })?;
    if let Ok(source) = std::str::from_utf8(&bytes)
        && source.lines().any(|l| l.trim_start().starts_with("graph @"))
    {
        return text::parse(source).map_err(|e| CliError::Graph { path: name, reason: e.to_string() });
    }
    Ok(Artifact::read(path).map_err(|e| CliError::from(e).of_file(path))?.graph)
}

/// The graph before the passes goes by this name.
const RECORDED: &str = "recorded";

/// The graph after the pass of that name.
///
/// # Errors
/// There is no such pass, or a pass fails.
pub fn stage(graph: &Graph, name: &str) -> Result<Graph, CliError> {
    if name == RECORDED {
        return Ok(graph.clone());
    }
    let options = Options { inference: true, ..Options::default() };
    Ok(ttk_passes::optimize_until(graph, &options, name)?)
}

/// The text that was asked for.
pub(crate) fn inspect(arguments: &Arguments) -> Result<String, CliError> {
    if arguments.sections {
        return sections(&arguments.file);
    }
    let graph = read(&arguments.file)?;
    if let [a, b] = arguments.diff.as_slice() {
        let (left, right) = (text::print(&stage(&graph, a)?), text::print(&stage(&graph, b)?));
        return Ok(diff(&left, &right));
    }
    let shown = match &arguments.after {
        Some(name) => stage(&graph, name)?,
        None => graph.clone(),
    };
    if arguments.dot {
        return Ok(dot(&shown));
    }
    if arguments.cuda {
        return cuda(&graph, arguments.kernels);
    }
    if arguments.kernels || arguments.clif || arguments.asm {
        return compiled(&graph, arguments);
    }
    Ok(text::print(&shown))
}

/// A line for each section: its name, its size, and how many functions machine code is of.
fn sections(path: &Path) -> Result<String, CliError> {
    let of_file = |e| CliError::from(e).of_file(path);
    let artifact = Artifact::read(path).map_err(of_file)?;
    let mut out = String::new();
    for (name, bytes) in ttk_runtime::artifact::sections(path).map_err(of_file)? {
        let of = |c: &&CudaCode| {
            name.strip_prefix(section::CUDA) == Some(architecture_name(c.capability).as_str())
        };
        let functions = artifact.cuda.code.iter().find(of).map(|c| c.functions.len());
        let functions = functions.map_or_else(String::new, |n| format!("  {n} functions"));
        let _ = writeln!(out, "{name:14} {bytes:>12} bytes{functions}");
    }
    Ok(out)
}

/// The source for a device with grids, where transcendental functions are the device's own.
fn cuda(graph: &Graph, kernels: bool) -> Result<String, CliError> {
    let options = Options { inference: true, ..Options::default() };
    let optimized = ttk_passes::optimize(graph, &options)?;
    let internal = |e: String| CliError::Compile(ttk_frontend::Error::Internal { detail: e });
    let lowering = ttk_passes::LowerOptions {
        native_math: true,
        half_products: ttk_passes::HalfProducts::All,
        donate: vec![false; optimized.params().len()],
    };
    let program = ttk_passes::lower(&optimized, &lowering).map_err(|e| internal(e.to_string()))?;
    let options = ttk_codegen_cuda::Options::default();
    let device = ttk_codegen_cuda::emit(&program, &options).map_err(|e| internal(e.to_string()))?;
    if !kernels {
        return Ok(device.source());
    }
    let mut out = ttk_ir::program::text::print(&program);
    for line in device.listing.lines().filter(|l| l.starts_with("// step ")) {
        let _ = writeln!(out, "{line}");
    }
    Ok(out)
}

fn compiled(graph: &Graph, arguments: &Arguments) -> Result<String, CliError> {
    let options = CompileOptions { inference: true, ..CompileOptions::default() };
    let program = compile::program_of(graph, &options)?;
    let mut out = String::new();
    if arguments.kernels {
        out.push_str(&ttk_ir::program::text::print(&program));
    }
    if !arguments.clif && !arguments.asm {
        return Ok(out);
    }
    let target = compile::target()?;
    let internal = |e: ttk_codegen_cpu::CodegenError| {
        CliError::Compile(ttk_frontend::Error::Internal { detail: e.to_string() })
    };
    let mut compiler = Compiler::new(&target).map_err(internal)?;
    compiler.keep_clif(arguments.clif);
    for k in &program.kernels {
        let code = compiler.compile(k).map_err(internal)?;
        let _ = writeln!(out, "; {} ({} bytes, {}-bit vectors)", k.name, code.code.len(), code.width.bits());
        let _ = writeln!(out, "{}", kernel::text::print(k));
        if let Some(clif) = &code.clif {
            let _ = writeln!(out, "{clif}");
        }
        if arguments.asm {
            let _ = writeln!(out, "{}", code.disassembly());
        }
    }
    Ok(out)
}

/// Lines of two texts, those of one alone marked; numbering of values is not told apart.
///
/// The longest common subsequence, by the quadratic table: graphs shown to people are small, and larger
/// ones are cut to what differs between equal ends.
fn diff(left: &str, right: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (left.lines().collect(), right.lines().collect());
    let head = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (x, y) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut out = String::new();
    let keep =
        |out: &mut String, lines: &[&str]| lines.iter().for_each(|l| out.push_str(&format!("  {l}\n")));
    keep(&mut out, &a[..head]);
    if x.len().saturating_mul(y.len()) > 25_000_000 {
        x.iter().for_each(|l| out.push_str(&format!("- {l}\n")));
        y.iter().for_each(|l| out.push_str(&format!("+ {l}\n")));
    } else {
        let width = y.len() + 1;
        let mut common = vec![0u32; (x.len() + 1) * width];
        for i in (0..x.len()).rev() {
            for j in (0..y.len()).rev() {
                common[i * width + j] = if x[i] == y[j] {
                    common[(i + 1) * width + j + 1] + 1
                } else {
                    common[(i + 1) * width + j].max(common[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < x.len() || j < y.len() {
            if i < x.len() && j < y.len() && x[i] == y[j] {
                out.push_str(&format!("  {}\n", x[i]));
                (i, j) = (i + 1, j + 1);
            } else if j == y.len()
                || (i < x.len() && common[(i + 1) * width + j] >= common[i * width + j + 1])
            {
                out.push_str(&format!("- {}\n", x[i]));
                i += 1;
            } else {
                out.push_str(&format!("+ {}\n", y[j]));
                j += 1;
            }
        }
    }
    keep(&mut out, &a[a.len() - tail..]);
    out
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn differences_are_marked() {
        assert_eq!(diff("a\nb\nc", "a\nx\nc"), "  a\n- b\n+ x\n  c\n");
        assert_eq!(diff("a", "a"), "  a\n");
    }
}
