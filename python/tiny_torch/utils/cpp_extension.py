"""Building C++ and CUDA extensions, which needs PyTorch's own headers and is not possible here."""

__all__ = ["BuildExtension", "CUDAExtension", "CppExtension", "include_paths", "load", "load_inline"]

CUDA_HOME = None
ROCM_HOME = None


def _refuse(what):
    def function(*args, **kwargs):
        raise NotImplementedError(
            f"torch.utils.cpp_extension.{what}: extensions are compiled against PyTorch's C++ library, which tiny_torch does not have"
        )

    function.__name__ = what
    return function


BuildExtension = _refuse("BuildExtension")
CUDAExtension = _refuse("CUDAExtension")
CppExtension = _refuse("CppExtension")
include_paths = _refuse("include_paths")
load = _refuse("load")
load_inline = _refuse("load_inline")
