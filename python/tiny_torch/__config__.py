"""How this build was made."""


def show():
    from . import version

    return f"tiny_torch {version.tiny_torch}: Rust, Cranelift; no BLAS, OpenMP or C++ compiler at run time"


def parallel_info():
    from . import get_num_threads

    return f"threads: {get_num_threads()}"
