//! Programs on a device, through the whole of the runtime, on the stand-in.

mod standin;

use standin::{Standin, devices, prepare};
use std::sync::Arc;
use ttk_ir::device::{Argument, DeviceProgram, DeviceStep, Function, Launch};
use ttk_ir::graph::{Loc, Symbol};
use ttk_ir::op::RandomStream;
use ttk_ir::program::{Action, Argsort, Buffer, BufferId, Output, Placement, Program, Step};
use ttk_ir::{DType, Dim, Expr, Type, kernel};
use ttk_runtime::cuda::{CudaError, Device, DeviceBuffer, release_devices};
use ttk_runtime::{RunError, custom};

const SCALE: &str = "kernel @scale[s0](%x: f32[s0], %out: mut f32[s0]) {
  for %i in 0..s0 parallel {
    %v: f32 = load %x[%i]
    %w: f32 = add %v, %v
    store %out[%i], %w
  }
}";

const GATHER: &str = "kernel @gather[s0](%x: f32[s0], %i: i64[s0], %out: mut f32[s0]) {
  for %k in 0..s0 parallel {
    %n: i64 = load %i[%k]
    %c: i64 = checked_index %n, s0
    %v: f32 = load %x[%c]
    store %out[%k], %v
  }
}";

/// What a code generator would print for the two.
const HELPER: &str = "
#ifndef TT_KERNEL
#define TT_KERNEL(name)
#endif
";

const SCALE_SOURCE: &str = r#"
extern "C" __global__ void __launch_bounds__(128) scale(const float* __restrict__ x, float* out, long long n) {
    long long i = blockIdx.x * 128ll + threadIdx.x;
    if (i < n) out[i] = x[i] + x[i];
}
TT_KERNEL(scale)
"#;

const GATHER_SOURCE: &str = r#"
extern "C" __global__ void __launch_bounds__(128)
gather(const float* x, const long long* index, float* out, long long n, long long* fault) {
    long long k = blockIdx.x * 128ll + threadIdx.x;
    if (k >= n) return;
    long long i = index[k];
    if (i < 0 || i >= n) {
        if (atomicCAS((unsigned long long*)fault, 0ull, 1ull) == 0) { fault[1] = i; fault[2] = n; }
        i = 0;
    }
    out[k] = x[i];
}
TT_KERNEL(gather)
"#;

fn n() -> Expr {
    Expr::symbol(0)
}

fn vector(dtype: DType) -> Type {
    Type::new(dtype, vec![Dim::symbol(0)])
}

fn buffer(dtype: DType, placement: Placement) -> Buffer {
    Buffer { dtype, len: n(), placement }
}

fn step(action: Action, line: u32) -> Step {
    Step { action, loc: Loc { file: Arc::from("model.py"), line } }
}

fn blocks() -> [Expr; 3] {
    [n().offset(127).floor_div(&Expr::constant(128)), Expr::constant(1), Expr::constant(1)]
}

/// `f(x, index)[n]`: `gather(2 * x, index)`, through an intermediate in the arena.
fn gathered() -> (Program, DeviceProgram) {
    let (x, index, scaled, out) = (BufferId(0), BufferId(1), BufferId(2), BufferId(3));
    let launch = |kernel, buffers| Action::Launch { kernel, buffers, symbols: vec![n()], work: n() };
    let program = Program {
        name: "f".into(),
        symbols: vec![Symbol { name: "n".into() }],
        inputs: vec![vector(DType::F32), vector(DType::I64)],
        outputs: vec![Output { ty: vector(DType::F32), buffer: out }],
        buffers: vec![
            buffer(DType::F32, Placement::Input(0)),
            buffer(DType::I64, Placement::Input(1)),
            buffer(DType::F32, Placement::Arena { offset: Expr::constant(0) }),
            buffer(DType::F32, Placement::Output),
        ],
        arena: n().scale(4),
        kernels: vec![kernel::text::parse(SCALE).unwrap(), kernel::text::parse(GATHER).unwrap()],
        steps: vec![step(launch(0, vec![x, scaled]), 3), step(launch(1, vec![scaled, index, out]), 4)],
    };
    let launch = |function, arguments| {
        DeviceStep::Launch(vec![Launch { function, grid: blocks(), shared: Expr::constant(0), arguments }])
    };
    let number = Argument::Integer(n());
    let device = DeviceProgram {
        helpers: vec![HELPER.into()],
        functions: [("scale", SCALE_SOURCE), ("gather", GATHER_SOURCE)]
            .map(|(name, source)| Function {
                name: name.into(),
                about: String::new(),
                source: source.into(),
                helpers: vec![0],
                block: [128, 1, 1],
            })
            .into(),
        steps: vec![
            launch(0, vec![Argument::Buffer(x), Argument::Buffer(scaled), number.clone()]),
            launch(
                1,
                vec![
                    Argument::Buffer(scaled),
                    Argument::Buffer(index),
                    Argument::Buffer(out),
                    number,
                    Argument::Fault,
                ],
            ),
        ],
        ..DeviceProgram::default()
    };
    (program, device)
}

fn inputs(device: &Device, x: &[f32], index: &[i64]) -> Vec<DeviceBuffer> {
    vec![DeviceBuffer::from_slice(device, x).unwrap(), DeviceBuffer::from_slice(device, index).unwrap()]
}

fn floats(buffer: &DeviceBuffer) -> Vec<f32> {
    buffer.to_buffer().unwrap().to_vec()
}

#[test]
fn a_program_runs_and_reports_indices_out_of_range() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let (program, on_device) = gathered();
        let plan = prepare(program, on_device, device).unwrap();
        for count in [1usize, 5, 300] {
            let x: Vec<f32> = (0..count).map(|i| i as f32 + 0.5).collect();
            let index: Vec<i64> = (0..count).rev().map(|i| i as i64).collect();
            let out = plan.run(inputs(device, &x, &index), &[count as i64]).unwrap();
            let want: Vec<f32> = x.iter().rev().map(|v| v * 2.0).collect();
            assert_eq!(floats(&out[0]), want);
        }
        let error = plan.run(inputs(device, &[1.0, 2.0], &[0, 2]), &[2]).unwrap_err();
        let expected = RunError::IndexOutOfRange { step: "gather".into(), file: "model.py".into(), line: 4 };
        assert_eq!(error, CudaError::Run(expected));
        // A failed run leaves nothing behind.
        let out = plan.run(inputs(device, &[1.0, 2.0], &[1, 1]), &[2]).unwrap();
        assert_eq!(floats(&out[0]), [4.0, 4.0]);
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn wrong_inputs_are_refused() {
    let standin = Standin::open();
    {
        let both = devices(2);
        let (program, on_device) = gathered();
        let plan = prepare(program, on_device, &both[0]).unwrap();
        let run = |inputs| plan.run(inputs, &[2]).unwrap_err().to_string();
        let good = inputs(&both[0], &[1.0, 2.0], &[0, 1]);
        assert!(run(vec![good[0].clone()]).contains("takes 2 inputs"));
        assert!(run(vec![good[1].clone(), good[1].clone()]).contains("has 16 bytes, not 8"));
        let elsewhere = good[0].to_device(&both[1]).unwrap();
        let error = run(vec![elsewhere, good[1].clone()]);
        assert!(error.contains("Expected all tensors to be on the same device"), "{error}");
        assert!(error.contains("cuda:0 and cuda:1"), "{error}");
        assert!(plan.run(good, &[0]).unwrap_err().to_string().contains("symbol n is 0"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

#[test]
fn a_run_that_repeats_its_addresses_is_recorded_and_gives_the_same() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        let (program, on_device) = gathered();
        let plan = prepare(program, on_device, device).unwrap();
        let index: Vec<i64> = (0..70).rev().collect();
        for round in 0..6 {
            let x: Vec<f32> = (0..70).map(|i| (i * (round + 1)) as f32).collect();
            let out = plan.run(inputs(device, &x, &index), &[70]).unwrap();
            let want: Vec<f32> = x.iter().rev().map(|v| v * 2.0).collect();
            assert_eq!(floats(&out[0]), want, "round {round}");
        }
        let mut times = Vec::new();
        let out = plan.run_timed(&mut inputs(device, &[1.0; 70], &index), &[70], Some(&mut times)).unwrap();
        assert_eq!((floats(&out[0]), times.len()), (vec![2.0; 70], 2));
        assert_eq!(plan.recorded(), 1, "the pool gives the same addresses each time");
        let error = plan.run(inputs(device, &[0.0; 70], &[70; 70]), &[70]).unwrap_err();
        assert!(matches!(error, CudaError::Run(RunError::IndexOutOfRange { line: 4, .. })), "{error}");
    }
    release_devices();
    assert_eq!(standin.report(), "");
}

/// A step for the host: one operand, one result.
fn on_host(action: Action, from: Type, to: Type) -> (Program, DeviceProgram) {
    let dtypes = (from.dtype, to.dtype);
    let program = Program {
        name: "g".into(),
        symbols: vec![Symbol { name: "n".into() }],
        inputs: vec![from.clone()],
        outputs: vec![Output { ty: to, buffer: BufferId(1) }],
        buffers: vec![
            Buffer { dtype: dtypes.0, len: from.shape[0].expr(), placement: Placement::Input(0) },
            buffer(dtypes.1, Placement::Output),
        ],
        arena: Expr::constant(0),
        kernels: Vec::new(),
        steps: vec![step(action, 9)],
    };
    let device = DeviceProgram { steps: vec![DeviceStep::Host], ..DeviceProgram::default() };
    (program, device)
}

#[test]
fn steps_of_the_host_travel_there_and_back() {
    let standin = Standin::open();
    {
        let device = &devices(1)[0];
        custom::register(
            "cuda_plan.reverse",
            Arc::new(|_, inputs, output| {
                let words = inputs[0].bytes.chunks_exact(4).rev().flatten();
                output.bytes.iter_mut().zip(words).for_each(|(to, from)| *to = *from);
                Ok(())
            }),
        );
        let action = Action::Custom {
            name: "cuda_plan.reverse".into(),
            attributes: Vec::new(),
            inputs: vec![(BufferId(0), vector(DType::F32))],
            output: (BufferId(1), vector(DType::F32)),
        };
        let (program, on_device) = on_host(action, vector(DType::F32), vector(DType::F32));
        let plan = prepare(program, on_device, device).unwrap();
        let x = DeviceBuffer::from_slice(device, &[1.0f32, 2.0, 3.0]).unwrap();
        assert_eq!(floats(&plan.run(vec![x.clone()], &[3]).unwrap()[0]), [3.0, 2.0, 1.0]);

        let sort = Argsort {
            input: BufferId(0),
            output: BufferId(1),
            outer: Expr::constant(1),
            len: n(),
            inner: Expr::constant(1),
            wanted: n(),
            descending: true,
        };
        let (program, on_device) =
            on_host(Action::Argsort(Box::new(sort)), vector(DType::F32), vector(DType::I64));
        let plan = prepare(program, on_device, device).unwrap();
        let order = plan.run(vec![x], &[3]).unwrap()[0].to_buffer().unwrap();
        assert_eq!(order.to_vec::<i64>(), [2, 1, 0]);

        let random =
            Action::RandomBits { stream: RandomStream::Philox, state: BufferId(0), output: BufferId(1) };
        let (program, on_device) = on_host(random, Type::fixed(DType::I64, &[2]), vector(DType::I32));
        let plan = prepare(program, on_device, device).unwrap();
        let state = DeviceBuffer::from_slice(device, &[7i64, 0]).unwrap();
        let words = plan.run(vec![state], &[5]).unwrap()[0].to_buffer().unwrap();
        let mut want = [0u32; 5];
        ttk_ir::random::random_words(RandomStream::Philox, &[7, 0], &mut want);
        assert_eq!(words.to_vec::<u32>(), want);
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
