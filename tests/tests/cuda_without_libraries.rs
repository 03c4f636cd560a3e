//! A machine with a driver and NVRTC and no library beside them: the printed functions compute everything, and it is
//! said what was looked for.

mod standin;

use standin::{Standin, directory, prepare};
use ttk_codegen_cuda::{Options, emit};
use ttk_ir::eval::Tensor;
use ttk_ir::program::eval::eval;
use ttk_ir::testing::{Values, random_inputs};
use ttk_passes::{HalfProducts, LowerOptions, lower};
use ttk_runtime::cuda::{self, Device, DeviceBuffer, release_devices};

#[test]
fn the_printed_functions_take_over() {
    let standin = Standin::open();
    let folder = tempfile::tempdir().unwrap();
    for name in ["libcuda.so.1", "libnvrtc.so.13", "shim"] {
        std::os::unix::fs::symlink(directory().join(name), folder.path().join(name)).unwrap();
    }
    cuda::add_search_paths([folder.path().to_path_buf()]);
    cuda::set_compile_cache(None);
    assert_eq!(cuda::why_not(), None);
    let mut absent = 0;
    for (name, found) in cuda::libraries() {
        // A machine may have the real one where the loader finds it; it does not start on this driver.
        let Err(reason) = found else { continue };
        absent += 1;
        assert!(reason.starts_with(&format!("{name} was not found; `pip install nvidia-")), "{reason}");
        assert!(
            reason.contains("looked for lib") && reason.contains(folder.path().to_str().unwrap()),
            "{reason}"
        );
    }
    {
        let device = &Device::get(0).unwrap();
        let graph = ttk_ir::text::parse(
            "graph @linear(%x: bf16[20,24], %w: bf16[16,24], %b: bf16[16]) -> (bf16[20,16]) {\n  \
             %0 = dot %x, %w {contract=[1:1]} : bf16[20,16]\n  %1 = reshape %b : bf16[1,16]\n  \
             %2 = expand %1 : bf16[20,16]\n  %3 = add %0, %2 : bf16[20,16]\n  return %3\n}\n",
        )
        .unwrap();
        let options =
            LowerOptions { native_math: true, half_products: HalfProducts::All, donate: vec![false; 3] };
        let program = lower(&graph, &options).unwrap();
        let on_device = emit(&program, &Options::default()).unwrap();
        assert_eq!(on_device.alternatives.len(), 2);
        let plan = prepare(program.clone(), on_device, device).unwrap();
        let inputs = random_inputs(&program.inputs, &[], 1, Values::Tame);
        let want = eval(&program, &inputs, &[]).unwrap();
        let buffers = inputs.iter().map(|t| DeviceBuffer::from_bytes(device, &t.data).unwrap()).collect();
        let got = plan.run(buffers, &[]).unwrap();
        let got = Tensor { data: got[0].to_buffer().unwrap().bytes().to_vec(), ..want[0].clone() };
        got.close(&want[0], 1e-2, 1e-1).unwrap();
        assert!(absent == 0 || plan.library_calls().is_empty());
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
