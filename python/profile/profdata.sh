#!/usr/bin/env bash
# Prints where the compiler's own `llvm-profdata` is; another version does not read what its programs count.
set -euo pipefail
host=$(rustc -vV | sed -n 's/^host: //p')
tool=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$tool" ] || rustup component add llvm-tools >&2 || true
[ -x "$tool" ] || { echo "the rustc in use has no llvm-profdata: rustup component add llvm-tools" >&2; exit 1; }
echo "$tool"
