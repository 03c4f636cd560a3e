//! Products that go to cuBLASLt, on the stand-in: every kind of them against the interpreter, whose sums are of `f64`.

mod standin;

use standin::{Standin, devices, prepare};
use std::fmt::Write;
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::DType;
use ttk_ir::eval::Tensor;
use ttk_ir::program::Program;
use ttk_ir::program::eval::eval;
use ttk_ir::testing::{Values, random_inputs};
use ttk_passes::{HalfProducts, LowerOptions, lower};
use ttk_runtime::cuda::{self, Device, DeviceBuffer, release_devices};

/// `activation(a b + addend + bias)`, `a` of `batch x m x k`.
#[derive(Clone, Copy, Debug)]
struct Case {
    dtype: DType,
    sizes: [i64; 3],
    batch: &'static [i64],
    /// Of `a` and `b`, in memory.
    transposed: [bool; 2],
    bias: bool,
    addend: bool,
    activation: &'static str,
    tf32: bool,
}

impl Case {
    /// What the call says that it computes. An epilogue with an addend and no bias is a kernel of its own, which goes
    /// through the elements in another order than by rows.
    fn says(&self) -> String {
        let of = if self.tf32 { "tf32" } else { self.dtype.name() };
        // Axes of a batch that lie one in another are one.
        let items: i64 = self.batch.iter().product();
        let times = if items > 1 { format!(", times {items}") } else { String::new() };
        if !self.bias {
            let alone = if self.addend { "" } else { self.activation };
            return format!("{of}{times}{}{alone}", if alone.is_empty() { "" } else { ", " });
        }
        let addend = if self.addend { ", addend" } else { "" };
        let activation = if self.activation.is_empty() { "" } else { ", " };
        format!("{of}{times}{addend}, bias{activation}{}", self.activation)
    }
}

const PLAIN: Case = Case {
    dtype: DType::F32,
    sizes: [5, 12, 7],
    batch: &[],
    transposed: [false, false],
    bias: false,
    addend: false,
    activation: "",
    tf32: false,
};

/// A type's name with its sizes.
fn typed(dtype: DType, sizes: &[i64]) -> String {
    let sizes: Vec<String> = sizes.iter().map(i64::to_string).collect();
    format!("{}[{}]", dtype.name(), sizes.join(","))
}

/// The graph of a case.
fn graph(case: &Case) -> String {
    let Case { dtype, sizes: [m, n, k], batch, .. } = *case;
    let of = |sizes: &[i64]| typed(dtype, sizes);
    let [ta, tb] = case.transposed;
    let a = [batch, &if ta { [k, m] } else { [m, k] }].concat();
    let b = [batch, &if tb { [n, k] } else { [k, n] }].concat();
    let c = [batch, &[m, n]].concat();
    let mut inputs = format!("%a: {}, %b: {}", of(&a), of(&b));
    if case.bias {
        let _ = write!(inputs, ", %bias: {}", of(&[n]));
    }
    if case.addend {
        let _ = write!(inputs, ", %addend: {}", of(&c));
    }
    let out = of(&c);
    let mut text = format!("graph @product({inputs}) -> ({out}) {{\n");
    let axes = batch.len();
    let pairs: Vec<String> = (0..axes).map(|i| format!("{i}:{i}")).collect();
    let (over_a, over_b) = (axes + usize::from(!ta), axes + usize::from(tb));
    let batched = if axes > 0 { format!("batch=[{}], ", pairs.join(",")) } else { String::new() };
    let _ = writeln!(text, "  %p = dot %a, %b {{{batched}contract=[{over_a}:{over_b}]}} : {out}");
    let mut last = "%p";
    if case.addend {
        let _ = writeln!(text, "  %q = add %addend, {last} : {out}");
        last = "%q";
    }
    if case.bias {
        let ones = [vec![1; axes + 1], vec![n]].concat();
        let _ = writeln!(text, "  %row = reshape %bias : {}", of(&ones));
        let _ = writeln!(text, "  %rows = expand %row : {out}");
        let _ = writeln!(text, "  %r = add {last}, %rows : {out}");
        last = "%r";
    }
    let compute = typed(dtype.compute(), &c);
    match case.activation {
        "" => {}
        "relu" => {
            let _ = writeln!(text, "  %zero = const {{value=0.0}} : {out}");
            let _ = writeln!(text, "  %s = max {last}, %zero : {out}");
            last = "%s";
        }
        "gelu" => {
            let mut x = last;
            if dtype.compute() != dtype {
                let _ = writeln!(text, "  %wide = cast {last} : {compute}");
                x = "%wide";
            }
            for (name, value) in
                [("half", 0.5), ("one", 1.0), ("cubic", 0.044715), ("slope", 0.7978845608028654)]
            {
                let _ = writeln!(text, "  %{name} = const {{value={value:?}}} : {compute}");
            }
            for line in [
                format!("%square = mul {x}, {x}"),
                format!("%cube = mul %square, {x}"),
                "%small = mul %cube, %cubic".to_string(),
                format!("%sum = add {x}, %small"),
                "%inner = mul %sum, %slope".to_string(),
                "%tanh = tanh %inner".to_string(),
                "%up = add %tanh, %one".to_string(),
                format!("%halved = mul {x}, %half"),
                "%g = mul %halved, %up".to_string(),
            ] {
                let _ = writeln!(text, "  {line} : {compute}");
            }
            last = "%g";
            if dtype.compute() != dtype {
                let _ = writeln!(text, "  %s = cast %g : {out}");
                last = "%s";
            }
        }
        other => panic!("no activation {other}"),
    }
    let _ = writeln!(text, "  return {last}\n}}");
    text
}

fn near(case: &Case) -> f64 {
    match case.dtype {
        DType::F64 => 1e-13,
        DType::F32 if case.tf32 => 2e-3,
        DType::F32 => 2e-6,
        // The interpreter rounds the product before the epilogue, a library after it.
        DType::F16 => 3e-3,
        _ => 2e-2,
    }
}

fn lowered(text: &str) -> Program {
    let graph = ttk_ir::text::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let donate = vec![false; graph.params().len()];
    lower(&graph, &LowerOptions { native_math: true, half_products: HalfProducts::All, donate }).unwrap()
}

/// Runs a case on a device, twice.
fn check(case: &Case, device: &Device, seed: u64) -> Result<(), String> {
    let program = lowered(&graph(case));
    let on_device = emit(&program, &Options { tf32: case.tf32, ..Options::default() }).unwrap();
    let best = on_device.alternatives.first().ok_or("no library is asked")?;
    let says = best.call.to_string();
    if !says.ends_with(&format!(" of {}", case.says())) {
        return Err(format!("it says {says}"));
    }
    let plan = prepare(program.clone(), on_device, device).map_err(|e| e.to_string())?;
    for round in 0..2 {
        let inputs = random_inputs(&program.inputs, &[], seed + round, Values::Tame);
        let want = eval(&program, &inputs, &[]).map_err(|e| e.to_string())?;
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, &[]).map_err(|e| e.to_string())?;
        let data = got[0].to_buffer().map_err(|e| e.to_string())?.bytes().to_vec();
        let largest = want[0].to_f64().into_iter().fold(1.0, |m: f64, v| m.max(v.abs()));
        let got = Tensor { data, ..want[0].clone() };
        got.close(&want[0], near(case), near(case) * largest).map_err(|e| e.to_string())?;
    }
    match plan.library_calls().as_slice() {
        [(_, "cuBLASLt")] => Ok(()),
        other => Err(format!("it goes to {other:?}")),
    }
}

const FLOATS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

fn cases() -> Vec<Case> {
    let mut out = Vec::new();
    for dtype in FLOATS {
        let base = Case { dtype, ..PLAIN };
        for transposed in [[false, false], [false, true], [true, false], [true, true]] {
            // Odd sizes, single rows and columns, sums long enough for a workspace.
            for sizes in [[5, 12, 7], [1, 9, 4], [6, 1, 3], [1, 1, 5], [8, 16, 1], [16, 24, 160]] {
                out.push(Case { transposed, sizes, ..base });
            }
            for batch in [[3].as_slice(), &[2, 3]] {
                out.push(Case { transposed, batch, ..base });
            }
        }
        for batch in [[].as_slice(), &[3]] {
            let base = Case { batch, ..base };
            for (bias, activation) in
                [(true, ""), (false, "relu"), (true, "relu"), (false, "gelu"), (true, "gelu")]
            {
                out.push(Case { bias, activation, transposed: [false, true], ..base });
            }
        }
        out.push(Case { addend: true, ..base });
        out.push(Case { addend: true, bias: true, activation: "relu", ..base });
    }
    out.push(Case { tf32: true, ..PLAIN });
    out.push(Case { tf32: true, bias: true, activation: "relu", ..PLAIN });
    out
}

#[test]
fn products_of_every_kind_go_to_the_library() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let cases = cases();
        let mut failures = Vec::new();
        for apart in [false, true] {
            // Every operand between guard pages.
            device.set_caching(!apart).unwrap();
            for (seed, case) in cases.iter().enumerate() {
                if let Err(e) = check(case, device, seed as u64) {
                    failures.push(format!("{case:?}: {e}: {}", standin.last_message()));
                }
            }
        }
        device.set_caching(true).unwrap();
        eprintln!("{} products", 2 * cases.len());
        assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), 2 * cases.len(), failures.join("\n"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// Two layers: products, one of whose operands is the other's result, are part of the recording of a run.
#[test]
fn products_are_recorded() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let program = lowered(
            "graph @layers[n](%x: f32[n,160], %v: f32[24,160], %w: f32[8,24]) -> (f32[n,8]) {\n  \
             %0 = dot %x, %v {contract=[1:1]} : f32[n,24]\n  %1 = const {value=0.0} : f32[n,24]\n  \
             %2 = max %0, %1 : f32[n,24]\n  %3 = dot %2, %w {contract=[1:1]} : f32[n,8]\n  return %3\n}\n",
        );
        let on_device = emit(&program, &Options::default()).unwrap();
        let plan = prepare(program.clone(), on_device, device).unwrap();
        for n in [3, 17] {
            for round in 0..6 {
                let inputs = random_inputs(&program.inputs, &[n], round, Values::Tame);
                let want = eval(&program, &inputs, &[n]).unwrap();
                let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap());
                let got = plan.run(buffers.collect(), &[n]).unwrap();
                let got = Tensor { data: got[0].to_buffer().unwrap().bytes().to_vec(), ..want[0].clone() };
                got.close(&want[0], 1e-5, 1e-4).unwrap();
            }
        }
        assert_eq!(plan.library_calls(), [(0, "cuBLASLt"), (2, "cuBLASLt")]);
        assert_eq!(plan.recorded(), 2);
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// What a library does not have stays with the printed functions, and is no worse for it.
#[test]
fn what_a_library_lacks_is_left_to_the_printed_functions() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        // Integers; an operand whose neighbours overlap (a window). Two contracted axes that are not one are a convolution
        // without overlap. The heads of attention are a batch of two axes, of which one is a loop of calls.
        for (text, calls) in [
            ("%a: i32[4,5], %b: i32[5,6]) -> (i32[4,6]) {\n  %0 = dot %a, %b {contract=[1:0]} : i32[4,6]", 0),
            (
                "%a: f32[4,3,5], %b: f32[5,6,3]) -> (f32[4,6]) {\n  \
                 %0 = dot %a, %b {contract=[1:2,2:0]} : f32[4,6]",
                1,
            ),
            (
                "%a: f32[9], %b: f32[3,6]) -> (f32[7,6]) {\n  \
                 %w = window %a {axes=[0], dilation=[1], size=[3], stride=[1]} : f32[7,3]\n  \
                 %0 = dot %w, %b {contract=[1:0]} : f32[7,6]",
                0,
            ),
            (
                "%a: f32[2,5,3,7], %b: f32[2,6,3,7]) -> (f32[2,3,5,6]) {\n  \
                 %x = permute %a {perm=[0,2,1,3]} : f32[2,3,5,7]\n  \
                 %y = permute %b {perm=[0,2,3,1]} : f32[2,3,7,6]\n  \
                 %0 = dot %x, %y {batch=[0:0,1:1], contract=[3:2]} : f32[2,3,5,6]",
                1,
            ),
        ] {
            let text = format!("graph @g({text}\n  return %0\n}}\n");
            let program = lowered(&text);
            let on_device = emit(&program, &Options::default()).unwrap();
            let plan = prepare(program.clone(), on_device, device).unwrap();
            let inputs = random_inputs(&program.inputs, &[], 1, Values::Tame);
            let want = eval(&program, &inputs, &[]).unwrap();
            let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
            let got = plan.run(buffers, &[]).unwrap();
            let got = Tensor { data: got[0].to_buffer().unwrap().bytes().to_vec(), ..want[0].clone() };
            got.close(&want[0], 1e-5, 1e-4).unwrap();
            assert_eq!(plan.library_calls().len(), calls, "{text}");
        }
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn a_library_says_where_it_was_found() {
    let _standin = Standin::open();
    let _devices = devices(1);
    for (name, found) in cuda::libraries() {
        assert!(found.unwrap().starts_with(standin::directory()), "{name}");
    }
}
