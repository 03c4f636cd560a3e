//! What a program of one thread records, compiles and computes, it counts alone: no thread of our own counts beside it.
//! In a process of its own.

use ttk_frontend::materialize::{compute, flush};
use ttk_frontend::record::Recorder;
use ttk_frontend::tensor::Tensor;
use ttk_ir::{Builder, DType, Type};
use ttk_runtime::Buffer;
use ttk_runtime::sync::bias;

#[test]
fn no_thread_of_ours_counts() {
    let n = 1 << 20;
    let x =
        Tensor::from_buffer(Buffer::from_slice(&vec![1.0f32; n]).unwrap(), DType::F32, &[n as i64]).value();
    let mut b = Recorder::new();
    // Work that threads share, kernels that are compiled side by side, and a chain so deep that passes get a thread.
    let square = b.reshape(&x, Type::fixed(DType::F32, &[1024, 1024]).shape);
    let product = b.dot(&square, &square, &[], &[(1, 0)]);
    let mut deep = x.clone();
    for _ in 0..4_000 {
        deep = b.add(&deep, &x);
    }
    compute(&[product, deep]).unwrap();
    flush().unwrap();
    assert_eq!(bias::is_owner(), bias::can_have_owner());
}
