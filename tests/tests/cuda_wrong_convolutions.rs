//! The stand-in for cuDNN itself: it refuses what the library would not forgive, and says why.

mod standin;

use standin::library::{Library, Pointer};
use standin::{Standin, devices};
use std::ptr::null_mut;
use ttk_runtime::cuda::release_devices;

type Tensor = unsafe extern "C" fn(Pointer, i32, i32, *const i32, *const i32) -> i32;
type Filter = unsafe extern "C" fn(Pointer, i32, i32, i32, *const i32) -> i32;
type Describe = unsafe extern "C" fn(Pointer, i32, *const i32, *const i32, *const i32, i32, i32) -> i32;
type Run = unsafe extern "C" fn(
    Pointer,
    *const f32,
    Pointer,
    u64,
    Pointer,
    u64,
    Pointer,
    i32,
    u64,
    usize,
    *const f32,
    Pointer,
    u64,
) -> i32;

/// A convolution of `f32`, right in all parts until one is changed: 2 x 3 x 5 x 5 by 4 x 3 x 3 x 3.
struct Convolution {
    x: u64,
    w: u64,
    y: u64,
    x_sizes: [i32; 4],
    x_strides: [i32; 4],
    y_sizes: [i32; 4],
    filter: [i32; 4],
    /// Padding, stride, dilation; one axis each.
    how: [i32; 3],
    types: [i32; 2],
    /// Spatial axes of the convolution.
    along: i32,
    algorithm: i32,
    workspace: u64,
    workspace_bytes: usize,
    dead: &'static str,
    stream: Pointer,
}

fn convolve(library: &Library, c: &Convolution) -> Result<(), i32> {
    let handle = library.make("cudnnCreate");
    let [x, y] = [(); 2].map(|()| library.make("cudnnCreateTensorDescriptor"));
    let filter = library.make("cudnnCreateFilterDescriptor");
    let how = library.make("cudnnCreateConvolutionDescriptor");
    let mut statuses = Vec::new();
    let mut tensor = |t, of, sizes: [i32; 4], strides: [i32; 4]| {
        // SAFETY: the library checks every argument, which is what this is about.
        statuses.push(unsafe {
            library.get::<Tensor>("cudnnSetTensorNdDescriptor")(t, of, 4, sizes.as_ptr(), strides.as_ptr())
        });
    };
    let [_, channels, h, w] = c.y_sizes;
    tensor(x, c.types[0], c.x_sizes, c.x_strides);
    tensor(y, 0, c.y_sizes, [channels * h * w, h * w, w, 1]);
    let [padding, stride, dilation] = c.how.map(|n| [n; 3]);
    // SAFETY: as above.
    unsafe {
        let set = library.get::<Filter>("cudnnSetFilterNdDescriptor");
        statuses.push(set(filter, 0, 0, 4, c.filter.as_ptr()));
        let set = library.get::<Describe>("cudnnSetConvolutionNdDescriptor");
        let (padding, stride, dilation) = (padding.as_ptr(), stride.as_ptr(), dilation.as_ptr());
        statuses.push(set(how, c.along, padding, stride, dilation, 1, c.types[1]));
        let set = library.get::<unsafe extern "C" fn(Pointer, Pointer) -> i32>("cudnnSetStream");
        statuses.push(set(handle, c.stream));
    }
    let objects = [
        ("cudnnDestroy", handle, "handle"),
        ("cudnnDestroyTensorDescriptor", x, "tensor"),
        ("cudnnDestroyTensorDescriptor", y, ""),
        ("cudnnDestroyFilterDescriptor", filter, "filter"),
        ("cudnnDestroyConvolutionDescriptor", how, "convolution"),
    ];
    let dead = objects.iter().position(|o| !c.dead.is_empty() && o.2 == c.dead);
    if let Some(i) = dead {
        assert_eq!(library.call1(objects[i].0, objects[i].1), 0);
    }
    let mut status = statuses.into_iter().find(|s| *s != 0).unwrap_or(0);
    if status == 0 {
        let (one, zero) = (1f32, 0f32);
        // SAFETY: as above.
        status = unsafe {
            library.get::<Run>("cudnnConvolutionForward")(
                handle,
                &raw const one,
                x,
                c.x,
                filter,
                c.w,
                how,
                c.algorithm,
                c.workspace,
                c.workspace_bytes,
                &raw const zero,
                y,
                c.y,
            )
        };
    }
    for (i, (destroy, object, _)) in objects.into_iter().enumerate() {
        if dead != Some(i) {
            assert_eq!(library.call1(destroy, object), 0, "{destroy}");
        }
    }
    if status == 0 { Ok(()) } else { Err(status) }
}

/// A change that makes a call wrong.
type Change = fn(&mut Convolution);

#[test]
fn planted_wrong_arguments_are_found_and_explained() {
    use cudarc::driver::{CudaContext, DevicePtr};
    let standin = Standin::open();
    devices(1);
    {
        let library = Library::open("libcudnn.so.9");
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        let elsewhere = CudaContext::new(1).unwrap().new_stream().unwrap();
        context.bind_to_thread().unwrap();
        let (x, w) = (stream.clone_htod(&[1f32; 150]).unwrap(), stream.clone_htod(&[0.5f32; 108]).unwrap());
        let (y, workspace) =
            (stream.alloc_zeros::<f32>(72).unwrap(), stream.alloc_zeros::<u8>(4096).unwrap());
        let make = || Convolution {
            x: x.device_ptr(&stream).0,
            w: w.device_ptr(&stream).0,
            y: y.device_ptr(&stream).0,
            x_sizes: [2, 3, 5, 5],
            x_strides: [75, 25, 5, 1],
            y_sizes: [2, 4, 3, 3],
            filter: [4, 3, 3, 3],
            how: [0, 1, 1],
            types: [0, 0],
            along: 2,
            algorithm: 1,
            workspace: workspace.device_ptr(&stream).0,
            workspace_bytes: 4096,
            dead: "",
            stream: stream.cu_stream().cast(),
        };
        assert_eq!(convolve(&library, &make()), Ok(()));
        assert_eq!(stream.clone_dtoh(&y).unwrap(), [13.5f32; 72]);

        let wrong: &[(Change, &str)] = &[
            (|c| c.dead = "handle", "what is no handle"),
            (|c| c.dead = "tensor", "what is no tensor descriptor"),
            (|c| c.dead = "filter", "what is no filter descriptor"),
            (|c| c.dead = "convolution", "what is no convolution descriptor"),
            (|c| c.x_sizes[0] = 0, "axis 0 has 0 elements"),
            (|c| c.x_strides[1] = 24, "lies in the others"),
            (|c| c.x_sizes[0] = 1, "1 images become 2"),
            (|c| c.filter[1] = 2, "a filter of 4 x 2 channels between images of 4 and 3"),
            (|c| c.filter[2] = 0, "a filter whose axis 2 has 0 elements"),
            (|c| c.y_sizes[3] = 4, "spatial axis 1 of 5 elements gives 3, not 4"),
            (|c| c.how[0] = 1, "axis 0 of 5 elements gives 5, not 3"),
            (|c| c.how[1] = 0, "stride 0"),
            (|c| c.along = 3, "a filter of 4, a convolution along 3"),
            (|c| c.along = 4, "4 axes, mode 1"),
            (|c| c.how[2] = 2, "axis 0 of 5 elements gives 1, not 3"),
            (|c| c.types[0] = 1, "are of several types"),
            (|c| c.types[1] = 2, "sums of type 2"),
            (|c| c.algorithm = 7, "algorithm 7"),
            (|c| c.x += 4, "cuDNN's x: 600 bytes"),
            (|c| c.w += 2, "a misaligned operand"),
            (|c| c.y = 64, "not memory of a device"),
            (|c| c.y = c.x, "the result lies in an operand"),
            (|c| c.workspace_bytes = 16, "a workspace of 16 bytes where 1728 are wanted"),
            (|c| c.workspace += 4096, "cuDNN's workspace: 1728 bytes"),
            (|c| c.stream = null_mut::<u64>().wrapping_add(8).cast(), "on the stream of another"),
        ];
        for (change, says) in wrong {
            let mut c = make();
            change(&mut c);
            assert!(convolve(&library, &c).is_err(), "{says} is not found");
            let message = standin.last_message();
            assert!(message.contains(says), "{message} does not say {says}");
        }
        let mut c = make();
        c.stream = elsewhere.cu_stream().cast();
        assert!(convolve(&library, &c).is_err());
        assert!(standin.last_message().contains("on the stream of another"));
    }
    release_devices();
    assert_eq!(standin.report(), "");
}
