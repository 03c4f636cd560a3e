//! Gradients that cuBLASLt computes along with a product, on the stand-in: a bias's beside a weight's, and that of gelu.

mod standin;

use standin::{Standin, devices, prepare};
use std::fmt::Write;
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::DType;
use ttk_ir::device::DeviceStep;
use ttk_ir::eval::Tensor;
use ttk_ir::library::Call;
use ttk_ir::program::eval::eval;
use ttk_ir::testing::{Values, random_inputs};
use ttk_passes::{HalfProducts, LowerOptions, lower};
use ttk_runtime::cuda::{Device, DeviceBuffer, release_devices};

const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

fn near(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-5,
        // The interpreter rounds after every operation.
        DType::F16 => 1e-2,
        _ => 6e-2,
    }
}

/// The step that the first call computes along with its product.
fn second(call: &Call) -> Option<u32> {
    match call {
        Call::Product(p) => p.second,
        Call::Convolution(_) => None,
    }
}

/// Runs a graph and compares; what the first call is said to compute. `joined` is how many steps calls are to compute
/// along with products; these do nothing by themselves here. With `printed` nothing goes to the library.
fn check(
    text: &str,
    symbols: &[i64],
    device: &Device,
    joined: usize,
    printed: bool,
) -> Result<String, String> {
    let graph = ttk_ir::text::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let donate = vec![false; graph.params().len()];
    let program =
        lower(&graph, &LowerOptions { native_math: true, half_products: HalfProducts::All, donate }).unwrap();
    let mut on_device = emit(&program, &Options::default()).unwrap();
    let says = on_device.alternatives.first().map(|a| a.call.to_string()).unwrap_or_default();
    let seconds: Vec<u32> = on_device.alternatives.iter().filter_map(|a| second(&a.call)).collect();
    if printed {
        on_device.alternatives.clear();
    } else if seconds.len() != joined {
        return Err(format!("{} steps go with products: {says}\n{program}", seconds.len()));
    } else {
        for step in seconds {
            on_device.steps[step as usize] = DeviceStep::Launch(Vec::new());
        }
    }
    let plan = prepare(program.clone(), on_device, device).map_err(|e| e.to_string())?;
    // Often enough that the run is recorded.
    for round in 0..5 {
        let inputs = random_inputs(&program.inputs, symbols, round, Values::Tame);
        let want = eval(&program, &inputs, symbols).map_err(|e| e.to_string())?;
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, symbols).map_err(|e| e.to_string())?;
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let data = got.to_buffer().map_err(|e| e.to_string())?.bytes().to_vec();
            let largest = want.to_f64().into_iter().fold(1.0, |m: f64, v| m.max(v.abs()));
            let near = near(want.dtype);
            Tensor { data, ..want.clone() }
                .close(want, near, near * largest)
                .map_err(|e| format!("output {i}: {e}"))?;
        }
    }
    if plan.library_calls().is_empty() != printed {
        return Err(format!("calls: {:?}", plan.library_calls()));
    }
    Ok(says)
}

/// The gradients of a linear layer: of its weight, laid out as `weight` says, and of its bias.
fn linear(dtype: DType, rows: &str, cols: i64, weight_first: bool, bias_first: bool) -> String {
    let (d, symbols) = (dtype.name(), if rows == "n" { "[n]" } else { "" });
    let (dw, operands) = if weight_first {
        (format!("{d}[{cols},24]"), "%dy, %x")
    } else {
        (format!("{d}[24,{cols}]"), "%x, %dy")
    };
    let product = format!("  %w = dot {operands} {{contract=[0:0]}} : {dw}\n");
    let sum = format!("  %b = reduce %dy {{axes=[0], op=sum}} : {d}[1,{cols}]\n");
    let both = if bias_first { sum + &product } else { product + &sum };
    format!(
        "graph @linear{symbols}(%x: {d}[{rows},24], %dy: {d}[{rows},{cols}]) -> ({dw}, {d}[1,{cols}]) {{\n\
         {both}  return %w, %b\n}}\n"
    )
}

#[test]
fn a_bias_has_its_gradient_beside_the_weights() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let mut cases = Vec::new();
        for dtype in FLOATS {
            for weight_first in [false, true] {
                for bias_first in [false, true] {
                    cases.push((linear(dtype, "48", 12, weight_first, bias_first), vec![]));
                }
            }
        }
        cases.push((linear(DType::F32, "n", 12, true, false), vec![9]));
        cases.push((linear(DType::F32, "160", 7, true, false), vec![]));
        // Columns that several items of the printed kernel share.
        cases.push((linear(DType::F32, "40", 1536, true, true), vec![]));
        for apart in [false, true] {
            device.set_caching(!apart).unwrap();
            for (text, symbols) in &cases {
                let says = check(text, symbols, device, 1, false)
                    .unwrap_or_else(|e| panic!("{e}: {}\n{text}", standin.last_message()));
                assert!(says.contains(", sum of the ") && says.contains(" operand, step "), "{says}");
                check(text, symbols, device, 1, true).unwrap_or_else(|e| panic!("{e}\n{text}"));
            }
        }
        device.set_caching(true).unwrap();
        eprintln!("{} layers", cases.len());
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// `dy w` times the derivative of gelu at `x`.
fn gelu(dtype: DType, rows: i64, cols: i64, more: &str) -> String {
    let d = dtype.name();
    let (of, wide) = (format!("{d}[{rows},{cols}]"), format!("{}[{rows},{cols}]", dtype.compute().name()));
    let results = if more.is_empty() { of.clone() } else { format!("{of}, {of}") };
    let mut text = format!(
        "graph @gelu(%dy: {d}[{rows},10], %w: {d}[10,{cols}], %before: {of}) -> ({results}) {{\n  \
         %dot = dot %dy, %w {{contract=[1:0]}} : {of}\n"
    );
    let (mut p, mut x, mut last) = ("%dot", "%before", "%r");
    if wide != of {
        let _ = writeln!(text, "  %wide = cast %dot : {wide}\n  %wide_before = cast %before : {wide}");
        (p, x, last) = ("%wide", "%wide_before", "%cast");
    }
    let constants = [("half", 0.5), ("one", 1.0), ("cubic", 0.044715), ("three", 0.134145)];
    for (name, value) in constants.into_iter().chain([("slope", 0.7978845608028654)]) {
        let _ = writeln!(text, "  %{name} = const {{value={value:?}}} : {wide}");
    }
    for line in [
        "%square = mul %x, %x",
        "%cube = mul %square, %x",
        "%small = mul %cube, %cubic",
        "%sum = add %x, %small",
        "%inner = mul %sum, %slope",
        "%t = tanh %inner",
        "%up = add %t, %one",
        "%g = mul %p, %half",
        "%first = mul %g, %up",
        "%tt = mul %t, %t",
        "%down = sub %one, %tt",
        "%gx = mul %g, %x",
        "%gd = mul %gx, %down",
        "%gs = mul %gd, %slope",
        "%q = mul %square, %three",
        "%q1 = add %q, %one",
        "%last = mul %gs, %q1",
        "%r = add %first, %last",
    ] {
        let line = line.replace("%p,", &format!("{p},")).replace("%x", x);
        let _ = writeln!(text, "  {line} : {wide}");
    }
    if wide != of {
        let _ = writeln!(text, "  %cast = cast %r : {of}");
    }
    let _ = writeln!(text, "  return {last}{more}\n}}");
    text
}

#[test]
fn a_product_comes_out_of_gelus_gradient() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        for dtype in FLOATS {
            let text = gelu(dtype, 6, 16, "");
            let says = check(&text, &[], device, 1, false)
                .unwrap_or_else(|e| panic!("{dtype:?} {e}: {}", standin.last_message()));
            assert!(says.contains(", gradient of gelu, step "), "{says}");
            check(&text, &[], device, 1, true).unwrap();
        }
        // Many elements, which the printed kernel deals out to several items.
        check(&gelu(DType::F32, 96, 1000, ""), &[], device, 1, false).unwrap();
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// What may not move, what someone else wants to see, and what the library's function is not for.
#[test]
fn other_steps_stay_where_they_are() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        // The product itself is a result; another slope is no gelu's; a sum that the product's operand is made of.
        let several = gelu(DType::F32, 6, 16, ", %dot");
        let other = gelu(DType::F32, 6, 16, "").replace("0.134145", "0.134");
        let needed = "graph @needed(%x: f32[16,12], %dy: f32[16,12]) -> (f32[12,12], f32[1,12]) {\n  \
                      %b = reduce %dy {axes=[0], op=sum} : f32[1,12]\n  %e = expand %b : f32[16,12]\n  \
                      %y = mul %x, %e : f32[16,12]\n  %w = dot %dy, %y {contract=[0:0]} : f32[12,12]\n  \
                      return %w, %b\n}\n";
        for text in [several.as_str(), &other, needed] {
            let says = check(text, &[], device, 0, false).unwrap_or_else(|e| panic!("{e}\n{text}"));
            assert!(!says.contains(", step "), "{says}");
        }
        // Columns that are no multiple of eight elements: the next call is taken, and the step runs by itself.
        let graph = ttk_ir::text::parse(&gelu(DType::F32, 6, 15, "")).unwrap();
        let donate = vec![false; graph.params().len()];
        let program =
            lower(&graph, &LowerOptions { native_math: true, half_products: HalfProducts::All, donate })
                .unwrap();
        let on_device = emit(&program, &Options::default()).unwrap();
        assert!(on_device.alternatives.iter().any(|a| second(&a.call).is_some()));
        let plan = prepare(program.clone(), on_device, device).unwrap();
        let inputs = random_inputs(&program.inputs, &[], 1, Values::Tame);
        let want = eval(&program, &inputs, &[]).unwrap();
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, &[]).unwrap();
        let got = Tensor { data: got[0].to_buffer().unwrap().bytes().to_vec(), ..want[0].clone() };
        got.close(&want[0], 1e-5, 1e-5).unwrap();
        assert_eq!(plan.library_calls().len(), 1);
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
