//! The stand-in itself: `cudarc` as it is published runs on it, and it catches what a device would not
//! forgive.

mod standin;

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::compile_ptx;
use standin::Standin;
use std::sync::Arc;

const SOFTMAX: &str = r#"
extern "C" __global__ void __launch_bounds__(256) softmax(const float* __restrict__ x, float* __restrict__ out, int n) {
    __shared__ float part[32];
    const float* row = x + (size_t)blockIdx.x * n;
    float* result = out + (size_t)blockIdx.x * n;
    float top = -3.4e38f;
    for (int i = threadIdx.x; i < n; i += blockDim.x) top = fmaxf(top, row[i]);
    for (int d = 16; d; d >>= 1) top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, d));
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = top;
    __syncthreads();
    top = part[0];
    for (int i = 1; i < (int)(blockDim.x / 32); i++) top = fmaxf(top, part[i]);
    __syncthreads();
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        float e = __expf(row[i] - top);
        result[i] = e;
        sum += e;
    }
    for (int d = 16; d; d >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, d);
    if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < (int)(blockDim.x / 32); i++) sum += part[i];
    float scale = 1.f / sum;
    for (int i = threadIdx.x; i < n; i += blockDim.x) result[i] *= scale;
}
"#;

fn function(source: &str, name: &str) -> (Arc<CudaStream>, CudaFunction) {
    let context = CudaContext::new(0).unwrap();
    let module = context.load_module(compile_ptx(source).unwrap()).unwrap();
    (context.new_stream().unwrap(), module.load_function(name).unwrap())
}

fn grid(blocks: u32, threads: u32) -> LaunchConfig {
    LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (threads, 1, 1), shared_mem_bytes: 0 }
}

fn softmax(x: &[f32], rows: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for row in x.chunks_exact(x.len() / rows) {
        let top = row.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = row.iter().map(|v| (v - top).exp()).sum();
        out.extend(row.iter().map(|v| (v - top).exp() / sum));
    }
    out
}

#[test]
fn a_softmax_runs_through_unmodified_bindings() {
    let standin = Standin::open();
    {
        let (stream, kernel) = function(SOFTMAX, "softmax");
        let (rows, n) = (16usize, 1000usize);
        let x: Vec<f32> = (0..rows * n).map(|i| ((i * 37 % 101) as f32) * 0.05).collect();
        let input = stream.clone_htod(&x).unwrap();
        let mut output = stream.alloc_zeros::<f32>(x.len()).unwrap();
        let width = n as i32;
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&input).arg(&mut output).arg(&width);
        // SAFETY: the kernel's parameters are these.
        unsafe { launch.launch(grid(rows as u32, 256)).unwrap() };
        let got = stream.clone_dtoh(&output).unwrap();
        let worst = got.iter().zip(softmax(&x, rows)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-7, "{worst}");
    }
    assert_eq!(standin.report(), "");
}

/// Launches `k(float* out, const float* in, int n)` with 64 floats each, all of `in` 1, and gives `out`, or
/// the driver's error and its explanation.
fn run(standin: &Standin, body: &str, config: LaunchConfig, n: i32) -> Result<Vec<f32>, (String, String)> {
    let source = format!("extern \"C\" __global__ void k(float* out, const float* in, int n) {{ {body} }}");
    let (stream, kernel) = function(&source, "k");
    let input = stream.clone_htod(&[1.0f32; 64]).unwrap();
    let mut output = stream.alloc_zeros::<f32>(64).unwrap();
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(&mut output).arg(&input).arg(&n);
    // SAFETY: the kernel's parameters are these, and what it does wrong is found out.
    let launched = unsafe { launch.launch(config) }.map(|_| ());
    let result = launched.and_then(|()| stream.clone_dtoh(&output));
    result.map_err(|e| (e.0.to_string_debug(), standin.last_message()))
}

trait DebugText {
    fn to_string_debug(&self) -> String;
}

impl<T: std::fmt::Debug> DebugText for T {
    fn to_string_debug(&self) -> String {
        format!("{self:?}")
    }
}

/// A body that is wrong, how it is launched, and what must be said of it.
struct Defect {
    name: &'static str,
    body: &'static str,
    blocks: u32,
    threads: u32,
    shared: u32,
    error: &'static str,
    message: &'static [&'static str],
}

impl Default for Defect {
    fn default() -> Defect {
        Defect { name: "", body: "", blocks: 1, threads: 64, shared: 0, error: "", message: &[] }
    }
}

const ILLEGAL: &str = "CUDA_ERROR_ILLEGAL_ADDRESS";
const FAILED: &str = "CUDA_ERROR_LAUNCH_FAILED";

#[test]
fn planted_defects_are_found_and_explained() {
    let mut standin = Standin::open();
    standin.set("timeout", 1);
    let defects = [
        Defect {
            name: "write past the end",
            body: "out[threadIdx.x + 1] = in[threadIdx.x];",
            error: ILLEGAL,
            message: &[
                "kernel k, block (0,0,0), thread (63,0,0)",
                "0 bytes past the end of allocation",
                "256 bytes",
            ],
            ..Defect::default()
        },
        Defect {
            name: "read past the end",
            body: "out[threadIdx.x] = in[threadIdx.x + (threadIdx.x == 5 ? 64 : 0)];",
            error: ILLEGAL,
            message: &["thread (5,0,0)", "past the end"],
            ..Defect::default()
        },
        Defect {
            name: "read before the start",
            body: "out[threadIdx.x] = in[(int)threadIdx.x - 1100];",
            error: ILLEGAL,
            message: &["before allocation"],
            ..Defect::default()
        },
        Defect {
            name: "read just before the start",
            body: "out[threadIdx.x] = in[(int)threadIdx.x - 64];",
            error: "CUDA_ERROR_UNKNOWN",
            message: &["reads memory that nothing wrote: 64 of 64 words"],
            ..Defect::default()
        },
        Defect {
            name: "write just before the start",
            body: "out[(int)threadIdx.x - 1] = 1;",
            error: ILLEGAL,
            message: &["kernel k wrote just outside allocation"],
            ..Defect::default()
        },
        Defect {
            name: "misaligned vector",
            body: "((float4*)(out + 1))[threadIdx.x % 8] = ((const float4*)in)[threadIdx.x % 8];",
            error: "CUDA_ERROR_MISALIGNED_ADDRESS",
            message: &["float4", "multiple of 16"],
            ..Defect::default()
        },
        Defect {
            name: "index outside a shared array",
            body: "__shared__ float part[32]; part[threadIdx.x] = 1; out[threadIdx.x] = part[0];",
            error: ILLEGAL,
            message: &["out of bounds: index", "into 'float [32]'"],
            ..Defect::default()
        },
        Defect {
            name: "past the end of dynamic shared memory",
            body: "extern __shared__ float part[]; part[threadIdx.x] = 1; __syncthreads(); out[threadIdx.x] = part[0];",
            shared: 60 * 4,
            error: ILLEGAL,
            message: &["of 240 bytes of dynamic shared memory"],
            ..Defect::default()
        },
        Defect {
            name: "just past the end of dynamic shared memory",
            body: "extern __shared__ float part[]; part[threadIdx.x] = 1; __syncthreads(); out[threadIdx.x] = part[0];",
            shared: 63 * 4,
            error: ILLEGAL,
            message: &["just outside its 252 bytes of dynamic shared memory"],
            ..Defect::default()
        },
        Defect {
            name: "some threads leave before a barrier",
            body: "if (threadIdx.x < 7) return; __syncthreads(); out[threadIdx.x] = 1;",
            error: FAILED,
            message: &["7 of 64 have ended", "57 (thread 7 first) wait at the barrier"],
            ..Defect::default()
        },
        Defect {
            name: "threads wait at different barriers",
            body: "if (threadIdx.x < 32) { __syncthreads(); }\n else { __syncthreads(); } out[threadIdx.x] = 1;",
            error: FAILED,
            message: &["32 (thread 0 first) wait", "32 (thread 32 first) wait"],
            ..Defect::default()
        },
        Defect {
            name: "a shuffle that not all of its lanes reach",
            body: "float v = in[threadIdx.x]; if (threadIdx.x % 2) v = __shfl_xor_sync(0xffffffffu, v, 2);\n\
                   else __syncthreads(); out[threadIdx.x] = v;",
            error: FAILED,
            message: &["warp operation", "0xffffffff", "the barrier"],
            ..Defect::default()
        },
        Defect {
            name: "a shuffle from a lane that has ended",
            body: "if (threadIdx.x % 32 == 3) return; out[threadIdx.x] = __shfl_sync(0xffffffffu, in[threadIdx.x], 3);",
            error: FAILED,
            message: &["a lane that does not take part"],
            ..Defect::default()
        },
        Defect {
            name: "a lane that is not in its own mask",
            body: "out[threadIdx.x] = __shfl_xor_sync(0xfffffffeu, in[threadIdx.x], 1);",
            error: FAILED,
            message: &["not in the mask"],
            ..Defect::default()
        },
        Defect {
            name: "an assertion",
            body: "assert(n < 0); out[threadIdx.x] = 1;",
            error: "CUDA_ERROR_ASSERT",
            message: &["n < 0"],
            ..Defect::default()
        },
        Defect {
            name: "no end",
            body: "while (((volatile const float*)in)[0] > 0) { }",
            error: "CUDA_ERROR_LAUNCH_TIMEOUT",
            message: &["takes too long"],
            ..Defect::default()
        },
        Defect {
            name: "a stack without end",
            body: "volatile float big[40000]; for (int i = 0; i < 40000; i++) big[i] = i; out[threadIdx.x] = big[n];",
            error: ILLEGAL,
            message: &["stack of a thread"],
            ..Defect::default()
        },
        Defect {
            name: "too many threads",
            body: "out[0] = 1;",
            threads: 1025,
            error: "CUDA_ERROR_INVALID_VALUE",
            message: &["a block of 1025 x 1 x 1"],
            ..Defect::default()
        },
        Defect {
            name: "no blocks",
            body: "out[0] = 1;",
            blocks: 0,
            error: "CUDA_ERROR_INVALID_VALUE",
            message: &["a grid of 0 x 1 x 1"],
            ..Defect::default()
        },
        Defect {
            name: "shared memory that was not opted in for",
            body: "out[0] = 1;",
            shared: 48 * 1024 + 4,
            error: "CUDA_ERROR_INVALID_VALUE",
            message: &["49156 bytes of dynamic shared memory"],
            ..Defect::default()
        },
    ];
    for d in defects {
        let config = LaunchConfig {
            grid_dim: (d.blocks, 1, 1),
            block_dim: (d.threads, 1, 1),
            shared_mem_bytes: d.shared,
        };
        let (error, message) = run(&standin, d.body, config, 64).expect_err(d.name);
        assert_eq!(error, d.error, "{}: {message}", d.name);
        for part in d.message {
            assert!(message.contains(part), "{}: {message:?} does not say {part:?}", d.name);
        }
        // The next launch is as if nothing had been.
        assert_eq!(run(&standin, "out[threadIdx.x] = in[threadIdx.x];", grid(1, 64), 0), Ok(vec![1.0; 64]));
    }
    assert_eq!(standin.report(), "");
}

#[test]
fn a_missing_barrier_shows_when_a_launch_runs_in_two_orders() {
    let mut standin = Standin::open();
    let without = "__shared__ float part[64]; part[threadIdx.x] = in[threadIdx.x] * threadIdx.x;
                   out[threadIdx.x] = part[63 - threadIdx.x];";
    let with = without.replace("threadIdx.x;\n", "threadIdx.x; __syncthreads();\n");
    // In one order the values that were not there yet are the poison of fresh shared memory.
    let once = run(&standin, without, grid(2, 64), 0);
    assert!(once.is_err() || once.is_ok_and(|v| v.iter().any(|v| v.is_nan())));
    standin.set("unwritten", 0);
    standin.set("twice", 1);
    let (error, message) = run(&standin, without, grid(2, 64), 0).unwrap_err();
    assert_eq!(error, FAILED);
    assert!(message.contains("depends on the order of threads, at byte"), "{message}");
    let want: Vec<f32> = (0..64).map(|i| (63 - i) as f32).collect();
    assert_eq!(run(&standin, &with, grid(2, 64), 0), Ok(want));
    // A value is overwritten while another warp may not have read it yet.
    let overtaken = |barrier| {
        format!(
            "__shared__ float part[2]; int w = threadIdx.x / 32;
             if (threadIdx.x % 32 == 0) part[w] = w + 1;
             __syncthreads();
             float first = part[1 - w];
             first = __shfl_sync(0xffffffffu, first, 0);
             {barrier}
             if (threadIdx.x % 32 == 0) part[w] = (w + 1) * 10;
             __syncthreads();
             out[threadIdx.x] = first + part[1 - w];"
        )
    };
    let (error, _) = run(&standin, &overtaken(""), grid(1, 64), 0).unwrap_err();
    assert_eq!(error, FAILED);
    let sums: Vec<f32> = (0..64).map(|i| if i < 32 { 22.0 } else { 11.0 }).collect();
    assert_eq!(run(&standin, &overtaken("__syncthreads();"), grid(1, 64), 0), Ok(sums));
    // Blocks come in any order too.
    let (error, _) = run(&standin, "out[0] = blockIdx.x;", grid(9, 1), 0).unwrap_err();
    assert_eq!(error, FAILED);
    assert!(run(&standin, "atomicAdd(out, 1.f);", grid(9, 32), 0).is_ok());
}

#[test]
fn memory_that_nothing_wrote_is_found_when_it_is_read() {
    let standin = Standin::open();
    let (stream, kernel) = function(
        "extern \"C\" __global__ void k(float* out) { if (threadIdx.x != 7) out[threadIdx.x] = 1; }",
        "k",
    );
    // SAFETY: the content is undefined, which is what the test is about.
    let mut output = unsafe { stream.alloc::<f32>(64) }.unwrap();
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(&mut output);
    // SAFETY: the kernel's parameter is this.
    unsafe { launch.launch(grid(1, 64)).unwrap() };
    assert!(stream.clone_dtoh(&output).is_err());
    let message = standin.last_message();
    assert!(
        message.contains("nothing wrote: 1 of 64 words, the first at byte 28 of allocation"),
        "{message}"
    );
}

#[test]
fn memory_that_was_freed_is_not_there_any_more() {
    let standin = Standin::open();
    let (stream, kernel) = function(
        "extern \"C\" __global__ void k(float** table) { table[0][threadIdx.x] = 1; }
         extern \"C\" __global__ void direct(float* p) { p[threadIdx.x] = 1; }",
        "k",
    );
    use cudarc::driver::DevicePtr;
    let gone = stream.alloc_zeros::<f32>(64).unwrap();
    let address = gone.device_ptr(&stream).0;
    let table = stream.clone_htod(&[address]).unwrap();
    let launch = |kernel: &CudaFunction, argument: u64| {
        let mut launch = stream.launch_builder(kernel);
        launch.arg(&argument);
        // SAFETY: the kernel's parameter is an address; what it does with it is what the test is about.
        unsafe { launch.launch(grid(1, 32)) }.map(|_| ()).and_then(|()| stream.synchronize())
    };
    let table_at = table.device_ptr(&stream).0;
    launch(&kernel, table_at).unwrap();
    drop(gone);
    assert_eq!(launch(&kernel, table_at).unwrap_err().0.to_string_debug(), ILLEGAL);
    assert!(standin.last_message().contains("of freed allocation"), "{}", standin.last_message());
    let (_, direct) =
        function("extern \"C\" __global__ void direct(float* p) { p[threadIdx.x] = 1; }", "direct");
    assert_eq!(launch(&direct, address).unwrap_err().0.to_string_debug(), ILLEGAL);
    assert!(standin.last_message().contains("parameter 0 is"), "{}", standin.last_message());
    let mut own = 0f32;
    assert!(launch(&direct, std::ptr::from_mut(&mut own) as u64).is_err());
    assert!(standin.last_message().contains("not memory of a device"), "{}", standin.last_message());
}

#[test]
fn memory_of_another_device_is_reached_with_peer_access_only() {
    let standin = Standin::open();
    {
        use cudarc::driver::{DevicePtr, sys};
        let (stream, kernel) = function(
            "extern \"C\" __global__ void k(float** table, float* out) { out[0] = table[0][0]; }",
            "k",
        );
        let other = CudaContext::new(1).unwrap().default_stream();
        let there = other.clone_htod(&[5.0f32]).unwrap();
        other.synchronize().unwrap();
        let table = stream.clone_htod(&[there.device_ptr(&other).0]).unwrap();
        let mut here = stream.alloc_zeros::<f32>(1).unwrap();
        let mut run = |direct: Option<u64>| {
            let mut launch = stream.launch_builder(&kernel);
            match &direct {
                Some(address) => launch.arg(address),
                None => launch.arg(&table),
            };
            launch.arg(&mut here);
            // SAFETY: the kernel's parameters are these.
            unsafe { launch.launch(grid(1, 1)) }.map(|_| ()).and_then(|()| stream.clone_dtoh(&here))
        };
        // Through a pointer in memory, and as a parameter.
        assert!(run(None).is_err());
        assert!(standin.last_message().contains("byte 0 of allocation"), "{}", standin.last_message());
        assert!(standin.last_message().contains("on device 1"), "{}", standin.last_message());
        assert!(run(Some(there.device_ptr(&other).0)).is_err());
        assert!(standin.last_message().contains("is memory of device 1"), "{}", standin.last_message());
        let contexts = (stream.context().clone(), other.context().clone());
        contexts.0.bind_to_thread().unwrap();
        // SAFETY: both contexts are alive.
        unsafe { sys::cuCtxEnablePeerAccess(contexts.1.cu_ctx(), 0) }.result().unwrap();
        assert_eq!(run(None), Ok(vec![5.0]));
        contexts.0.bind_to_thread().unwrap();
        // SAFETY: as above.
        unsafe { sys::cuCtxDisablePeerAccess(contexts.1.cu_ctx()) }.result().unwrap();
    }
    assert_eq!(standin.report(), "");
}

#[test]
fn what_is_not_let_go_is_counted() {
    let standin = Standin::open();
    let context = CudaContext::new(0).unwrap();
    let event = context.new_event(None).unwrap();
    assert_eq!(standin.report(), "events: 1\nretained contexts: 1\n");
    let stream = context.new_stream().unwrap();
    let memory = stream.alloc_zeros::<f32>(3).unwrap();
    assert_eq!(standin.report(), "memory of devices: 1\nstreams: 1\nevents: 3\nretained contexts: 1\n");
    drop((event, memory, stream, context));
    assert_eq!(standin.report(), "");
}

#[test]
fn work_is_done_when_it_is_waited_for_and_not_before() {
    let standin = Standin::open();
    {
        let context = CudaContext::new(0).unwrap();
        let (stream, other) = (context.new_stream().unwrap(), context.new_stream().unwrap());
        let source = stream.clone_htod(&[1.0f32, 2.0]).unwrap();
        // SAFETY: written before it is read.
        let mut host = unsafe { context.alloc_pinned::<f32>(2) }.unwrap();
        host.as_mut_slice().unwrap().fill(-1.0);
        use cudarc::driver::{DevicePtr, result};
        let (address, _guard) = source.device_ptr(&stream);
        // SAFETY: two floats each.
        let target = unsafe { std::slice::from_raw_parts_mut(host.as_mut_ptr().unwrap(), 2) };
        // SAFETY: as above; the memory stays until the stream is waited for.
        unsafe { result::memcpy_dtoh_async(target, address, stream.cu_stream()) }.unwrap();
        assert_eq!(target, [-1.0, -1.0]);
        let event = stream.record_event(None).unwrap();
        other.synchronize().unwrap();
        assert_eq!(target, [-1.0, -1.0]);
        other.wait(&event).unwrap();
        other.synchronize().unwrap();
        assert_eq!(target, [1.0, 2.0]);
        // Asking again and again comes to an end.
        let event = stream.record_event(None).unwrap();
        while !event.is_complete() {}
    }
    assert_eq!(standin.report(), "");
}

#[test]
fn source_that_is_wrong_does_not_compile() {
    let _standin = Standin::open();
    let error = compile_ptx("extern \"C\" __global__ void k(float* x) { x[0] = y; }").unwrap_err();
    let cudarc::nvrtc::CompileError::CompileError { log, .. } = error else { panic!("{error}") };
    let log = log.to_string_lossy();
    assert!(log.contains("'y' was not declared") || log.contains("y’ was not declared"), "{log}");
}

#[test]
fn declared_shared_memory_has_its_limit() {
    let _standin = Standin::open();
    let source = |n: usize| {
        format!(
            "extern \"C\" __global__ void k(float* x) {{ __shared__ float s[{n}]; s[threadIdx.x] = 1; x[0] = s[0]; }}"
        )
    };
    assert!(compile_ptx(source(12 * 1024)).is_ok());
    let error = compile_ptx(source(12 * 1024 + 1)).unwrap_err();
    assert!(format!("{error:?}").contains("uses too much shared data (49156 bytes, 49152 max)"), "{error:?}");
}

#[test]
fn products_of_a_warp_have_the_fragments_of_the_instruction() {
    let standin = Standin::open();
    // Element (i, k) of the left operand is i + 100 k mod 7 or so: every product is exact in each format.
    let source = r#"
template <class F> __device__ void product(int depth, float* out, F element, int which) {
    unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    unsigned a[4], b[2];
    float c[4], d[4];
    for (int i = 0; i < 4; i++) c[i] = 0.5f;
    if (depth == 16) {
        for (int i = 0; i < 4; i++) {
            int row = g + i % 2 * 8, k = t * 2 + i / 2 * 8;
            a[i] = element(row + 2 * k) | element(row + 2 * (k + 1)) << 16;
        }
        for (int i = 0; i < 2; i++) b[i] = element(3 * g - t * 2 - i * 8) | element(3 * g - t * 2 - 1 - i * 8) << 16;
    } else {
        for (int i = 0; i < 4; i++) a[i] = element(g + i % 2 * 8 + 2 * (t + i / 2 * 4));
        for (int i = 0; i < 2; i++) b[i] = element(3 * g - (t + i * 4));
    }
    if (which == 0) tt_mma_m16n8k16_f16(d, a, b, c);
    if (which == 1) tt_mma_m16n8k16_bf16(d, a, b, c);
    if (which == 2) tt_mma_m16n8k8_tf32(d, a, b, c);
    for (int i = 0; i < 4; i++) out[(g + i / 2 * 8) * 8 + t * 2 + i % 2] = d[i];
}
__device__ unsigned small(int v) { return (unsigned)((v % 5 + 5) % 5); }
extern "C" __global__ void k(float* out) {
    const unsigned halves[5] = {0, 0x3c00, 0x4000, 0x4200, 0x4400};
    product(16, out, [&](int v) { return halves[small(v)]; }, 0);
    product(16, out + 128, [&](int v) { return __float_as_uint((float)small(v)) >> 16; }, 1);
    product(8, out + 256, [&](int v) { return __float_as_uint((float)small(v)); }, 2);
}
"#;
    let (stream, kernel) = function(source, "k");
    let mut output = stream.alloc_zeros::<f32>(384).unwrap();
    let mut launch = stream.launch_builder(&kernel);
    launch.arg(&mut output);
    // SAFETY: the kernel's parameter is this.
    unsafe { launch.launch(grid(1, 32)).unwrap() };
    let got = stream.clone_dtoh(&output).unwrap();
    for (which, depth) in [(0, 16), (1, 16), (2, 8)] {
        for row in 0..16i32 {
            for column in 0..8i32 {
                let products =
                    (0..depth).map(|k| ((row + 2 * k).rem_euclid(5) * (3 * column - k).rem_euclid(5)) as f32);
                let want = 0.5 + products.sum::<f32>();
                assert_eq!(got[which * 128 + (row * 8 + column) as usize], want, "{which} {row} {column}");
            }
        }
    }
    drop((output, stream, kernel));
    assert_eq!(standin.report(), "");
}
