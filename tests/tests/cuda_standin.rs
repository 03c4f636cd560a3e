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
