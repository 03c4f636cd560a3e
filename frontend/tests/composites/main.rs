//! Composite operators and their gradients against PyTorch, through the reference interpreter.
//!
//! `cases.txt` holds inputs, results and gradients as PyTorch computed them; `generate.py` writes it.

mod calls;

use ttk_autograd::{VjpOptions, vjp};
use ttk_frontend::composite::{Scope, Val};
use ttk_ir::eval::{Tensor, eval};
use ttk_ir::{DType, Graph, ValueId};

struct Case {
    name: String,
    inputs: Vec<Tensor>,
    outputs: Vec<Tensor>,
    gradients: Vec<Tensor>,
    /// Of the gradients, weighted as the outputs are.
    seconds: Vec<Tensor>,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (kind, rest) = line.split_once(' ').expect("a kind and what follows");
        if kind == "case" {
            let name = rest.to_owned();
            let (inputs, outputs, gradients, seconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            cases.push(Case { name, inputs, outputs, gradients, seconds });
            continue;
        }
        let case = cases.last_mut().expect("a case comes first");
        match kind {
            "in" => case.inputs.push(tensor(rest)),
            "out" => case.outputs.push(tensor(rest)),
            "grad" => case.gradients.push(tensor(rest)),
            "second" => case.seconds.push(tensor(rest)),
            _ => panic!("{line}"),
        }
    }
    cases
}

/// `f32 [2,3] values...`
fn tensor(text: &str) -> Tensor {
    let mut words = text.split(' ');
    let dtype = words.next().and_then(DType::from_name).expect("an element type");
    let dims = words.next().expect("sizes").trim_matches(['[', ']']);
    let dims: Vec<i64> =
        dims.split(',').filter(|d| !d.is_empty()).map(|d| d.parse().expect("a size")).collect();
    let values: Vec<f64> = words.map(|v| v.parse().expect("a number")).collect();
    Tensor::from_f64(dtype, &dims, &values)
}

/// The cotangent of an output of `n` elements; `generate.py` has the same.
fn weights(like: &Tensor) -> Tensor {
    let values: Vec<f64> = (0..like.len()).map(|k| ((k * 37 % 11) as f64 - 5.0) / 8.0).collect();
    Tensor::from_f64(like.dtype, &like.dims, &values)
}

/// Runs a case; `None` where there is no such operator here.
fn run(case: &Case) -> Option<Result<(), String>> {
    let mut graph = Graph::new(case.name.as_str());
    let params: Vec<ValueId> = case.inputs.iter().map(|t| graph.param(t.ty())).collect();
    let outputs: Vec<ValueId> = {
        let scope = Scope::new(&mut graph);
        let x: Vec<Val<'_, Graph>> = params.iter().map(|p| scope.val(p)).collect();
        calls::call(&case.name, &x)?.into_iter().map(Val::into_value).collect()
    };
    graph.outputs = outputs;
    Some(compare(case, &graph, &params))
}

/// PyTorch's own tolerances (`torch.testing.assert_close`).
fn tolerance(dtype: DType) -> (f64, f64) {
    match dtype {
        DType::F64 => (1e-7, 1e-7),
        DType::F32 => (1.3e-6, 1e-5),
        DType::F16 => (1e-3, 1e-5),
        DType::BF16 => (1.6e-2, 1e-5),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => (0.0, 0.0),
    }
}

fn compare(case: &Case, graph: &Graph, params: &[ValueId]) -> Result<(), String> {
    let found = eval(graph, &case.inputs, &[]).map_err(|e| e.to_string())?;
    check("output", &found, &case.outputs)?;
    if case.gradients.is_empty() {
        return Ok(());
    }
    let floats = (0..params.len()).filter(|&i| case.inputs[i].dtype.is_float());
    let wrt: Vec<ValueId> = floats.take(case.gradients.len()).map(|i| params[i]).collect();
    let roots: Vec<ValueId> =
        graph.outputs.iter().copied().filter(|&o| graph.ty(o).dtype.is_float()).collect();
    let derivative = vjp(graph, &roots, &wrt, VjpOptions::default()).map_err(|e| e.to_string())?;
    let mut arguments = case.inputs.clone();
    arguments.extend(found.iter().filter(|y| y.dtype.is_float()).map(weights));
    let gradients = eval(&derivative, &arguments, &[]).map_err(|e| e.to_string())?;
    check("gradient", &gradients, &case.gradients)?;
    if case.seconds.is_empty() {
        return Ok(());
    }
    let wrt: Vec<ValueId> = derivative.params()[..params.len()]
        .iter()
        .copied()
        .filter(|&p| derivative.ty(p).dtype.is_float())
        .take(case.gradients.len())
        .collect();
    let second =
        vjp(&derivative, &derivative.outputs, &wrt, VjpOptions::default()).map_err(|e| e.to_string())?;
    arguments.extend(gradients.iter().map(weights));
    let seconds = eval(&second, &arguments, &[]).map_err(|e| e.to_string())?;
    check("second derivative", &seconds, &case.seconds)
}

fn check(what: &str, found: &[Tensor], wanted: &[Tensor]) -> Result<(), String> {
    if found.len() != wanted.len() {
        return Err(format!("{} {what}s, expected {}", found.len(), wanted.len()));
    }
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        let (rtol, atol) = tolerance(w.dtype);
        f.close(w, rtol, atol).map_err(|e| format!("{what} {i}: {e}\n  got  {f:?}\n  want {w:?}"))?;
    }
    Ok(())
}

#[test]
fn composites_agree_with_pytorch() {
    let cases = parse(include_str!("cases.txt"));
    assert!(cases.len() > 400);
    let mut failures = Vec::new();
    for case in &cases {
        match run(case) {
            None => failures.push(format!("{}: not called", case.name)),
            Some(Err(e)) => failures.push(format!("{}: {e}", case.name)),
            Some(Ok(())) => {}
        }
    }
    assert!(failures.is_empty(), "{} of {} cases\n{}", failures.len(), cases.len(), failures.join("\n"));
}
