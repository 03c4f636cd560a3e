//! cuBLASLt: products of matrices as its descriptors have them, columns first. Nothing else calls it.
//!
//! A [`Matmul`] is made once for a shape: descriptors, and the algorithm that the library's own heuristic puts
//! first. Running it allocates nothing and waits for nothing, so that it may be part of a recording.

use super::driver::{Address, Context, Stream};
use super::error::CudaError;
use super::library::{self, Opened, Vendor};
use super::workspace::Workspace;
use parking_lot::Mutex;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use ttk_ir::DType;

type Pointer = *mut c_void;
type Status = i32;
/// `cublasLtMatmulAlgo_t`.
type Algorithm = [u64; 8];

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Found {
    algorithm: Algorithm,
    workspace: usize,
    state: Status,
    waves: f32,
    reserved: [i32; 4],
}

/// The functions that are called; a library that lacks one is not used.
pub(super) const FUNCTIONS: &[&CStr] = &[
    c"cublasLtCreate",
    c"cublasLtDestroy",
    c"cublasLtMatmul",
    c"cublasLtMatmulAlgoGetHeuristic",
    c"cublasLtMatmulDescCreate",
    c"cublasLtMatmulDescDestroy",
    c"cublasLtMatmulDescSetAttribute",
    c"cublasLtMatrixLayoutCreate",
    c"cublasLtMatrixLayoutDestroy",
    c"cublasLtMatrixLayoutSetAttribute",
    c"cublasLtMatmulPreferenceCreate",
    c"cublasLtMatmulPreferenceDestroy",
    c"cublasLtMatmulPreferenceSetAttribute",
];

// From `cublasLt.h`, `library_types.h` and `cublas_api.h`.
const NOT_SUPPORTED: Status = 15;
const OPERATION_TRANSPOSE: i32 = 1;
const DESC_TRANSPOSE_A: i32 = 3;
const DESC_TRANSPOSE_B: i32 = 4;
const DESC_EPILOGUE: i32 = 7;
const DESC_BIAS_POINTER: i32 = 8;
const DESC_AUXILIARY_POINTER: i32 = 11;
const DESC_AUXILIARY_STRIDE: i32 = 12;
const DESC_AUXILIARY_BATCH_STRIDE: i32 = 13;
const LAYOUT_BATCH_COUNT: i32 = 5;
const LAYOUT_BATCH_STRIDE: i32 = 6;
const PREFERENCE_WORKSPACE: i32 = 1;
/// Of A, B, C and D.
const PREFERENCE_ALIGNMENT: [i32; 4] = [5, 6, 7, 8];

/// Bytes that every buffer begins at a multiple of.
pub(super) const ALIGNMENT: Address = 16;

/// `cublasLtEpilogue_t`: bits, of which `BIAS` joins the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Epilogue(pub(super) u32);

impl Epilogue {
    pub(super) const DEFAULT: Epilogue = Epilogue(1);
    pub(super) const RELU: Epilogue = Epilogue(2);
    pub(super) const GELU: Epilogue = Epilogue(32);
    /// Times the derivative of `GELU` at the element of an auxiliary matrix.
    pub(super) const GELU_GRADIENT: Epilogue = Epilogue(64 | 128);
    /// With the sums of the rows of `op(A)`, which go to where a bias would be.
    pub(super) const SUM_A: Epilogue = Epilogue(256);
    /// With the sums of the columns of `op(B)`.
    pub(super) const SUM_B: Epilogue = Epilogue(512);
    const BIAS: u32 = 4;

    /// With a vector that is added to each column before the activation.
    pub(super) fn with_bias(self) -> Epilogue {
        if self == Epilogue::DEFAULT { Epilogue(Self::BIAS) } else { Epilogue(self.0 | Self::BIAS) }
    }
}

struct Api {
    create: unsafe extern "C" fn(*mut Pointer) -> Status,
    destroy: unsafe extern "C" fn(Pointer) -> Status,
    matmul: unsafe extern "C" fn(
        Pointer,
        Pointer,
        *const c_void,
        Address,
        Pointer,
        Address,
        Pointer,
        *const c_void,
        Address,
        Pointer,
        Address,
        Pointer,
        *const Algorithm,
        Address,
        usize,
        Pointer,
    ) -> Status,
    heuristic: unsafe extern "C" fn(
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        Pointer,
        i32,
        *mut Found,
        *mut i32,
    ) -> Status,
    desc_create: unsafe extern "C" fn(*mut Pointer, i32, i32) -> Status,
    desc_destroy: unsafe extern "C" fn(Pointer) -> Status,
    desc_set: unsafe extern "C" fn(Pointer, i32, *const c_void, usize) -> Status,
    layout_create: unsafe extern "C" fn(*mut Pointer, i32, u64, u64, i64) -> Status,
    layout_destroy: unsafe extern "C" fn(Pointer) -> Status,
    layout_set: unsafe extern "C" fn(Pointer, i32, *const c_void, usize) -> Status,
    preference_create: unsafe extern "C" fn(*mut Pointer) -> Status,
    preference_destroy: unsafe extern "C" fn(Pointer) -> Status,
    preference_set: unsafe extern "C" fn(Pointer, i32, *const c_void, usize) -> Status,
}

impl Api {
    fn new(library: &Opened) -> Api {
        // SAFETY: the library has functions of these names, and they are of these types in every version of it
        // that goes by one of the names under which it is looked for.
        unsafe {
            Api {
                create: library.function(c"cublasLtCreate"),
                destroy: library.function(c"cublasLtDestroy"),
                matmul: library.function(c"cublasLtMatmul"),
                heuristic: library.function(c"cublasLtMatmulAlgoGetHeuristic"),
                desc_create: library.function(c"cublasLtMatmulDescCreate"),
                desc_destroy: library.function(c"cublasLtMatmulDescDestroy"),
                desc_set: library.function(c"cublasLtMatmulDescSetAttribute"),
                layout_create: library.function(c"cublasLtMatrixLayoutCreate"),
                layout_destroy: library.function(c"cublasLtMatrixLayoutDestroy"),
                layout_set: library.function(c"cublasLtMatrixLayoutSetAttribute"),
                preference_create: library.function(c"cublasLtMatmulPreferenceCreate"),
                preference_destroy: library.function(c"cublasLtMatmulPreferenceDestroy"),
                preference_set: library.function(c"cublasLtMatmulPreferenceSetAttribute"),
            }
        }
    }
}

fn checked(status: Status, during: &'static str) -> Result<(), CudaError> {
    let library = Vendor::Blas.name();
    if status == 0 { Ok(()) } else { Err(CudaError::Library { library, status, during }) }
}

/// The library on a device.
pub(super) struct Blas {
    api: Api,
    handle: Pointer,
    workspace: Arc<Workspace>,
    context: Arc<Context>,
}

// SAFETY: the library's functions may be called from any thread with one handle.
unsafe impl Send for Blas {}
// SAFETY: as above.
unsafe impl Sync for Blas {}

impl Blas {
    /// Opens the library for a device.
    ///
    /// # Errors
    /// [`CudaError::NoLibrary`], or the library refuses to start.
    pub(super) fn open(context: &Arc<Context>, workspace: &Arc<Workspace>) -> Result<Blas, CudaError> {
        let api = Api::new(&library::vendor(Vendor::Blas)?);
        context.enter("starting cuBLASLt")?;
        let mut handle = null_mut();
        // SAFETY: writes a handle.
        checked(unsafe { (api.create)(&raw mut handle) }, "starting")?;
        Ok(Blas { api, handle, workspace: workspace.clone(), context: context.clone() })
    }
}

impl Drop for Blas {
    fn drop(&mut self) {
        if self.context.enter("").is_ok() {
            // SAFETY: made by `open`; every product holds it, so that none is left. An error has nobody to go to.
            let _ = unsafe { (self.api.destroy)(self.handle) };
        }
    }
}

/// A matrix whose columns lie one after the other, `stride` elements from an item of the batch to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) rows: u64,
    pub(super) cols: u64,
    /// Elements from a column to the next.
    pub(super) ld: i64,
    pub(super) stride: i64,
    /// Bytes that all addresses of the matrix are a multiple of.
    pub(super) alignment: u32,
}

/// `D = epilogue(op(A) op(B) + beta C)` for each item of a batch; `C` is laid out as `D`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) dtype: DType,
    pub(super) tf32: bool,
    /// Of `A` and `B`.
    pub(super) transposed: [bool; 2],
    pub(super) a: Layout,
    pub(super) b: Layout,
    pub(super) d: Layout,
    pub(super) batch: i32,
    /// Whether `beta` is 1 and not 0.
    pub(super) adds: bool,
    pub(super) epilogue: Epilogue,
    /// Whether the epilogue has a vector, to be read or written.
    pub(super) vector: bool,
    /// Whether it reads a matrix, laid out as `D`.
    pub(super) auxiliary: bool,
}

/// The library's objects for a shape.
pub(super) struct Matmul {
    blas: Arc<Blas>,
    /// One run at a time says where its vector and its auxiliary matrix lie.
    desc: Mutex<Desc>,
    a: Matrix,
    b: Matrix,
    d: Matrix,
    algorithm: Algorithm,
    workspace: (Address, usize),
    double: bool,
    adds: bool,
    vector: bool,
    auxiliary: bool,
}

// SAFETY: the library's objects may be used from any thread; the one that changes is behind a lock.
unsafe impl Send for Matmul {}
// SAFETY: as above.
unsafe impl Sync for Matmul {}

/// An object of the library, destroyed with this.
struct Object {
    handle: Pointer,
    destroy: unsafe extern "C" fn(Pointer) -> Status,
    set: unsafe extern "C" fn(Pointer, i32, *const c_void, usize) -> Status,
}

type Desc = Object;
type Matrix = Object;

impl Object {
    fn set<T: Copy>(&self, attribute: i32, value: T) -> Result<(), CudaError> {
        let at = (&raw const value).cast();
        // SAFETY: the object lives, and the attribute is of this type.
        checked(unsafe { (self.set)(self.handle, attribute, at, size_of::<T>()) }, "setting an attribute")
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: made by the library, used no more. An error has nobody to go to.
        let _ = unsafe { (self.destroy)(self.handle) };
    }
}

/// `cudaDataType_t`, `cublasComputeType_t` and the type of `alpha`.
fn types(dtype: DType, tf32: bool) -> Option<(i32, i32, i32)> {
    let (single, double) = (0, 1);
    match dtype {
        DType::F16 => Some((2, 68, single)),
        DType::BF16 => Some((14, 68, single)),
        DType::F32 => Some((single, if tf32 { 77 } else { 68 }, single)),
        DType::F64 => Some((double, 70, double)),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => None,
    }
}

impl Matmul {
    /// Asks for an algorithm; `None` when the library has none for the shape.
    ///
    /// # Errors
    /// The library's, of a shape that it does not understand.
    pub(super) fn new(blas: &Arc<Blas>, shape: &Shape) -> Result<Option<Matmul>, CudaError> {
        let Some((of, compute, scale)) = types(shape.dtype, shape.tf32) else { return Ok(None) };
        blas.context.enter("preparing a product")?;
        let api = &blas.api;
        let mut handle = null_mut();
        // SAFETY: writes a handle.
        checked(unsafe { (api.desc_create)(&raw mut handle, compute, scale) }, "describing a product")?;
        let desc = Object { handle, destroy: api.desc_destroy, set: api.desc_set };
        for (attribute, transposed) in [DESC_TRANSPOSE_A, DESC_TRANSPOSE_B].into_iter().zip(shape.transposed)
        {
            if transposed {
                desc.set(attribute, OPERATION_TRANSPOSE)?;
            }
        }
        desc.set(DESC_EPILOGUE, shape.epilogue.0)?;
        // The heuristic wants addresses; it looks at their alignment alone, which is that of every run's.
        if shape.vector {
            desc.set(DESC_BIAS_POINTER, ALIGNMENT)?;
        }
        if shape.auxiliary {
            desc.set(DESC_AUXILIARY_POINTER, ALIGNMENT)?;
            desc.set(DESC_AUXILIARY_STRIDE, shape.d.ld)?;
            if shape.batch > 1 {
                desc.set(DESC_AUXILIARY_BATCH_STRIDE, shape.d.stride)?;
            }
        }
        let layout = |l: &Layout| -> Result<Matrix, CudaError> {
            let mut handle = null_mut();
            // SAFETY: writes a handle.
            let made = unsafe { (api.layout_create)(&raw mut handle, of, l.rows, l.cols, l.ld) };
            checked(made, "describing a matrix")?;
            let matrix = Object { handle, destroy: api.layout_destroy, set: api.layout_set };
            if shape.batch > 1 {
                matrix.set(LAYOUT_BATCH_COUNT, shape.batch)?;
                matrix.set(LAYOUT_BATCH_STRIDE, l.stride)?;
            }
            Ok(matrix)
        };
        let (a, b, d) = (layout(&shape.a)?, layout(&shape.b)?, layout(&shape.d)?);
        let Some(found) = search(blas, &desc, [&a, &b, &d], shape)? else { return Ok(None) };
        let Some(at) = blas.workspace.room(found.workspace)? else { return Ok(None) };
        Ok(Some(Matmul {
            blas: blas.clone(),
            desc: Mutex::new(desc),
            a,
            b,
            d,
            algorithm: found.algorithm,
            workspace: (at, found.workspace),
            double: shape.dtype == DType::F64,
            adds: shape.adds,
            vector: shape.vector,
            auxiliary: shape.auxiliary,
        }))
    }

    /// Gives the product to a stream. What is added, `c`, the vector and the auxiliary matrix of the epilogue are not
    /// looked at where there is none.
    ///
    /// # Safety
    /// Memory must be allocated at the addresses as far as the shape says.
    pub(super) unsafe fn run(
        &self,
        stream: &Stream,
        [a, b, c, d]: [Address; 4],
        [vector, auxiliary]: [Address; 2],
    ) -> Result<(), CudaError> {
        self.blas.context.enter("multiplying")?;
        let desc = self.desc.lock();
        if self.vector {
            desc.set(DESC_BIAS_POINTER, vector)?;
        }
        if self.auxiliary {
            desc.set(DESC_AUXILIARY_POINTER, auxiliary)?;
        }
        let beta = if self.adds { 1.0 } else { 0.0 };
        let single = [1f32, beta as f32];
        let double = [1f64, beta];
        let [alpha, beta]: [*const c_void; 2] = if self.double {
            [(&raw const double[0]).cast(), (&raw const double[1]).cast()]
        } else {
            [(&raw const single[0]).cast(), (&raw const single[1]).cast()]
        };
        let c = if self.adds { c } else { d };
        // SAFETY: all objects live; memory is the caller's promise; the library reads the numbers before it returns.
        let status = unsafe {
            (self.blas.api.matmul)(
                self.blas.handle,
                desc.handle,
                alpha,
                a,
                self.a.handle,
                b,
                self.b.handle,
                beta,
                c,
                self.d.handle,
                d,
                self.d.handle,
                &raw const self.algorithm,
                self.workspace.0,
                self.workspace.1,
                stream.raw(),
            )
        };
        checked(status, "multiplying")
    }
}

/// The algorithm that the library's heuristic puts first.
fn search(
    blas: &Blas,
    desc: &Desc,
    [a, b, d]: [&Matrix; 3],
    shape: &Shape,
) -> Result<Option<Found>, CudaError> {
    let api = &blas.api;
    let mut handle = null_mut();
    // SAFETY: writes a handle.
    checked(unsafe { (api.preference_create)(&raw mut handle) }, "describing a search")?;
    let preference = Object { handle, destroy: api.preference_destroy, set: api.preference_set };
    preference.set(PREFERENCE_WORKSPACE, blas.workspace.limit)?;
    let alignments = [shape.a, shape.b, shape.d, shape.d].map(|l| l.alignment);
    for (attribute, bytes) in PREFERENCE_ALIGNMENT.into_iter().zip(alignments) {
        preference.set(attribute, bytes)?;
    }
    let (mut found, mut count) = (Found::default(), 0);
    // SAFETY: all objects live; writes one result and a number.
    let status = unsafe {
        (api.heuristic)(
            blas.handle,
            desc.handle,
            a.handle,
            b.handle,
            d.handle,
            d.handle,
            preference.handle,
            1,
            &raw mut found,
            &raw mut count,
        )
    };
    if status == NOT_SUPPORTED {
        return Ok(None);
    }
    checked(status, "choosing an algorithm")?;
    Ok((count > 0 && found.state == 0).then_some(found))
}
