//! Graphs lowered, printed as CUDA C, and run by the runtime on the stand-in, against the interpreter.

mod standin;

use standin::{Standin, devices, prepare};
use std::path::Path;
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::eval::Tensor;
use ttk_ir::program::eval::eval;
use ttk_ir::testing::{GraphOptions, Values, random_graph, random_inputs};
use ttk_ir::{DType, Graph};
use ttk_passes::{HalfProducts, LowerOptions, lower};
use ttk_runtime::cuda::{Device, DeviceBuffer, release_devices};
use ttk_tests::filetests::FileTest;

fn close(got: &Tensor, want: &Tensor) -> Result<(), String> {
    let near = match want.dtype {
        DType::F64 => 1e-12,
        DType::F32 => 2e-5,
        DType::F16 => 2e-2,
        DType::BF16 => 2e-1,
        _ => 0.0,
    };
    let largest = want.to_f64().into_iter().filter(|v| v.is_finite()).fold(1.0, |m: f64, v| m.max(v.abs()));
    got.close(want, near, near * largest).map_err(|e| e.to_string())
}

/// `printed`: no library takes part.
fn check(graph: &Graph, device: &Device, printed: bool) -> Result<usize, String> {
    let options = LowerOptions {
        native_math: true,
        half_products: HalfProducts::All,
        donate: vec![false; graph.params().len()],
    };
    let program = lower(graph, &options).map_err(|e| e.to_string())?;
    let symbols: Vec<i64> = (0..graph.symbols.len() as i64).map(|i| 3 + i).collect();
    let mut on_device = emit(&program, &Options::default()).map_err(|e| e.to_string())?;
    if printed {
        on_device.alternatives.clear();
    }
    let plan = prepare(program.clone(), on_device, device).map_err(|e| e.to_string())?;
    for round in 0..4 {
        let inputs = random_inputs(&program.inputs, &symbols, round, Values::Tame);
        let Ok(want) = eval(&program, &inputs, &symbols) else { continue };
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, &symbols).map_err(|e| e.to_string())?;
        for (g, w) in got.iter().zip(&want) {
            let data = g.to_buffer().map_err(|e| e.to_string())?.bytes().to_vec();
            close(&Tensor { data, ..w.clone() }, w)?;
        }
    }
    Ok(plan.recorded())
}

fn graphs(text: &str) -> Vec<Graph> {
    let tests = FileTest::parse(text).unwrap();
    tests.iter().map(|test| ttk_ir::text::parse(&test.text).unwrap()).collect()
}

#[test]
fn graphs_of_the_file_tests_run_on_a_device() {
    let mut standin = Standin::open();
    {
        let device = &devices(1)[0];
        let mut failures = Vec::new();
        let (mut count, mut recorded) = (0, 0);
        for twice in [false, true] {
            // Every intermediate between guard pages, and every launch in two orders.
            device.set_caching(!twice).unwrap();
            standin.set("twice", i32::from(twice));
            for folder in ["lower", "cuda", "eval"] {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("filetests").join(folder);
                for file in std::fs::read_dir(folder).unwrap() {
                    let path = file.unwrap().path();
                    for graph in graphs(&std::fs::read_to_string(&path).unwrap()) {
                        // Calls a kernel that nobody has registered.
                        if graph.to_string().contains("row.norm") {
                            continue;
                        }
                        count += 1;
                        match check(&graph, device, twice) {
                            Ok(n) => recorded += n,
                            Err(e) => failures.push(format!(
                                "{} @{} (twice: {twice}): {e}: {}",
                                path.display(),
                                graph.name,
                                standin.last_message()
                            )),
                        }
                    }
                }
            }
        }
        device.set_caching(true).unwrap();
        eprintln!("{count} programs, {recorded} recordings");
        assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// Graphs of any shape, with memory laid out by the planner and every intermediate apart.
#[test]
fn random_graphs_run_on_a_device() {
    let mut standin = Standin::open();
    {
        let device = &devices(1)[0];
        let number = |name: &str, default: u64| {
            std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
        };
        let (first, count) = (number("TTK_SEED", 0), number("TTK_SEEDS", 12));
        let mut failures = Vec::new();
        let shape =
            GraphOptions { effects: false, discontinuous: false, nodes: 16, ..GraphOptions::default() };
        for seed in first..first + count {
            let graph = random_graph(seed, &shape);
            let apart = seed % 2 == 1;
            device.set_caching(!apart).unwrap();
            standin.set("twice", i32::from(apart));
            if let Err(e) = check(&graph, device, apart) {
                failures.push(format!("seed {seed}: {e}: {}\n{graph}", standin.last_message()));
            }
        }
        device.set_caching(true).unwrap();
        assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
