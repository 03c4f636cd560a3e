//! cuDNN: convolutions of images, by the functions that its versions 8 and 9 have alike. Nothing else calls it.
//!
//! A [`Convolution`] is made once for a shape: descriptors, and the first of the library's own choice of algorithms that
//! gives the same result every time and fits the workspace. Running it allocates nothing and waits for nothing.

use super::driver::{Address, Context, Stream};
use super::error::CudaError;
use super::library::{self, Opened, Vendor};
use super::workspace::Workspace;
use parking_lot::Mutex;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use ttk_ir::DType;
use ttk_ir::library::Direction;

type Pointer = *mut c_void;
type Status = i32;

/// `cudnnConvolutionFwdAlgoPerf_t` and its two likes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Found {
    algorithm: i32,
    status: Status,
    time: f32,
    memory: usize,
    determinism: i32,
    math: i32,
    reserved: [i32; 3],
}

/// The functions that are called; a library that lacks one is not used.
pub(super) const FUNCTIONS: &[&CStr] = &[
    c"cudnnCreate",
    c"cudnnDestroy",
    c"cudnnSetStream",
    c"cudnnCreateTensorDescriptor",
    c"cudnnDestroyTensorDescriptor",
    c"cudnnSetTensorNdDescriptor",
    c"cudnnCreateFilterDescriptor",
    c"cudnnDestroyFilterDescriptor",
    c"cudnnSetFilterNdDescriptor",
    c"cudnnCreateConvolutionDescriptor",
    c"cudnnDestroyConvolutionDescriptor",
    c"cudnnSetConvolutionNdDescriptor",
    c"cudnnSetConvolutionMathType",
    c"cudnnSetConvolutionGroupCount",
    c"cudnnGetConvolutionForwardAlgorithm_v7",
    c"cudnnGetConvolutionBackwardDataAlgorithm_v7",
    c"cudnnGetConvolutionBackwardFilterAlgorithm_v7",
    c"cudnnConvolutionForward",
    c"cudnnConvolutionBackwardData",
    c"cudnnConvolutionBackwardFilter",
];

// From `cudnn_ops.h` and `cudnn_cnn.h`.
const DETERMINISTIC: i32 = 1;
const FORMAT_NCHW: i32 = 0;
const MODE_CONVOLUTION: i32 = 0;
const MODE_CROSS_CORRELATION: i32 = 1;
/// Tensor cores, for operands of their own types and for `f32` that may be rounded; and none.
const MATH_TENSOR_OP: i32 = 1;
const MATH_TENSOR_OP_CONVERT: i32 = 2;
const MATH_FMA: i32 = 3;
/// How many algorithms are looked at: more than there are of any kind.
const CHOICES: usize = 10;

type Make = unsafe extern "C" fn(*mut Pointer) -> Status;
type Destroy = unsafe extern "C" fn(Pointer) -> Status;
/// The descriptors of two operands, of the convolution and of the result, in the order of the function.
type Search =
    unsafe extern "C" fn(Pointer, Pointer, Pointer, Pointer, Pointer, i32, *mut i32, *mut Found) -> Status;
type Run = unsafe extern "C" fn(
    Pointer,
    *const c_void,
    Pointer,
    Address,
    Pointer,
    Address,
    Pointer,
    i32,
    Address,
    usize,
    *const c_void,
    Pointer,
    Address,
) -> Status;

struct Api {
    create: Make,
    destroy: Destroy,
    set_stream: unsafe extern "C" fn(Pointer, Pointer) -> Status,
    tensor: (Make, Destroy),
    set_tensor: unsafe extern "C" fn(Pointer, i32, i32, *const i32, *const i32) -> Status,
    filter: (Make, Destroy),
    set_filter: unsafe extern "C" fn(Pointer, i32, i32, i32, *const i32) -> Status,
    convolution: (Make, Destroy),
    set_convolution:
        unsafe extern "C" fn(Pointer, i32, *const i32, *const i32, *const i32, i32, i32) -> Status,
    set_math: unsafe extern "C" fn(Pointer, i32) -> Status,
    set_groups: unsafe extern "C" fn(Pointer, i32) -> Status,
    /// By direction.
    search: [Search; 3],
    run: [Run; 3],
}

impl Api {
    fn new(library: &Opened) -> Api {
        // SAFETY: the library has functions of these names, and they are of these types in every version of it
        // that goes by one of the names under which it is looked for.
        unsafe {
            Api {
                create: library.function(c"cudnnCreate"),
                destroy: library.function(c"cudnnDestroy"),
                set_stream: library.function(c"cudnnSetStream"),
                tensor: (
                    library.function(c"cudnnCreateTensorDescriptor"),
                    library.function(c"cudnnDestroyTensorDescriptor"),
                ),
                set_tensor: library.function(c"cudnnSetTensorNdDescriptor"),
                filter: (
                    library.function(c"cudnnCreateFilterDescriptor"),
                    library.function(c"cudnnDestroyFilterDescriptor"),
                ),
                set_filter: library.function(c"cudnnSetFilterNdDescriptor"),
                convolution: (
                    library.function(c"cudnnCreateConvolutionDescriptor"),
                    library.function(c"cudnnDestroyConvolutionDescriptor"),
                ),
                set_convolution: library.function(c"cudnnSetConvolutionNdDescriptor"),
                set_math: library.function(c"cudnnSetConvolutionMathType"),
                set_groups: library.function(c"cudnnSetConvolutionGroupCount"),
                search: [
                    library.function(c"cudnnGetConvolutionForwardAlgorithm_v7"),
                    library.function(c"cudnnGetConvolutionBackwardDataAlgorithm_v7"),
                    library.function(c"cudnnGetConvolutionBackwardFilterAlgorithm_v7"),
                ],
                run: [
                    library.function(c"cudnnConvolutionForward"),
                    library.function(c"cudnnConvolutionBackwardData"),
                    library.function(c"cudnnConvolutionBackwardFilter"),
                ],
            }
        }
    }
}

fn checked(status: Status, during: &'static str) -> Result<(), CudaError> {
    let library = Vendor::Dnn.name();
    if status == 0 { Ok(()) } else { Err(CudaError::Library { library, status, during }) }
}

/// The library on a device.
pub(super) struct Dnn {
    api: Api,
    /// It keeps the stream that it was last given, and serves one thread at a time.
    handle: Mutex<Handle>,
    workspace: Arc<Workspace>,
    context: Arc<Context>,
}

struct Handle(Pointer);

// SAFETY: the handle may be used from any thread, by one at a time.
unsafe impl Send for Handle {}

impl Dnn {
    /// Opens the library for a device.
    ///
    /// # Errors
    /// [`CudaError::NoLibrary`], or the library refuses to start.
    pub(super) fn open(context: &Arc<Context>, workspace: &Arc<Workspace>) -> Result<Dnn, CudaError> {
        let api = Api::new(&library::vendor(Vendor::Dnn)?);
        context.enter("starting cuDNN")?;
        let mut handle = null_mut();
        // SAFETY: writes a handle.
        checked(unsafe { (api.create)(&raw mut handle) }, "starting")?;
        let handle = Mutex::new(Handle(handle));
        Ok(Dnn { api, handle, workspace: workspace.clone(), context: context.clone() })
    }
}

impl Drop for Dnn {
    fn drop(&mut self) {
        if self.context.enter("").is_ok() {
            // SAFETY: made by `open`; every convolution holds it, so that none is left. An error has nobody to go to.
            let _ = unsafe { (self.api.destroy)(self.handle.get_mut().0) };
        }
    }
}

/// Sizes and strides of images: items, channels, planes, rows, columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Images {
    pub(super) sizes: [i32; 5],
    pub(super) strides: [i32; 5],
}

/// See [`ttk_ir::library::Convolution`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) dtype: DType,
    pub(super) direction: Direction,
    pub(super) x: Images,
    pub(super) y: Images,
    /// Channels of `y` and, of one group, of `x`; planes, rows, columns.
    pub(super) filter: [i32; 5],
    pub(super) stride: [i32; 3],
    pub(super) padding: [i32; 3],
    pub(super) dilation: [i32; 3],
    pub(super) groups: i32,
    pub(super) flipped: bool,
    pub(super) tf32: bool,
}

/// A descriptor of the library, destroyed with this.
struct Object {
    handle: Pointer,
    destroy: Destroy,
}

// SAFETY: descriptors may be used from any thread; they do not change once they are made.
unsafe impl Send for Object {}
// SAFETY: as above.
unsafe impl Sync for Object {}

impl Object {
    fn new((make, destroy): (Make, Destroy)) -> Result<Object, CudaError> {
        let mut handle = null_mut();
        // SAFETY: writes a handle.
        checked(unsafe { make(&raw mut handle) }, "making a descriptor")?;
        Ok(Object { handle, destroy })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: made by the library, used no more. An error has nobody to go to.
        let _ = unsafe { (self.destroy)(self.handle) };
    }
}

/// The library's objects for a shape.
pub(super) struct Convolution {
    dnn: Arc<Dnn>,
    direction: Direction,
    x: Object,
    y: Object,
    filter: Object,
    convolution: Object,
    algorithm: i32,
    workspace: (Address, usize),
    double: bool,
}

/// `cudnnDataType_t` of elements and of sums.
fn types(dtype: DType) -> Option<(i32, i32)> {
    match dtype {
        DType::F32 => Some((0, 0)),
        DType::F64 => Some((1, 1)),
        DType::F16 => Some((2, 0)),
        DType::BF16 => Some((9, 0)),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => None,
    }
}

fn number(direction: Direction) -> usize {
    match direction {
        Direction::Forward => 0,
        Direction::Data => 1,
        Direction::Filter => 2,
    }
}

impl Convolution {
    /// Asks for an algorithm; `None` when the library has none for the shape.
    ///
    /// # Errors
    /// The library's, of a shape that it does not understand.
    pub(super) fn new(dnn: &Arc<Dnn>, shape: &Shape) -> Result<Option<Convolution>, CudaError> {
        let Some((of, sums)) = types(shape.dtype) else { return Ok(None) };
        dnn.context.enter("preparing a convolution")?;
        let api = &dnn.api;
        // Images of one plane have four axes: more algorithms know those.
        let flat = [shape.x.sizes[2], shape.y.sizes[2], shape.filter[2]] == [1; 3];
        let axes = if flat { 4 } else { 5 };
        let without = |[n, c, d, h, w]: [i32; 5]| if flat { [n, c, h, w, 0] } else { [n, c, d, h, w] };
        let images = |i: &Images| -> Result<Object, CudaError> {
            let object = Object::new(api.tensor)?;
            let (axes, sizes, strides) = (axes as i32, without(i.sizes), without(i.strides));
            // SAFETY: the descriptor lives, and there are so many sizes and strides.
            let set = unsafe { (api.set_tensor)(object.handle, of, axes, sizes.as_ptr(), strides.as_ptr()) };
            checked(set, "describing images")?;
            Ok(object)
        };
        let (x, y) = (images(&shape.x)?, images(&shape.y)?);
        let filter = Object::new(api.filter)?;
        let sizes = without(shape.filter);
        // SAFETY: the descriptor lives, and there are so many sizes.
        let set = unsafe { (api.set_filter)(filter.handle, of, FORMAT_NCHW, axes as i32, sizes.as_ptr()) };
        checked(set, "describing a filter")?;
        let convolution = Object::new(api.convolution)?;
        let of_axes = |numbers: &[i32; 3]| numbers[5 - axes..].as_ptr();
        let [padding, stride, dilation] = [&shape.padding, &shape.stride, &shape.dilation].map(of_axes);
        let mode = if shape.flipped { MODE_CONVOLUTION } else { MODE_CROSS_CORRELATION };
        // SAFETY: the descriptor lives, and of each kind there is a number for every spatial axis.
        let set = unsafe {
            let axes = axes as i32 - 2;
            (api.set_convolution)(convolution.handle, axes, padding, stride, dilation, mode, sums)
        };
        checked(set, "describing a convolution")?;
        // SAFETY: the descriptor lives.
        let set = unsafe { (api.set_groups)(convolution.handle, shape.groups) };
        checked(set, "describing groups")?;
        let half = matches!(shape.dtype, DType::F16 | DType::BF16);
        let math = match (half, shape.tf32) {
            (true, _) => MATH_TENSOR_OP,
            (false, true) => MATH_TENSOR_OP_CONVERT,
            (false, false) => MATH_FMA,
        };
        // SAFETY: the descriptor lives.
        checked(unsafe { (api.set_math)(convolution.handle, math) }, "describing a convolution")?;

        let (mut found, mut count) = ([Found::default(); CHOICES], 0);
        let [a, b, c] = ordered(shape.direction, x.handle, filter.handle, y.handle);
        {
            let handle = dnn.handle.lock();
            // SAFETY: all objects live; writes at most so many results and a number.
            let status = unsafe {
                (api.search[number(shape.direction)])(
                    handle.0,
                    a,
                    b,
                    convolution.handle,
                    c,
                    CHOICES as i32,
                    &raw mut count,
                    found.as_mut_ptr(),
                )
            };
            checked(status, "choosing an algorithm")?;
        }
        for choice in &found[..(count.max(0) as usize).min(CHOICES)] {
            if choice.status != 0 || choice.determinism != DETERMINISTIC {
                continue;
            }
            let Some(at) = dnn.workspace.room(choice.memory)? else { continue };
            // SAFETY: the descriptor lives.
            checked(unsafe { (api.set_math)(convolution.handle, choice.math) }, "describing a convolution")?;
            return Ok(Some(Convolution {
                dnn: dnn.clone(),
                direction: shape.direction,
                x,
                y,
                filter,
                convolution,
                algorithm: choice.algorithm,
                workspace: (at, choice.memory),
                double: shape.dtype == DType::F64,
            }));
        }
        Ok(None)
    }

    /// Gives the convolution to a stream.
    ///
    /// # Safety
    /// Memory must be allocated at the addresses as far as the shape says.
    pub(super) unsafe fn run(
        &self,
        stream: &Stream,
        x: Address,
        filter: Address,
        y: Address,
    ) -> Result<(), CudaError> {
        let dnn = &self.dnn;
        dnn.context.enter("convolving")?;
        let (single, double) = ([1f32, 0.0], [1f64, 0.0]);
        let [alpha, beta]: [*const c_void; 2] = if self.double {
            [(&raw const double[0]).cast(), (&raw const double[1]).cast()]
        } else {
            [(&raw const single[0]).cast(), (&raw const single[1]).cast()]
        };
        let handle = dnn.handle.lock();
        // SAFETY: the stream lives until its work is done.
        checked(unsafe { (dnn.api.set_stream)(handle.0, stream.raw()) }, "taking a stream")?;
        let [a_desc, b_desc, c_desc] =
            ordered(self.direction, self.x.handle, self.filter.handle, self.y.handle);
        let [a, b, c] = ordered(self.direction, x, filter, y);
        // SAFETY: all objects live; memory is the caller's promise; the library reads the numbers before it returns.
        let status = unsafe {
            (dnn.api.run[number(self.direction)])(
                handle.0,
                alpha,
                a_desc,
                a,
                b_desc,
                b,
                self.convolution.handle,
                self.algorithm,
                self.workspace.0,
                self.workspace.1,
                beta,
                c_desc,
                c,
            )
        };
        checked(status, "convolving")
    }
}

/// The operands and the result as the function of a direction takes them.
fn ordered<T>(direction: Direction, x: T, filter: T, y: T) -> [T; 3] {
    match direction {
        Direction::Forward => [x, filter, y],
        Direction::Data => [filter, y, x],
        Direction::Filter => [x, y, filter],
    }
}
