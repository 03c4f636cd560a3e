#!/usr/bin/env bash
# The wheel as it is released: compiled to count which ways are taken, run on the two examples and on what compiling and
# recording cost (benchmarks/overheads.py), and compiled again by these counts. Recording takes a quarter to a third less time by it.
#
#   python/profile/wheel.sh ENVIRONMENT WORK OUT
#
# ENVIRONMENT has maturin, NumPy and tqdm; WORK keeps what is compiled for the next time; the wheel comes to OUT.
set -euo pipefail
[ $# = 3 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
environment=$(realpath "$1") out=$(realpath -m "$3")
# cargo does not see that other crates are to be counted.
work=$(realpath -m "$2")/$(cksum < "$(dirname "$0")/rustc.sh" | cut -d ' ' -f 1)
cd "$(dirname "$0")/../.."
profdata=$(python/profile/profdata.sh)
python=$environment/bin/python

build() { # where to build, where to put the wheel, what is added to the compiler's arguments
    mkdir -p "$2"
    rm -f "$2"/tiny_torch-*.whl
    PROFILE=$3 RUSTC_WRAPPER=$PWD/python/profile/rustc.sh CARGO_TARGET_DIR=$1 \
        "$environment/bin/maturin" build --release --quiet --manifest-path python/Cargo.toml --out "$2"
}

rm -rf "$work/counts" "$work/site"
build "$work/counting" "$work/wheel" "-Cprofile-generate=$work/counts"
"$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$work/site" "$work"/wheel/tiny_torch-*.whl
export PYTHONPATH=$work/site TTK_CACHE_DIR=
{
    "$python" benchmarks/overheads.py &&
        "$python" -m tiny_torch run examples/transformer/main.py --steps 10 --generate 50 &&
        "$python" -m tiny_torch run examples/mnist/main.py --steps 100 --out "$work/mnist"
} > "$work/run.log" 2>&1 || { tail -n 20 "$work/run.log" >&2; exit 1; }
"$profdata" merge --sparse --output "$work/merged.profdata" "$work/counts"
build "$work/using" "$out" "-Cprofile-use=$work/merged.profdata"
