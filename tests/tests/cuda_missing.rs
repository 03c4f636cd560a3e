//! A machine without CUDA: no call fails otherwise than by saying so. This program never loads the
//! stand-in; where a real driver is there, nothing of this can be seen.

use std::path::PathBuf;
use ttk_runtime::cuda::{self, CudaError, Device};

#[test]
fn without_a_driver_the_reason_says_what_was_looked_for() {
    let empty = tempfile::tempdir().unwrap();
    cuda::add_search_paths([PathBuf::from("/no/such/place"), empty.path().to_path_buf()]);
    if cuda::device_count() > 0 {
        return;
    }
    assert!(!cuda::available());
    let reason = cuda::why_not().unwrap();
    match Device::get(0).unwrap_err() {
        CudaError::NoDriver { .. } => {
            assert!(reason.starts_with("Found no NVIDIA driver on your system."), "{reason}");
            assert!(reason.contains("libcuda.so.1"), "{reason}");
            // A driver that is there but does not start says why instead of where it was looked for.
            assert!(reason.contains("does not start") || reason.contains("/no/such/place"), "{reason}");
        }
        CudaError::NoDevice => assert_eq!(reason, "No CUDA GPUs are available"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_library_that_is_none_is_named() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("libcuda.so.1"), "not a library").unwrap();
    cuda::add_search_paths([directory.path().to_path_buf()]);
    if cuda::device_count() > 0 {
        return;
    }
    let reason = cuda::why_not().unwrap();
    let expected = format!("{} does not load", directory.path().join("libcuda.so.1").display());
    assert!(reason.contains(&expected) || !reason.contains("looked for"), "{reason}");
}
