"""One package's side of a comparison: a process that runs workloads when it is told to.

Started by `harness.py` with the name of a package, a number of threads and a device. Reads one command a line from
standard input, a list in JSON, and answers each with one line of JSON.
"""

import importlib
import json
import resource
import sys
import time


def main():
    package, threads, device = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    if package != "torch":
        importlib.import_module(package).install_as_torch()
    import torch
    from workloads import WORKLOADS

    torch.set_num_threads(threads)
    step = result = None
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        if command == "version":
            answer = torch.__version__
        elif command == "set up":
            step, result = WORKLOADS[arguments[0]].make(device)
            answer = None
        elif command == "run":
            answer = []
            for _ in range(arguments[0]):
                start = time.perf_counter()
                step()
                if device == "cuda":
                    torch.cuda.synchronize()
                answer.append(time.perf_counter() - start)
        elif command == "result":
            answer = result()
        elif command == "peak memory":
            # Bytes; the kernel counts in units of 1024.
            answer = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        else:
            raise ValueError(f"no command {command}")
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
