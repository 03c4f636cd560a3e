//! The stand-in for cuBLASLt itself: it refuses what the library would not forgive, and says why.

mod standin;

use standin::library::{Library, Pointer};
use standin::{Standin, devices};
use std::ptr::null_mut;
use ttk_runtime::cuda::release_devices;

/// `cublasLtEpilogue_t`: times the derivative of gelu, and with the sums of an operand.
const GELU_GRADIENT: u32 = 192;
const SUMS: [u32; 2] = [256, 512];

/// A product of `f32` as it is given to the library, right in all parts until one is changed: `D = A B + bias` with
/// relu, 8 x 6 of 8 x 160 and 160 x 6.
struct Product {
    a: u64,
    b: u64,
    d: u64,
    bias: u64,
    /// Where the matrix of gelu's gradient lies, and how far its columns are apart.
    auxiliary: (u64, i64),
    epilogue: u32,
    compute: i32,
    sizes: [(u64, u64, i64); 3],
    batch: [i32; 3],
    workspace: u64,
    workspace_bytes: usize,
    /// What the algorithm was chosen for has other columns of D.
    other_problem: bool,
    dead: &'static str,
    stream: Pointer,
}

/// `Ok` with the driver's result of waiting, or what the call itself gives.
fn multiply(library: &Library, p: &Product) -> Result<(), i32> {
    let handle = library.make("cublasLtCreate");
    let mut desc = null_mut();
    // SAFETY: writes a handle.
    let status = unsafe {
        library.get::<unsafe extern "C" fn(*mut Pointer, i32, i32) -> i32>("cublasLtMatmulDescCreate")(
            &raw mut desc,
            p.compute,
            0,
        )
    };
    assert_eq!(status, 0);
    library.set("cublasLtMatmulDescSetAttribute", desc, 7, p.epilogue);
    library.set("cublasLtMatmulDescSetAttribute", desc, 8, p.bias);
    if p.epilogue == GELU_GRADIENT {
        library.set("cublasLtMatmulDescSetAttribute", desc, 11, p.auxiliary.0);
        library.set("cublasLtMatmulDescSetAttribute", desc, 12, p.auxiliary.1);
    }
    let layout = |(rows, cols, ld): (u64, u64, i64), batch: i32| {
        type Create = unsafe extern "C" fn(*mut Pointer, i32, u64, u64, i64) -> i32;
        let mut made = null_mut();
        // SAFETY: writes a handle.
        let status =
            unsafe { library.get::<Create>("cublasLtMatrixLayoutCreate")(&raw mut made, 0, rows, cols, ld) };
        assert_eq!(status, 0);
        library.set("cublasLtMatrixLayoutSetAttribute", made, 5, batch);
        made
    };
    let [a, b, d] = [0, 1, 2].map(|i| layout(p.sizes[i], p.batch[i]));
    let preference = library.make("cublasLtMatmulPreferenceCreate");
    library.set("cublasLtMatmulPreferenceSetAttribute", preference, 1, 4096usize);
    for attribute in 5..9 {
        library.set("cublasLtMatmulPreferenceSetAttribute", preference, attribute, 16u32);
    }
    type Heuristic = unsafe extern "C" fn(
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        i32,
        *mut [u64; 12],
        *mut i32,
    ) -> i32;
    let (mut found, mut count) = ([0u64; 12], 0);
    let chosen_for = if p.other_problem { layout((8, 6, 9), 1) } else { d };
    // SAFETY: writes a result, which is 96 bytes, and a number.
    let status = unsafe {
        library.get::<Heuristic>("cublasLtMatmulAlgoGetHeuristic")(
            handle,
            desc,
            a,
            b,
            chosen_for,
            chosen_for,
            preference,
            1,
            &raw mut found,
            &raw mut count,
        )
    };
    let objects = [
        ("cublasLtMatmulDescDestroy", desc),
        ("cublasLtMatrixLayoutDestroy", a),
        ("cublasLtMatrixLayoutDestroy", b),
        ("cublasLtMatrixLayoutDestroy", d),
        ("cublasLtDestroy", handle),
    ];
    let dead = match p.dead {
        "" => None,
        "handle" => Some(4),
        "descriptor" => Some(0),
        "layout" => Some(1),
        other => panic!("{other}"),
    };
    if let Some(i) = dead {
        assert_eq!(library.call1(objects[i].0, objects[i].1), 0);
    }
    let mut status = status;
    if status == 0 {
        type Matmul = unsafe extern "C" fn(
            Pointer,
            Pointer,
            *const f32,
            u64,
            Pointer,
            u64,
            Pointer,
            *const f32,
            u64,
            Pointer,
            u64,
            Pointer,
            *const [u64; 12],
            u64,
            usize,
            Pointer,
        ) -> i32;
        let (one, zero) = (1f32, 0f32);
        // SAFETY: the library checks every argument, which is what this is about.
        status = unsafe {
            library.get::<Matmul>("cublasLtMatmul")(
                handle,
                desc,
                &raw const one,
                p.a,
                a,
                p.b,
                b,
                &raw const zero,
                p.d,
                d,
                p.d,
                d,
                &raw const found,
                p.workspace,
                p.workspace_bytes,
                p.stream,
            )
        };
    }
    for (i, (destroy, object)) in objects.into_iter().enumerate() {
        if dead != Some(i) {
            assert_eq!(library.call1(destroy, object), 0, "{destroy}");
        }
    }
    if p.other_problem {
        library.call1("cublasLtMatrixLayoutDestroy", chosen_for);
    }
    library.call1("cublasLtMatmulPreferenceDestroy", preference);
    if status == 0 { Ok(()) } else { Err(status) }
}

/// A change that makes a call wrong.
type Change = fn(&mut Product);

#[test]
fn planted_wrong_arguments_are_found_and_explained() {
    use cudarc::driver::{CudaContext, DevicePtr};
    let standin = Standin::open();
    devices(1);
    {
        let library = Library::open("libcublasLt.so.13");
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let elsewhere = CudaContext::new(1).unwrap().new_stream().unwrap();
        context.bind_to_thread().unwrap();
        let (a, b) =
            (stream.clone_htod(&[1f32; 8 * 160]).unwrap(), stream.clone_htod(&[0.5f32; 160 * 6]).unwrap());
        let bias = stream.clone_htod(&[-70f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -90.0]).unwrap();
        let (d, workspace) =
            (stream.alloc_zeros::<f32>(8 * 6).unwrap(), stream.alloc_zeros::<u8>(4096).unwrap());
        let make = || Product {
            a: a.device_ptr(&stream).0,
            b: b.device_ptr(&stream).0,
            d: d.device_ptr(&stream).0,
            bias: bias.device_ptr(&stream).0,
            auxiliary: (b.device_ptr(&stream).0, 8),
            epilogue: 6,
            compute: 68,
            sizes: [(8, 160, 8), (160, 6, 160), (8, 6, 8)],
            batch: [1; 3],
            workspace: workspace.device_ptr(&stream).0,
            workspace_bytes: 4096,
            other_problem: false,
            dead: "",
            stream: stream.cu_stream().cast(),
        };
        assert_eq!(multiply(&library, &make()), Ok(()));
        let column: Vec<f32> = [10f32, 81.0, 82.0, 83.0, 84.0, 85.0, 86.0, 0.0].into();
        assert_eq!(stream.clone_dtoh(&d).unwrap(), column.repeat(6));

        let wrong: &[(Change, &str)] = &[
            (|p| p.dead = "handle", "what is no handle"),
            (|p| p.dead = "descriptor", "what is no descriptor of a product"),
            (|p| p.dead = "layout", "what is no layout, for matrix A"),
            (|p| p.sizes[0].2 = 7, "matrix A of 8 x 160 has columns 7 apart"),
            (|p| p.sizes[1].0 = 159, "8 x 160 times 159 x 6"),
            (|p| p.batch = [1, 2, 1], "matrix B has 2 items, A has 1"),
            (|p| p.batch = [2; 3], "all items of D are in one place"),
            (|p| p.compute = 64, "sums of kind 64"),
            (|p| p.epilogue = 8, "epilogue 8"),
            (|p| p.bias = 0, "a bias nowhere"),
            (|p| p.bias += 16, "cuBLASLt's bias: 32 bytes"),
            (|p| p.bias += 2, "the bias is misaligned"),
            (|p| (p.epilogue, p.bias) = (SUMS[0], p.d), "the sums lie in A, B or D"),
            (|p| (p.epilogue, p.bias) = (SUMS[1], p.b), "the sums lie in A, B or D"),
            (|p| (p.epilogue, p.auxiliary.0) = (GELU_GRADIENT, 0), "an auxiliary matrix nowhere"),
            (|p| (p.epilogue, p.auxiliary.1) = (GELU_GRADIENT, 12), "8 rows has columns 12 apart"),
            (|p| (p.epilogue, p.auxiliary.1) = (GELU_GRADIENT, 0), "8 rows has columns 0 apart"),
            (|p| (p.epilogue, p.auxiliary.0) = (GELU_GRADIENT, p.bias), "auxiliary matrix: 192 bytes"),
            (|p| (p.epilogue, p.auxiliary.0) = (GELU_GRADIENT, p.a + 4), "matrix is misaligned"),
            (|p| (p.epilogue, p.auxiliary.0) = (GELU_GRADIENT, p.d), "D lies in the auxiliary matrix"),
            (|p| p.a += 16, "cuBLASLt's A: 5120 bytes"),
            (|p| p.b += 4, "matrix B is not at a multiple of 16 bytes"),
            (|p| p.sizes[2].2 = 9, "cuBLASLt's D: 212 bytes"),
            (|p| p.d = 64, "not memory of a device"),
            (|p| p.d = p.b, "D lies in A or B"),
            (|p| p.workspace_bytes = 100, "a workspace of 100 bytes where 384 are wanted"),
            (|p| p.workspace += 4096, "cuBLASLt's workspace: 384 bytes"),
            (|p| p.other_problem = true, "an algorithm for another product"),
            (|p| p.stream = std::ptr::dangling_mut::<u64>().cast(), "on the stream of another"),
        ];
        for (change, says) in wrong {
            let mut p = make();
            change(&mut p);
            assert!(multiply(&library, &p).is_err(), "{says} is not found");
            let message = standin.last_message();
            assert!(message.contains(says), "{message} does not say {says}");
        }
        let mut p = make();
        p.stream = elsewhere.cu_stream().cast();
        assert!(multiply(&library, &p).is_err());
        assert!(standin.last_message().contains("on the stream of another"));

        // What the gradients are where nothing is wrong: of rows of ones, of columns of halves, and at a half.
        for (epilogue, sum, count) in [(SUMS[0], 160f32, 8), (SUMS[1], 80.0, 6)] {
            let mut p = make();
            p.epilogue = epilogue;
            assert_eq!(multiply(&library, &p), Ok(()));
            assert_eq!(stream.clone_dtoh(&bias).unwrap()[..count], vec![sum; count]);
        }
        let mut p = make();
        p.epilogue = GELU_GRADIENT;
        assert_eq!(multiply(&library, &p), Ok(()));
        let found = stream.clone_dtoh(&d).unwrap();
        assert!(found.iter().all(|v| (v / 80.0 - 0.867370).abs() < 1e-5), "{found:?}");

        // Memory that is freed before the stream comes to the call.
        let mut p = make();
        let short = stream.clone_htod(&[1f32; 8 * 160]).unwrap();
        p.a = short.device_ptr(&stream).0;
        let other = context.new_stream().unwrap();
        p.stream = other.cu_stream().cast();
        assert_eq!(multiply(&library, &p), Ok(()));
        drop(short);
        stream.synchronize().unwrap();
        assert!(other.synchronize().is_err());
        assert!(standin.last_message().contains("freed allocation"), "{}", standin.last_message());
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
