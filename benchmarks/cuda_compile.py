"""What compiling the training steps of both examples for a GPU takes, on a machine that need not have one.

    python benchmarks/cuda_compile.py [--capability 90] [--libraries FOLDER]

A first process has an empty cache directory, a second one finds what the first has left there. Each goes the whole way
of a graph to machine code: passes, code generator, NVRTC, disk cache; only loading it needs a GPU. `FOLDER` is that of
NVRTC (`pip install nvidia-cuda-nvrtc`, then `nvidia/cu13/lib` in `site-packages`), where it is not found by itself.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

FOLDER = os.path.dirname(os.path.abspath(__file__))
LINE = re.compile(
    r"\[ttk cuda-time\] (\S+): (\d+) functions, (\d+) compiled, (\d+) from disk; "
    r"([\d.]+) ms until printed, ([\d.]+) ms until compiled"
)


def worker(name):
    """Runs three steps; the first two are different graphs."""
    sys.path.insert(0, FOLDER)
    from overheads import steps_of

    import tiny_torch

    # Finds NVRTC. There may be no device.
    tiny_torch.cuda.is_available()
    step = steps_of(name)
    for _ in range(3):
        step()


def measure(name, cache, args):
    env = {**os.environ, "TTK_CACHE_DIR": cache, "TTK_CUDA_AHEAD": args.capability, "TTK_LOG": "cuda-time"}
    if args.libraries:
        env["TTK_CUDA_LIBRARIES"] = args.libraries
    command = [sys.executable, os.path.abspath(__file__), "--worker", name]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    found = LINE.findall(done.stderr)
    if done.returncode or not found:
        sys.exit(f"{name} does not run:\n{done.stderr}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--capability", default="90", help="compute capability, major * 10 + minor")
    parser.add_argument("--libraries", help="the folder of NVRTC")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return worker(args.worker)
    print(f"{os.cpu_count()} cores, sm_{args.capability}")
    print(f"{'example':14}{'graph':12}{'disk':8}{'functions':>10}{'compiled':>10}{'printed ms':>12}{'all ms':>10}")
    for name in ("mnist", "transformer"):
        with tempfile.TemporaryDirectory() as cache:
            for disk in ("empty", "filled"):
                for graph, functions, compiled, _, printed, whole in measure(name, cache, args):
                    print(f"{name:14}{graph:12}{disk:8}{functions:>10}{compiled:>10}{printed:>12}{whole:>10}")


if __name__ == "__main__":
    main()
