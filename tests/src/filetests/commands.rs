//! The commands of file tests.

use super::compare::{self, Agreement, agree, close, inputs, symbols};
use super::{Command, FileTest};
use ttk_autograd::{VjpOptions, jvp, vjp};
use ttk_ir::eval::{NoCustomOps, Tensor};
use ttk_ir::testing::Values;
use ttk_ir::{DType, Graph, ValueId};
use ttk_ir::{eval, kernel, program, text, verify};
use ttk_passes::egraph::{apply_rule, rules};
use ttk_passes::pipeline::{Pass, run_pass};
use ttk_passes::{HalfProducts, LowerOptions, Options, PIPELINE, optimize};

/// Every command, by name.
pub const COMMANDS: &[Command] = &[
    Command { name: "parse", doc: "a graph or kernel, printed canonically, or the error", run: parse },
    Command { name: "verify", doc: "`fine`, or the rule that a graph or kernel breaks", run: check },
    Command {
        name: "eval",
        doc: "a graph's outputs, or what a kernel leaves in the buffers it writes; `; symbols:` gives sizes and an \
              `; input:` line the values of each input, or of each buffer",
        run: evaluate,
    },
    Command {
        name: "pass",
        doc: "NAME.. [fast_math] [inference] [save_memory]: the graph after these passes. Both graphs are evaluated and compared: \
              bit for bit where all passes are exact, unless the file says `; values: tame`",
        run: pass,
    },
    Command {
        name: "trace",
        doc: "[fast_math] [inference] [save_memory]: the graph after each pass that changes it; each is evaluated and compared",
        run: trace,
    },
    Command {
        name: "rule",
        doc: "NAME: each graph that one match of the rule of the e-graph makes, or `no match`; what it makes is \
              evaluated and compared",
        run: rule,
    },
    Command {
        name: "optimize",
        doc: "[fast_math] [inference] [save_memory]: the graph after all passes",
        run: optimized,
    },
    Command {
        name: "grad",
        doc: "the gradients of all float inputs, from all float outputs; compared with differences if all are f64",
        run: grad,
    },
    Command {
        name: "jvp",
        doc: "the tangents of all float outputs, from all float inputs; compared with differences if all are f64",
        run: tangents,
    },
    Command {
        name: "lower",
        doc: "[native_math] [optimize] [steps]: the program, or with `steps` its buffers and steps without the \
              kernels; it is verified, and compared with the graph on random inputs. `; donate:` lists the inputs \
              that may be overwritten",
        run: lower,
    },
    Command {
        name: "cuda",
        doc: "[optimize] [expand]: the launches and functions of a device with grids, without what every source \
              begins with. Transcendental functions are the device's own unless `expand` is said",
        run: cuda,
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

fn evaluate(test: &FileTest) -> Result<String, String> {
    if is_kernel(test) {
        return evaluate_kernel(test);
    }
    let graph = graph(test)?;
    let symbols = symbols(test, &graph)?;
    let inputs = inputs(test, &graph, &symbols, 1, Values::Tame)?;
    Ok(match eval::eval(&graph, &inputs, &symbols) {
        Ok(outputs) => outputs.iter().map(|t| format!("{t:?}\n")).collect(),
        Err(error) => error.to_string(),
    })
}

/// Buffers that the file says nothing of are zero.
fn evaluate_kernel(test: &FileTest) -> Result<String, String> {
    let kernel = kernel::text::parse(&test.text).map_err(|e| e.to_string())?;
    kernel::verify::verify(&kernel).map_err(|e| e.to_string())?;
    let symbols: Vec<i64> = test.numbers("symbols")?;
    let given: Vec<&str> = test.directive("input").collect();
    let mut buffers: Vec<Tensor> = Vec::new();
    for (i, p) in kernel.params.iter().enumerate() {
        let dims = [p.len.eval_symbols(&symbols).max(0)];
        buffers.push(match given.get(i) {
            Some(text) => compare::tensor(p.dtype, &dims, text)?,
            None => Tensor::zeros(p.dtype, &dims),
        });
    }
    let problem =
        kernel::eval::eval_on_tensors(&kernel, &mut buffers, &symbols).map_err(|e| e.to_string())?;
    let mut out = String::new();
    for (p, buffer) in kernel.params.iter().zip(&buffers) {
        if p.access == kernel::Access::Write {
            out += &format!("{}: {buffer:?}\n", p.name);
        }
    }
    out.extend(problem.map(|e| e.to_string()));
    Ok(out)
}

fn has(test: &FileTest, name: &str) -> bool {
    test.args.iter().any(|a| a == name)
}

/// The words that are options.
const FLAGS: [&str; 3] = ["fast_math", "inference", "save_memory"];

fn options(test: &FileTest) -> Options {
    Options {
        fast_math: has(test, "fast_math"),
        inference: has(test, "inference"),
        save_memory: has(test, "save_memory"),
    }
}

/// Passes that change no bit of a result.
const EXACT: &[&str] = &["cse", "canonicalize", "dce", "cleanup", "prune", "rematerialize"];

fn pass(test: &FileTest) -> Result<String, String> {
    let named = |a: &String| PIPELINE.iter().find(|p| p.name == *a);
    let passes: Vec<&Pass> = test.args.iter().filter_map(named).collect();
    let unknown = |a: &&String| named(a).is_none() && !FLAGS.contains(&a.as_str());
    if passes.is_empty() || test.args.iter().any(|a| unknown(&a)) {
        let known: Vec<&str> = PIPELINE.iter().map(|p| p.name).collect();
        return Err(format!("`; test: pass` needs names of passes; there are {}", known.join(", ")));
    }
    let before = graph(test)?;
    let options = options(test);
    let mut after = before.clone();
    for pass in &passes {
        after = run_pass(pass, &after, &options).map_err(|e| e.to_string())?;
    }
    let exact = passes.iter().all(|p| EXACT.contains(&p.name))
        && !options.fast_math
        && test.directive("values").all(|v| v != "tame");
    agree(test, &before, &after, if exact { Agreement::Exact } else { Agreement::Rounding })?;
    Ok(after.to_string())
}

fn trace(test: &FileTest) -> Result<String, String> {
    let before = graph(test)?;
    let (mut out, mut last) = (String::new(), before.to_string());
    for (name, after) in ttk_passes::trace(&before, &options(test)).map_err(|e| e.to_string())? {
        agree(test, &before, &after, Agreement::Rounding).map_err(|e| format!("after {name}: {e}"))?;
        let text = after.to_string();
        let shown = if text == last { "the same\n" } else { text.as_str() };
        out += &format!("after {name}:\n{shown}");
        last = text;
    }
    Ok(out)
}

fn rule(test: &FileTest) -> Result<String, String> {
    let name = test.args.first().ok_or("`; test: rule` needs the rule's name")?;
    let rule = rules::find(name).ok_or_else(|| format!("there is no rule named {name:?}"))?;
    let before = graph(test)?;
    let mut out = String::new();
    for after in apply_rule(rule, &before).map_err(|e| e.to_string())? {
        verify::verify(&after).map_err(|e| format!("{e}\n{after}"))?;
        agree(test, &before, &after, Agreement::Rounding)?;
        let text = after.to_string();
        // Two matches may come to the same.
        if !out.contains(&text) {
            out += &text;
        }
    }
    Ok(if out.is_empty() { "no match".to_string() } else { out })
}

fn optimized(test: &FileTest) -> Result<String, String> {
    let before = graph(test)?;
    let after = optimize(&before, &options(test)).map_err(|e| e.to_string())?;
    agree(test, &before, &after, Agreement::Rounding)?;
    Ok(after.to_string())
}

fn floats(graph: &Graph, values: &[ValueId]) -> Vec<ValueId> {
    let is_float =
        |v: &ValueId| matches!(graph.ty(*v).dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64);
    values.iter().copied().filter(is_float).collect()
}

/// Without what no output needs, which would hide what a test is about.
fn live_part(graph: &Graph) -> Result<Graph, String> {
    ttk_passes::dce::dce(graph, &Options::default()).map_err(|e| e.to_string())
}

fn grad(test: &FileTest) -> Result<String, String> {
    let graph = graph(test)?;
    let (outputs, inputs) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
    let gradients = vjp(&graph, &outputs, &inputs, VjpOptions::default()).map_err(|e| e.to_string())?;
    compare::gradients_are_slopes(test, &graph, &gradients)?;
    Ok(live_part(&gradients)?.to_string())
}

fn tangents(test: &FileTest) -> Result<String, String> {
    let graph = graph(test)?;
    let (outputs, inputs) = (floats(&graph, &graph.outputs), floats(&graph, graph.params()));
    let tangents = jvp(&graph, &outputs, &inputs).map_err(|e| e.to_string())?;
    compare::tangents_are_slopes(test, &graph, &tangents)?;
    Ok(live_part(&tangents)?.to_string())
}

fn lower(test: &FileTest) -> Result<String, String> {
    let mut graph = graph(test)?;
    if has(test, "optimize") {
        graph = optimize(&graph, &options(test)).map_err(|e| e.to_string())?;
    }
    let donated: Vec<usize> = test.numbers("donate")?;
    let options = LowerOptions {
        native_math: has(test, "native_math"),
        half_products: if has(test, "half_products") {
            HalfProducts::All
        } else if has(test, "bf16_products") {
            HalfProducts::Bf16
        } else {
            HalfProducts::None
        },
        donate: (0..graph.params().len()).map(|i| donated.contains(&i)).collect(),
    };
    let lowered = ttk_passes::lower(&graph, &options).map_err(|e| e.to_string())?;
    program::verify::verify(&lowered).map_err(|e| format!("{e}\n{lowered}"))?;
    let symbols = symbols(test, &graph)?;
    let inputs = inputs(test, &graph, &symbols, 1, Values::Tame)?;
    // Custom operations are the runtime's; a graph with one is only lowered.
    if let Ok(want) = eval::eval_with(&graph, &inputs, &symbols, &NoCustomOps) {
        let got = program::eval::eval(&lowered, &inputs, &symbols).map_err(|e| format!("{e}\n{lowered}"))?;
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let same = close(got, want);
            same.map_err(|e| format!("output {i} differs from the graph's: {e}\n{lowered}"))?;
        }
    }
    let text = lowered.to_string();
    // The kernels follow after the closing brace of the program.
    let program = text.split_inclusive("\n}\n").next().unwrap_or(&text);
    Ok(if has(test, "steps") { program.to_string() } else { text.clone() })
}

fn cuda(test: &FileTest) -> Result<String, String> {
    let mut graph = graph(test)?;
    if has(test, "optimize") {
        graph = optimize(&graph, &options(test)).map_err(|e| e.to_string())?;
    }
    let donate = vec![false; graph.params().len()];
    let options =
        LowerOptions { native_math: !has(test, "expand"), half_products: HalfProducts::All, donate };
    let lowered = ttk_passes::lower(&graph, &options).map_err(|e| e.to_string())?;
    let printed = ttk_codegen_cuda::emit(&lowered, &ttk_codegen_cuda::Options::default())
        .map_err(|e| format!("{e}\n{lowered}"))?;
    let launches: String =
        printed.listing.lines().filter(|l| l.starts_with("// step ")).map(|l| format!("{l}\n")).collect();
    let source = printed.source();
    let functions = source.split_once(ttk_ir::device::PROGRAM).map_or("", |(_, rest)| rest);
    Ok(format!("{launches}{functions}"))
}
