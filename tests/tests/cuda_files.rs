//! Machine code for GPUs in a `.ttk` file: it stands for NVRTC where the file is trusted, and only there.

mod standin;

use standin::{Standin, devices};
use ttk_frontend::compile::{CompileOptions, compile_graph, cuda_of_file, trust};
use ttk_frontend::device::{Device, Memories};
use ttk_ir::Graph;
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_runtime::Buffer;
use ttk_runtime::artifact::{Artifact, architecture_of};
use ttk_runtime::cuda::{compile_stats, release_devices};

fn graph(scale: f64) -> Graph {
    ttk_ir::text::parse(&format!(
        "graph @model(%x: f32[6,20], %w: f32[20,8]) -> (f32[6,8], f32[6,1]) {{\n  \
         %0 = dot %x, %w {{contract=[1:0]}} : f32[6,8]\n  %1 = const {{value={scale:?}}} : f32[6,8]\n  \
         %2 = add %0, %1 : f32[6,8]\n  %3 = exp %2 : f32[6,8]\n  %4 = reduce %3 {{axes=[1], op=sum}} : f32[6,1]\n  \
         return %3, %4\n}}\n"
    ))
    .unwrap()
}

/// Runs a graph on the first GPU; how many functions NVRTC compiled for it.
fn functions_compiled(graph: &Graph) -> usize {
    let before = compile_stats().compiled;
    let options = CompileOptions { inference: true, device: Device::Cuda(0), ..CompileOptions::default() };
    let compiled = compile_graph(graph, &options).unwrap();
    let inputs = random_inputs(&input_types(graph), &[], 5, Values::Tame);
    let host = inputs.iter().map(|x| Buffer::from_slice(&x.data).unwrap()).collect();
    let mut there = Memories::copied(Device::Cuda(0), host).unwrap();
    let out = compiled.run(&mut there, &[]).unwrap();
    let want = ttk_ir::eval::eval(graph, &inputs, &[]).unwrap();
    for (got, want) in out.host().unwrap().iter().zip(&want) {
        let got = got.to_vec::<f32>();
        for (a, b) in got.iter().zip(want.to_f64()) {
            assert!((f64::from(*a) - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }
    compile_stats().compiled - before
}

#[test]
fn a_trusted_file_stands_for_nvrtc() {
    let mut standin = Standin::open();
    standin.set("capability", 90);
    drop(devices(1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.ttk");
    let mut artifact = Artifact::of_graph(graph(0.5));
    artifact.cuda = cuda_of_file(&artifact.graph, &[(8, 0), (9, 0), (9, 0)]).unwrap();
    artifact.write(&path).unwrap();
    let read = Artifact::read(&path).unwrap();
    assert_eq!(read.cuda, artifact.cuda);
    let names: Vec<(i32, i32)> = read.cuda.code.iter().map(|c| c.capability).collect();
    assert_eq!(names, [(8, 0), (9, 0)]);
    assert!(read.cuda.source.as_ref().is_some_and(|s| s.contains("__global__")));

    // Without trust NVRTC makes everything.
    let all = functions_compiled(&read.graph);
    assert!(all > 0);
    trust(&read);
    assert_eq!(functions_compiled(&read.graph), 0);
    // Another text is compiled; what it shares with the file's is not.
    let other = functions_compiled(&graph(0.25));
    assert!(0 < other && other < all, "{other} of {all}");

    let unknown = cuda_of_file(&artifact.graph, &[(7, 3)]).unwrap_err().to_string();
    assert!(unknown.contains("sm_73") && unknown.contains("sm_80, sm_90, sm_100"), "{unknown}");
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn damaged_machine_code_is_the_drivers_error() {
    let standin = Standin::open();
    drop(devices(1));
    let graph = ttk_ir::text::parse(
        "graph @other(%x: f32[64]) -> (f32[64]) {\n  %0 = sin %x : f32[64]\n  return %0\n}\n",
    )
    .unwrap();
    let mut artifact = Artifact::of_graph(graph);
    artifact.cuda = cuda_of_file(&artifact.graph, &[(9, 0)]).unwrap();
    for code in &mut artifact.cuda.code {
        code.units.iter_mut().for_each(|unit| unit.fill(7));
    }
    trust(&artifact);
    let options = CompileOptions { inference: true, device: Device::Cuda(0), ..CompileOptions::default() };
    let error = compile_graph(&artifact.graph, &options).unwrap_err().to_string();
    assert!(!error.is_empty() && !error.contains("panicked"), "{error}");
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn names_of_architectures() {
    for (name, capability) in [
        ("sm_80", Some((8, 0))),
        ("sm_121", Some((12, 1))),
        ("sm_90a", None),
        ("sm_090", None),
        ("sm_9", None),
        ("sm_", None),
        ("90", None),
        ("sm_-90", None),
        ("sm_99999999999", None),
    ] {
        assert_eq!(architecture_of(name), capability, "{name}");
    }
}
