#!/usr/bin/env bash
# rustc for `wheel.sh`: cargo calls it with the compiler and its arguments. Adds $PROFILE, which counts or uses counts, where
# what is taken most often differs most from what is there: in what records, looks up and compiles. The runtime's kernels are
# written against what the compiler does without counts: with them, and most shapes of work not among what was counted, convolutions
# took up to twice as long.
set -euo pipefail
compiler=$1
shift
name=
before=
for argument in "$@"; do
    [ "$before" = --crate-name ] && name=$argument
    before=$argument
done
case $name in
    ttk_runtime) ;;
    ttk_* | _C | pyo3 | egg | cranelift_* | regalloc2) exec "$compiler" "$@" "$PROFILE" ;;
esac
exec "$compiler" "$@"
