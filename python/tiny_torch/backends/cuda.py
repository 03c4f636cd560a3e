"""CUDA's switches: kept, and without effect on the CPU. Of them `matmul.allow_tf32` has one on a GPU."""

from .. import _defaults

__all__ = ["is_built", "matmul", "sdp_kernel", "enable_flash_sdp", "flash_sdp_enabled"]


def is_built():
    return False


class _Matmul:
    @property
    def allow_tf32(self):
        """Whether a GPU may round the operands of float32 products to 11 bits. As in PyTorch, one setting with
        `torch.set_float32_matmul_precision`."""
        return _defaults.get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allow):
        _defaults.set_float32_matmul_precision("high" if allow else "highest")

    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True
    allow_fp16_accumulation = False
    fp32_precision = "none"


class _PlanCache:
    max_size = 0
    size = 0

    def clear(self):
        pass

    def __getitem__(self, index):
        return self


matmul = _Matmul()
cufft_plan_cache = _PlanCache()
_sdp = {"flash": True, "math": True, "mem_efficient": True, "cudnn": True}


def _switch(kind):
    def enable(enabled):
        _sdp[kind] = bool(enabled)

    def is_enabled():
        return _sdp[kind]

    return enable, is_enabled


enable_flash_sdp, flash_sdp_enabled = _switch("flash")
enable_math_sdp, math_sdp_enabled = _switch("math")
enable_mem_efficient_sdp, mem_efficient_sdp_enabled = _switch("mem_efficient")
enable_cudnn_sdp, cudnn_sdp_enabled = _switch("cudnn")


class sdp_kernel:
    """Accepted: attention is compiled, one way for all inputs."""

    def __init__(self, enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
        pass

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_value, traceback):
        return None


def preferred_linalg_library(backend=None):
    return "default"


def preferred_blas_library(backend=None):
    return "default"


def can_use_flash_attention(params, debug=False):
    return False


def can_use_efficient_attention(params, debug=False):
    return False
