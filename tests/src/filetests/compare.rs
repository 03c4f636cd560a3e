//! What a test claims without printing it: a pass keeps the meaning of a graph, a derivative is one.

use super::FileTest;
use ttk_ir::eval::{NoCustomOps, Tensor, eval, eval_with};
use ttk_ir::testing::{Rng, Values, input_types, random_inputs};
use ttk_ir::{DType, Graph, Op, ReduceOp};

/// How many sets of inputs a pass is tried on.
const SEEDS: u64 = 4;

/// How two graphs agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Agreement {
    /// Bit for bit, on inputs that hold NaN, infinities, denormals and zeros of both signs.
    Exact,
    /// Up to rounding, on inputs between -2 and 2.
    Rounding,
}

/// The values of the symbols that the file gives, or 3, 4, 5 and so on.
pub(super) fn symbols(test: &FileTest, graph: &Graph) -> Result<Vec<i64>, String> {
    let given: Vec<i64> = test.numbers("symbols")?;
    let n = graph.symbols.len();
    Ok(if given.is_empty() { (0..n as i64).map(|i| 3 + i).collect() } else { given })
}

/// The inputs that the file gives, or random ones.
pub(super) fn inputs(
    test: &FileTest,
    graph: &Graph,
    symbols: &[i64],
    seed: u64,
    values: Values,
) -> Result<Vec<Tensor>, String> {
    let types = input_types(graph);
    let given: Vec<&str> = test.directive("input").collect();
    if given.is_empty() {
        return Ok(random_inputs(&types, symbols, seed, values));
    }
    if given.len() != types.len() {
        return Err(format!("{} `; input:` lines for {} inputs", given.len(), types.len()));
    }
    types
        .iter()
        .zip(given)
        .map(|(ty, text)| {
            let dims: Vec<i64> = ty.shape.iter().map(|d| d.eval(symbols)).collect();
            tensor(ty.dtype, &dims, text)
        })
        .collect()
}

/// A tensor of the numbers in a text.
pub(super) fn tensor(dtype: DType, dims: &[i64], text: &str) -> Result<Tensor, String> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
    let values: Result<Vec<f64>, _> = words.map(str::parse).collect();
    let values = values.map_err(|e| format!("`; input: {text}`: {e}"))?;
    if dims.iter().product::<i64>() as usize != values.len() {
        return Err(format!("`; input: {text}` has {} values for {dtype}{dims:?}", values.len()));
    }
    Ok(Tensor::from_f64(dtype, dims, &values))
}

/// Evaluates both graphs and compares each output.
///
/// # Errors
/// The first difference, and the graphs that show it.
pub(super) fn agree(test: &FileTest, before: &Graph, after: &Graph, how: Agreement) -> Result<(), String> {
    let symbols = symbols(test, before)?;
    for seed in 1..=SEEDS {
        for values in [Values::Tame, Values::Wild] {
            // Wild numbers differ by more than rounding where a sum has another order.
            if values == Values::Wild && how != Agreement::Exact {
                continue;
            }
            let inputs = inputs(test, before, &symbols, seed, values)?;
            // What cannot be evaluated (a custom operation, an index out of range) says nothing.
            let Ok(want) = eval_with(before, &inputs, &symbols, &NoCustomOps) else { continue };
            let got =
                eval_with(after, &inputs, &symbols, &NoCustomOps).map_err(|e| format!("{e}\n{after}"))?;
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let same = match how {
                    Agreement::Exact if has_sums(before) => but_for_zeros(got, want),
                    Agreement::Exact => got.same(want).map_err(|e| e.to_string()),
                    Agreement::Rounding => close(got, want),
                };
                same.map_err(|e| {
                    format!("output {i} differs, inputs {seed}: {e}\n{before}\nand after:\n{after}")
                })?;
            }
        }
    }
    Ok(())
}

fn has_sums(graph: &Graph) -> bool {
    let is_sum =
        |op: &Op| matches!(op, Op::Reduce { op: ReduceOp::Sum, .. } | Op::Scan { .. } | Op::Fold { .. });
    graph.nodes().iter().any(|n| is_sum(&n.op))
}

/// Exactly, but for the sign of zeros: a sum of one element is that element, though `0.0 + -0.0` is `0.0`.
fn but_for_zeros(got: &Tensor, want: &Tensor) -> Result<(), String> {
    let mut got = got.clone();
    if (got.dtype, &got.dims) == (want.dtype, &want.dims) {
        for i in 0..got.len() {
            if got.get(i).as_f64() == 0.0 && want.get(i).as_f64() == 0.0 {
                got.set(i, want.get(i));
            }
        }
    }
    got.same(want).map_err(|e| e.to_string())
}

pub(super) fn close(got: &Tensor, want: &Tensor) -> Result<(), String> {
    let tolerance = match want.dtype {
        DType::F64 => 1e-11,
        DType::F32 => 1e-5,
        DType::F16 => 1e-2,
        DType::BF16 => 5e-2,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    };
    got.close(want, tolerance, tolerance).map_err(|e| e.to_string())
}

/// Which of the tensors can be varied a little: those of `f64`, the only type in which a difference of two
/// nearly equal results has digits left.
fn smooth(types: &[Tensor]) -> bool {
    types.iter().all(|t| t.dtype == DType::F64 || !t.dtype.is_float())
}

/// The derivative of the outputs along a random direction, by central differences, and the direction.
struct Difference {
    inputs: Vec<Tensor>,
    /// One for each float input.
    direction: Vec<Tensor>,
    /// One for each float output.
    slopes: Vec<Tensor>,
}

/// `None` for a graph that is not in `f64`, or that cannot be evaluated.
fn difference(test: &FileTest, graph: &Graph) -> Result<Option<Difference>, String> {
    const STEP: f64 = 1e-5;
    let symbols = symbols(test, graph)?;
    let inputs = inputs(test, graph, &symbols, 1, Values::Tame)?;
    let Ok(outputs) = eval(graph, &inputs, &symbols) else { return Ok(None) };
    if !smooth(&inputs) || !smooth(&outputs) {
        return Ok(None);
    }
    let mut rng = Rng::new(7);
    let direction: Vec<Tensor> = inputs
        .iter()
        .filter(|t| t.dtype.is_float())
        .map(|t| t.with_values((0..t.len()).map(|_| rng.unit() * 2.0 - 1.0)))
        .collect();
    let moved = |by: f64| {
        let mut along = direction.iter();
        let step = |t: &Tensor| match t.dtype.is_float() {
            true => along.next().map_or_else(|| t.clone(), |d| add(t, d, by)),
            false => t.clone(),
        };
        eval(graph, &inputs.iter().map(step).collect::<Vec<_>>(), &symbols).map_err(|e| e.to_string())
    };
    let (up, down) = (moved(STEP)?, moved(-STEP)?);
    let slope = |(u, d): (&Tensor, &Tensor)| {
        u.with_values(u.to_f64().iter().zip(d.to_f64()).map(|(u, d)| (u - d) / (2.0 * STEP)))
    };
    let slopes = up.iter().zip(&down).filter(|(u, _)| u.dtype.is_float()).map(slope).collect();
    Ok(Some(Difference { inputs, direction, slopes }))
}

fn add(x: &Tensor, d: &Tensor, by: f64) -> Tensor {
    x.with_values(x.to_f64().iter().zip(d.to_f64()).map(|(x, d)| x + by * d))
}

fn inner(x: &[Tensor], y: &[Tensor]) -> f64 {
    let of = |(a, b): (&Tensor, &Tensor)| a.to_f64().iter().zip(b.to_f64()).map(|(a, b)| a * b).sum::<f64>();
    x.iter().zip(y).map(of).sum()
}

const SLOPE_TOLERANCE: f64 = 1e-6;

/// Whether `gradients`, a graph of the inputs and a cotangent for each float output, gives the adjoint of
/// what central differences give. Says nothing of graphs that are not in `f64`.
///
/// # Errors
/// Both numbers, when they differ.
pub(super) fn gradients_are_slopes(test: &FileTest, graph: &Graph, gradients: &Graph) -> Result<(), String> {
    let Some(Difference { mut inputs, direction, slopes }) = difference(test, graph)? else { return Ok(()) };
    let mut rng = Rng::new(11);
    let cotangents: Vec<Tensor> =
        slopes.iter().map(|t| t.with_values((0..t.len()).map(|_| rng.unit() * 2.0 - 1.0))).collect();
    let want = inner(&cotangents, &slopes);
    inputs.extend(cotangents);
    let got = eval(gradients, &inputs, &symbols(test, graph)?).map_err(|e| e.to_string())?;
    let got = inner(&got, &direction);
    if (got - want).abs() <= SLOPE_TOLERANCE * (1.0 + want.abs()) {
        return Ok(());
    }
    Err(format!("the slope is {want} by differences and {got} by the gradients\n{gradients}"))
}

/// Whether `tangents`, a graph of the inputs and a tangent for each float input, gives after the outputs what
/// central differences give. Says nothing of graphs that are not in `f64`.
///
/// # Errors
/// The difference.
pub(super) fn tangents_are_slopes(test: &FileTest, graph: &Graph, tangents: &Graph) -> Result<(), String> {
    let Some(Difference { mut inputs, direction, slopes }) = difference(test, graph)? else { return Ok(()) };
    inputs.extend(direction);
    let got = eval(tangents, &inputs, &symbols(test, graph)?).map_err(|e| e.to_string())?;
    let first = graph.outputs.len();
    for (got, want) in got.iter().skip(first).zip(&slopes) {
        let close = got.close(want, SLOPE_TOLERANCE, SLOPE_TOLERANCE);
        close.map_err(|e| format!("a tangent is not the slope: {e}\n{tangents}"))?;
    }
    Ok(())
}
