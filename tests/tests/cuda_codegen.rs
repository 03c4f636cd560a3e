//! From a graph to a device: lowered, printed as CUDA C, compiled and launched by the runtime, on the stand-in.
//! The graphs are those of the file tests of lowering and of the printer; the results are the interpreter's.

mod standin;

use standin::{Standin, devices};
use std::fs;
use std::path::Path;
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::eval::Tensor;
use ttk_ir::program::Program;
use ttk_ir::program::eval::{ProgramError, eval};
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_ir::{DType, Graph};
use ttk_passes::{LowerOptions, lower};
use ttk_runtime::cuda::{CudaPlan, Device, DeviceBuffer, release_devices};
use ttk_tests::filetests::FileTest;

/// The graphs of the file tests in a folder, with the names of their files.
fn graphs(folder: &str) -> Vec<(String, Graph)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests").join(folder);
    let mut out = Vec::new();
    let mut files: Vec<_> = fs::read_dir(root).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    for file in files {
        for test in FileTest::parse(&fs::read_to_string(&file).unwrap()).unwrap() {
            let graph = ttk_ir::text::parse(&test.text).unwrap();
            out.push((format!("{} @{}", file.display(), graph.name), graph));
        }
    }
    out
}

fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 2e-5,
        DType::F16 => 2e-2,
        DType::BF16 => 1e-1,
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => 0.0,
    }
}

fn check(device: &Device, program: Program, inputs: &[Tensor], symbols: &[i64]) -> Result<(), String> {
    let want = eval(&program, inputs, symbols);
    let printed = emit(&program, &Options::default()).map_err(|e| e.to_string())?;
    let types = program.outputs.clone();
    // SAFETY: the source is printed from this very program by the code generator, whose promise it is.
    let plan = unsafe { CudaPlan::new(program, printed, device) }.map_err(|e| e.to_string())?;
    let buffers: Result<Vec<DeviceBuffer>, _> =
        inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data)).collect();
    let got = plan.run(buffers.map_err(|e| e.to_string())?, symbols);
    let want = match want {
        Ok(want) => want,
        Err(ProgramError::Index(_)) if got.is_err() => return Ok(()),
        Err(e) => return Err(format!("the interpreter stops: {e}")),
    };
    let got = got.map_err(|e| e.to_string())?;
    for ((got, want), output) in got.iter().zip(&want).zip(types) {
        let data = got.read(0..got.len()).map_err(|e| e.to_string())?;
        let got = Tensor { dtype: output.ty.dtype, dims: want.dims.clone(), data };
        let largest =
            want.to_f64().into_iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
        let near = rounding(want.dtype);
        got.close(want, near, near * largest).map_err(|e| e.to_string())?;
    }
    Ok(())
}

#[test]
fn printed_programs_run_through_the_runtime() {
    let standin = Standin::open();
    let mut failures = Vec::new();
    {
        let device = &devices(1)[0];
        for (name, graph) in ["lower", "cuda"].into_iter().flat_map(graphs) {
            let options = LowerOptions { native_math: true, donate: vec![false; graph.params().len()] };
            let program = lower(&graph, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
            // Custom operations are looked up by name where they run.
            if program.steps.iter().any(|s| matches!(s.action, ttk_ir::program::Action::Custom { .. })) {
                continue;
            }
            let symbols: Vec<i64> = (0..graph.symbols.len() as i64).map(|i| 5 + i).collect();
            let inputs = random_inputs(&input_types(&graph), &symbols, 11, Values::Tame);
            if let Err(e) = check(device, program, &inputs, &symbols) {
                failures.push(format!("{name}: {e}"));
            }
        }
    }
    release_devices();
    assert_eq!(standin.report(), "");
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
}
