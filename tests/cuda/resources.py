"""What NVIDIA's compiler makes of printed programs, and what their launches cost.

    python tests/cuda/resources.py FOLDER [--arch sm_80 sm_90 sm_100] [--strict]

Compiles every `.cu` file of a folder with NVRTC, which needs no GPU and no driver, and reads the machine code
with `cuobjdump`. Prints a row for each kernel: what it takes, bytes of the stack and the accesses to it (`LDL`, `STL`),
bytes that the compiler's last stage says it spilled, and which instructions it has. Then a row for each kernel and size: how often a program launches it; the bytes that its threads ask for, those of them that memory moves (the
others come from a cache of 16 MiB), and those as a multiple of the fewest possible; its operations; and the time that
an H100 needs for the bytes or for the operations, whichever is longer. With `--strict` it is a failure if a kernel spills
a byte, keeps an array on the stack, or has no wide load, wide store or tensor core instruction where its text asks for one.

`TTK_CUDA_SOURCES=FOLDER cargo test -p ttk-codegen-cuda` writes the source of every program that the tests run.

`pip install nvidia-cuda-nvrtc nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm` brings both tools.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

#: As `ttk_ir::device::COMPILE_OPTIONS`, and that the last stage says what it spills.
OPTIONS = ["--std=c++17", "--fmad=false", "--ptxas-options=-v"]

#: Bytes of memory in a second, of an H100.
BANDWIDTH = 3.0e12

#: Operations in a second by what computes them, of an H100 (SXM): a product and a sum at once are two.
RATES = {"f32": 67e12, "f64": 34e12, "tf32 on tensor cores": 495e12, "16 bits on tensor cores": 989e12}

#: A program whose kernels move at most so many times the fewest bytes moves no more than it must.
GOOD = 1.05

#: Instructions that are counted, by the name of their column.
COUNTED = {
    "LDG.128": r"\bLDG\.E\.128",
    "LDG.64": r"\bLDG\.E\.64",
    "LDG": r"\bLDG\.E(?!\.(128|64))",
    "STG.128": r"\bSTG\.E\.128",
    "STG.64": r"\bSTG\.E\.64",
    "STG": r"\bSTG\.E(?!\.(128|64))",
    "SHFL": r"\bSHFL\b",
    "BAR": r"\bBAR\.SYNC",
    "HMMA": r"\b(HMMA|UTCHMMA|HGMMA)\b",
}


def toolkit() -> str:
    """The folder that the wheels install into."""
    for root in (sysconfig.get_paths()["purelib"], os.environ.get("TTK_NVIDIA", "")):
        for found in sorted(glob.glob(os.path.join(root, "nvidia", "cu1*"))):
            return found
    raise SystemExit("NVRTC is not installed; see the top of this file")


class Nvrtc:
    """The compiler, through its C interface."""

    def __init__(self, folder: str) -> None:
        self.lib = ctypes.CDLL(glob.glob(os.path.join(folder, "lib", "libnvrtc.so.*"))[0])

    def cubin(self, source: str, arch: str) -> tuple[bytes, dict[str, int]]:
        """Machine code, and for each function the bytes that are spilled. Raises `ValueError` with the compiler's words."""
        lib, program = self.lib, ctypes.c_void_p()
        lib.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"program.cu", 0, None, None)
        options = [o.encode() for o in [*OPTIONS, f"--gpu-architecture={arch}"]]
        status = lib.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        size = ctypes.c_size_t()
        lib.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetProgramLog(program, buffer)
        log = buffer.value.decode(errors="replace")
        if status != 0:
            raise ValueError(log)
        lib.nvrtcGetCUBINSize(program, ctypes.byref(size))
        code = ctypes.create_string_buffer(size.value)
        lib.nvrtcGetCUBIN(program, code)
        lib.nvrtcDestroyProgram(ctypes.byref(program))
        spilled = re.findall(r"properties for (\w+)\n[^\n]* (\d+) bytes spill stores, (\d+) bytes spill loads", log)
        return code.raw, {name: int(stores) + int(loads) for name, stores, loads in spilled}


def examine(folder: str, code: bytes, spilled: dict[str, int]) -> dict[str, dict[str, int]]:
    """For each kernel of a cubin, what it takes and which instructions it has."""
    tool = os.path.join(folder, "bin", "cuobjdump")
    env = {**os.environ, "PATH": os.path.join(folder, "bin") + os.pathsep + os.environ.get("PATH", "")}
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()

        def dump(what: str) -> str:
            run = subprocess.run([tool, what, file.name], capture_output=True, text=True, env=env, check=True)
            return run.stdout

        usage, sass = dump("-res-usage"), dump("-sass")
    kernels: dict[str, dict[str, int]] = {}
    for name, rest in re.findall(r"Function (\w+):\n\s*(.*)", usage):
        kernels[name] = {k: int(v) for k, v in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", rest)}
    for part in re.split(r"Function : ", sass)[1:]:
        name = part.split()[0]
        row = kernels.setdefault(name, {})
        for column, pattern in COUNTED.items():
            row[column] = len(re.findall(pattern, part))
        row["on stack"] = len(re.findall(r"\b(LDL|STL)\b", part))
        row["spilled"] = spilled.get(name, 0)
    return kernels


#: Bytes of an element in memory, by its C type.
SIZES = {"unsigned char": 1, "signed char": 1, "short": 2, "tt_f16": 2, "tt_bf16": 2, "int": 4, "float": 4,
         "long long": 8, "double": 8}


def functions(source: str) -> dict[str, str]:
    """The text of each kernel with the comment above it, by name."""
    out = {}
    program = source.split("// ---- The program.\n", 1)[-1]
    for part in program.split("TT_KERNEL(")[:-1]:
        name = re.findall(r"__launch_bounds__\([\d, ]+\) (\w+)\(", part)
        if name:
            out[name[-1]] = part
    return out


def narrowed(text: str, pack: str) -> bool:
    """Whether only the lower halves of a pack's integers are used: the compiler loads no more than those."""
    values = re.findall(rf"const long long (\w+) = {pack}\.at\[", text)
    uses = [re.findall(rf"(\((?:int|short|signed char|unsigned char)\))?\b{v}\b(?! =)", text) for v in values]
    return bool(values) and all(all(u) for u in uses)


def expectations(text: str) -> list[str]:
    """The instructions that a kernel's text asks for."""
    wanted = []
    packs = re.findall(r"const tt_pack<([\w ]+), (\d+)> (x\d+)", text)
    loads = {SIZES[t] * int(n) for t, n, pack in packs if t != "long long" or not narrowed(text, pack)}
    stores = {(SIZES[t] * int(n)) for t, n in re.findall(r" tt_pack<([\w ]+), (\d+)> y\d", text)}
    for kind, sizes in (("LDG", loads), ("STG", stores)):
        if any(size >= 16 for size in sizes):
            wanted.append(f"{kind}.128")
        elif 8 in sizes:
            wanted.append(f"{kind}.64")
    if "on tensor cores" in text:
        wanted.append("HMMA")
    return wanted


@dataclass(frozen=True)
class Cost:
    """Of a launch; bytes and operations."""

    asked: int
    memory: int
    fewest: int
    operations: int


def launches(source: str) -> dict[str, Counter[Cost]]:
    """How often a program launches each kernel at which cost, where that does not depend on sizes."""
    out: dict[str, Counter[Cost]] = {}
    pattern = r"^// step \d+: (\w+)<<<.*: (\d+) bytes asked for, (\d+) of memory, at least (\d+); (\d+) operations$"
    for name, *numbers in re.findall(pattern, source, re.M):
        out.setdefault(name, Counter())[Cost(*map(int, numbers))] += 1
    return out


def unit(text: str) -> str:
    """What computes a kernel's operations: a key of `RATES`."""
    if "on tensor cores" in text:
        return "tf32 on tensor cores" if " of tf32" in text else "16 bits on tensor cores"
    return "f64" if "double" in text else "f32"


def microseconds(cost: Cost, text: str) -> float:
    """The predicted time of a launch."""
    return max(cost.memory / BANDWIDTH, cost.operations / RATES[unit(text)]) * 1e6


def print_costs(source: str, texts: dict[str, str]) -> tuple[int, int, int]:
    """A row for each kernel and size. Of how many memory moves at most `GOOD` times the fewest bytes, how many ask for no
    more than that, and how many there are."""
    print(f"{'launched':34}{'times':>7}{'asked':>13}{'memory':>13}{'/ fewest':>10}{'operations':>14}{'us':>10}  limit")
    total, good, sparing, rows = 0.0, 0, 0, 0
    for name, costs in launches(source).items():
        text = texts.get(name, "")
        for cost, times in costs.items():
            time = microseconds(cost, text)
            total += time * times
            excess = cost.memory / cost.fewest if cost.fewest else 1.0
            rows += 1
            good += excess <= GOOD
            sparing += cost.asked <= GOOD * cost.fewest
            limit = "memory" if cost.memory / BANDWIDTH >= cost.operations / RATES[unit(text)] else unit(text)
            print(
                f"{name:34}{times:>7}{cost.asked:>13}{cost.memory:>13}{excess:>10.2f}{cost.operations:>14}"
                f"{time:>10.2f}  {limit}"
            )
    print(f"predicted for all launches: {total:.0f} us, without what a launch itself takes")
    return good, sparing, rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--arch", nargs="+", default=["sm_80", "sm_90", "sm_100"])
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="only failures")
    args = parser.parse_args()
    home = toolkit()
    nvrtc = Nvrtc(home)
    columns = ["REG", "SHARED", "STACK", "on stack", "spilled", *COUNTED]
    failures = good = sparing = rows = found = spilling = stacked = 0
    if not args.quiet:
        rates = ", ".join(f"{rate / 1e12:.0f} T/s of {what}" for what, rate in RATES.items())
        print(f"Times are those of an H100: {BANDWIDTH / 1e12} TB/s; operations at {rates}.")
        print(f"{'arch':8}{'kernel':34}" + "".join(f"{c:>9}" for c in columns))

    def job(item: tuple[str, str]):
        path, arch = item
        with open(path) as file:
            source = file.read()
        try:
            return path, arch, source, examine(home, *nvrtc.cubin(source, arch)), ""
        except ValueError as error:
            return path, arch, source, {}, str(error)

    # Of programs whose functions are equal, one, unless what their launches cost is to be seen.
    programs = {}
    for path in sorted(glob.glob(os.path.join(args.folder, "*.cu"))):
        with open(path) as file:
            functions_of = file.read().split("// ---- The program.\n", 1)[-1]
        programs.setdefault(functions_of if args.quiet else path, path)
    items = [(path, arch) for path in programs.values() for arch in args.arch]
    with ThreadPoolExecutor(1) as pool:
        for path, arch, source, kernels, error in pool.map(job, items):
            title = os.path.basename(path)
            if error:
                failures += 1
                print(f"{arch:8}{title}: does not compile\n{error}")
                continue
            if not args.quiet:
                print(f"# {title}")
            texts = functions(source)
            found += len(kernels)
            for name, row in kernels.items():
                text = texts.get(name, "")
                if not args.quiet:
                    counts = "".join(f"{row.get(c, 0):>9}" for c in columns)
                    print(f"{arch:8}{name:34}{counts}")
                missing = [w for w in expectations(text) if not row.get(w, 0)]
                if row.get("spilled", 0):
                    spilling += 1
                    missing.append(f"room for {row['spilled']} spilled bytes")
                elif row.get("STACK", 0) or row.get("on stack", 0):
                    stacked += 1
                    missing.append(f"room for an array of {row.get('STACK', 0)} bytes")
                if missing:
                    failures += args.strict
                    print(f"{arch:8}{title}: {name} lacks {', '.join(missing)}")
            if not args.quiet and arch == args.arch[-1]:
                of_program = print_costs(source, texts)
                good, sparing, rows = (a + b for a, b in zip((good, sparing, rows), of_program))
    if rows:
        print(f"{rows} kernels and sizes: memory moves at most {GOOD} times the fewest bytes of {good} of them,")
        print(f"and threads ask for no more than that in {sparing}; what they ask for again is in a cache")
    print(f"{spilling} kernels spill, {stacked} others keep something on the stack")
    print(f"{len(programs)} programs, {len(items)} compilations, {found} kernels, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
