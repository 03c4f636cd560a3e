//! A device that has failed: as with a real one, its error comes back from every later call, and the
//! process goes on without it. Alone in its process, for the device stays as it is.

mod standin;

use standin::{Standin, devices, prepare};
use ttk_ir::program::Program;
use ttk_ir::{DType, Type};
use ttk_runtime::cuda::{Device, DeviceBuffer};

/// Runs a kernel that writes where no memory is, or into its buffer.
fn run(device: &Device, wild: bool) -> Result<(), String> {
    use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};
    use ttk_ir::program::{Action, Buffer, BufferId, Output, Placement, Step};
    use ttk_ir::{Expr, graph::Loc, kernel};
    let one = || Expr::constant(1);
    let ty = Type::fixed(DType::F32, &[1]);
    let kernel = "kernel @k(%out: mut f32[1]) {
  for %i in 0..1 parallel {
    %v: f32 = const 0.0
    store %out[%i], %v
  }
}";
    let buffers = vec![BufferId(0)];
    let program = Program {
        name: "f".into(),
        symbols: Vec::new(),
        inputs: Vec::new(),
        outputs: vec![Output { ty, buffer: BufferId(0) }],
        buffers: vec![Buffer { dtype: DType::F32, len: one(), placement: Placement::Output }],
        arena: Expr::constant(0),
        kernels: vec![kernel::text::parse(kernel).unwrap()],
        steps: vec![Step {
            action: Action::Launch { kernel: 0, buffers, symbols: Vec::new(), work: one() },
            loc: Loc { file: "model.py".into(), line: 1 },
        }],
    };
    let at = if wild { 1u64 << 38 } else { 0 };
    let arguments = vec![Argument::Buffer(BufferId(0))];
    let launch = Launch { function: 0, grid: [one(), one(), one()], shared: Expr::constant(0), arguments };
    let on_device = DeviceProgram {
        functions: vec![Function {
            name: "k".into(),
            about: String::new(),
            source: format!("extern \"C\" __global__ void k(float* out) {{ out[{at}] = 0; }}"),
            helpers: Vec::new(),
            block: [1, 1, 1],
        }],
        steps: vec![DeviceStep::Launch(vec![launch])],
        ..DeviceProgram::default()
    };
    let plan = prepare(program, on_device, device).map_err(|e| e.to_string())?;
    let out = plan.run(Vec::new(), &[]).map_err(|e| e.to_string())?;
    out[0].to_buffer().map_err(|e| e.to_string()).map(|_| ())
}

#[test]
fn its_error_comes_back_and_the_other_device_goes_on() {
    let mut standin = Standin::open();
    standin.set("sticky", 1);
    let both = devices(2);
    let before = DeviceBuffer::from_slice(&both[0], &[1f32]).unwrap();
    let text = run(&both[0], true).unwrap_err();
    assert!(text.starts_with("CUDA error: an illegal memory access was encountered"), "{text}");
    for _ in 0..3 {
        let text = run(&both[0], false).unwrap_err();
        assert!(text.starts_with("CUDA error: an illegal memory access was encountered"), "{text}");
    }
    assert!(before.to_buffer().is_err());
    drop(before);
    run(&both[1], false).unwrap();
}
