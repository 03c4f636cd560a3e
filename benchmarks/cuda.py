"""Times the same PyTorch programs on PyTorch and on Tiny-Torch on a GPU, in turns, and prints the ratios.

    python benchmarks/cuda.py                  # every workload
    python benchmarks/cuda.py --only GPT

It needs a GPU with its driver, PyTorch built for CUDA and Tiny-Torch in one environment. On a stand-in for a GPU
(`make test-cuda`) both packages cannot run: PyTorch asks for a real one.
"""

import argparse
import sys

from harness import HEAD, both_installed, line, measure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    args = parser.parse_args()
    both_installed()
    import tiny_torch
    import torch

    if not tiny_torch.cuda.is_available():
        sys.exit(tiny_torch.cuda.why_not())
    if not torch.cuda.is_available():
        sys.exit("this PyTorch sees no GPU: it may have been built for processors alone (pip install torch==2.15.0)")
    from workloads import WORKLOADS

    print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}; {args.turns} turns each, in turns")
    print(HEAD)
    failed = []
    for name in (n for n in WORKLOADS if args.only in n):
        # Eager PyTorch alone: targets against other peers are those of a processor.
        row = measure(name, WORKLOADS[name]._replace(peers=()), "cuda", 2, args.turns)
        print(line(name, row), flush=True)
        if "ratio" not in row:
            failed.append(name)
    if failed:
        sys.exit(f"not timed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
