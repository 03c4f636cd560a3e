//! The commands of file tests.

use super::{Command, FileTest};
use ttk_autograd::{VjpOptions, jvp, vjp};
use ttk_ir::eval::{NoCustomOps, Tensor};
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_ir::{DType, Graph, ValueId};
use ttk_ir::{eval, kernel, program, text, verify};
use ttk_passes::{LowerOptions, Options, optimize, pipeline};

/// Every command, by name.
pub const COMMANDS: &[Command] = &[
    Command { name: "parse", doc: "a graph or kernel, printed canonically, or the error", run: parse },
    Command { name: "verify", doc: "`fine`, or the rule that a graph or kernel breaks", run: check },
    Command {
        name: "eval",
        doc: "a graph's outputs; `; symbols:` gives sizes and an `; input:` line the values of each input",
        run: evaluate,
    },
    Command { name: "pass", doc: "NAME [fast_math] [inference]: the graph after one pass", run: pass },
    Command { name: "optimize", doc: "[fast_math] [inference]: the graph after all passes", run: optimized },
    Command { name: "grad", doc: "the gradients of all float inputs, from all float outputs", run: grad },
    Command { name: "jvp", doc: "the tangents of all float outputs, from all float inputs", run: tangents },
    Command {
        name: "lower",
        doc: "[native_math] [optimize]: the program; it is verified, and compared with the graph on random inputs",
        run: lower,
    },
];

fn graph(test: &FileTest) -> Result<Graph, String> {
    let graph = text::parse(&test.text).map_err(|e| e.to_string())?;
    verify::verify(&graph).map_err(|e| e.to_string())?;
    Ok(graph)
}

fn is_kernel(test: &FileTest) -> bool {
    let code = test.text.lines().find(|l| !l.trim().is_empty() && !l.starts_with(';'));
    code.is_some_and(|l| l.starts_with("kernel"))
}

fn parse(test: &FileTest) -> Result<String, String> {
    Ok(if is_kernel(test) {
        kernel::text::parse(&test.text).map_or_else(|e| e.to_string(), |k| k.to_string())
    } else {
        text::parse(&test.text).map_or_else(|e| e.to_string(), |g| g.to_string())
    })
}

fn check(test: &FileTest) -> Result<String, String> {
    let fine = || "fine".to_string();
    Ok(if is_kernel(test) {
        let kernel = kernel::text::parse(&test.text).map_err(|e| e.to_string())?;
        kernel::verify::verify(&kernel).map_or_else(|e| e.to_string(), |()| fine())
    } else {
        let graph = text::parse(&test.text).map_err(|e| e.to_string())?;
        verify::verify(&graph).map_or_else(|e| e.to_string(), |()| fine())
    })
}

/// The inputs that the file gives, or random ones.
fn inputs(test: &FileTest, graph: &Graph, symbols: &[i64]) -> Result<Vec<Tensor>, String> {
    let types = input_types(graph);
    let given: Vec<&str> = test.directive("input").collect();
    if given.is_empty() {
        return Ok(random_inputs(&types, symbols, 1, Values::Tame));
    }
    if given.len() != types.len() {
        return Err(format!("{} `; input:` lines for {} inputs", given.len(), types.len()));
    }
    let tensor = |(ty, text): (&ttk_ir::Type, &str)| {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
        let values: Result<Vec<f64>, _> = words.map(str::parse).collect();
        let values = values.map_err(|e| format!("`; input: {text}`: {e}"))?;
        let dims: Vec<i64> = ty.shape.iter().map(|d| d.eval(symbols)).collect();
        let numel = dims.iter().product::<i64>() as usize;
        if numel != values.len() {
            return Err(format!("`; input: {text}` has {} values for {ty}", values.len()));
        }
        Ok(Tensor::from_f64(ty.dtype, &dims, &values))
    };
    types.iter().zip(given).map(tensor).collect()
}

/// The values of the symbols that the file gives, or 3, 4, 5 and so on.
fn symbols(test: &FileTest, graph: &Graph) -> Result<Vec<i64>, String> {
    let given: Vec<i64> = test.numbers("symbols")?;
    let n = graph.symbols.len();
    Ok(if given.is_empty() { (0..n as i64).map(|i| 3 + i).collect() } else { given })
}

fn evaluate(test: &FileTest) -> Result<String, String> {
    let graph = graph(test)?;
    let symbols = symbols(test, &graph)?;
    let inputs = inputs(test, &graph, &symbols)?;
    Ok(match eval::eval(&graph, &inputs, &symbols) {
        Ok(outputs) => outputs.iter().map(|t| format!("{t:?}\n")).collect(),
        Err(error) => error.to_string(),
    })
}

fn options(test: &FileTest) -> Options {
    let has = |name: &str| test.args.iter().any(|a| a == name);
    Options { fast_math: has("fast_math"), inference: has("inference") }
}

fn pass(test: &FileTest) -> Result<String, String> {
    let name = test.args.first().ok_or("`; test: pass` needs the pass's name")?;
    let pass = pipeline::find(name).map_err(|e| e.to_string())?;
    let after = pipeline::run_pass(pass, &graph(test)?, &options(test));
    Ok(after.map_err(|e| e.to_string())?.to_string())
}

fn optimized(test: &FileTest) -> Result<String, String> {
    Ok(optimize(&graph(test)?, &options(test)).map_err(|e| e.to_string())?.to_string())
}

fn floats(graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
    let is_float =
        |v: &ValueId| matches!(graph.ty(*v).dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    values.iter().copied().filter(is_float).collect()
}

fn grad(test: &FileTest) -> Result<String, String> {
    let graph = graph(test)?;
    let (outputs, inputs) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
    let gradients = vjp(&graph, &outputs, &inputs, VjpOptions::default()).map_err(|e| e.to_string())?;
    // What no gradient needs would hide what this is about.
    let dce = pipeline::find("dce").map_err(|e| e.to_string())?;
    let shown = pipeline::run_pass(dce, &gradients, &Options::default());
    Ok(shown.map_err(|e| e.to_string())?.to_string())
}

fn tangents(test: &FileTest) -> Result<String, String> {
    let graph = graph(test)?;
    let (outputs, inputs) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
    let tangents = jvp(&graph, &outputs, &inputs).map_err(|e| e.to_string())?;
    let dce = pipeline::find("dce").map_err(|e| e.to_string())?;
    let shown = pipeline::run_pass(dce, &tangents, &Options::default());
    Ok(shown.map_err(|e| e.to_string())?.to_string())
}

fn lower(test: &FileTest) -> Result<String, String> {
    let mut graph = graph(test)?;
    let has = |name: &str| test.args.iter().any(|a| a == name);
    if has("optimize") {
        graph = optimize(&graph, &options(test)).map_err(|e| e.to_string())?;
    }
    let options = LowerOptions { native_math: has("native_math"), ..LowerOptions::default() };
    let lowered = ttk_passes::lower(&graph, &options).map_err(|e| e.to_string())?;
    program::verify::verify(&lowered).map_err(|e| format!("{e}\n{lowered}"))?;
    let symbols = symbols(test, &graph)?;
    let inputs = inputs(test, &graph, &symbols)?;
    // Custom operations are the runtime's; a graph with one is only lowered.
    if let Ok(want) = eval::eval_with(&graph, &inputs, &symbols, &NoCustomOps) {
        let got = program::eval::eval(&lowered, &inputs, &symbols).map_err(|e| format!("{e}\n{lowered}"))?;
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let close = got.close(want, 1e-4, 1e-5);
            close.map_err(|e| format!("output {i} differs from the graph's: {e}\n{lowered}"))?;
        }
    }
    Ok(lowered.to_string())
}
