# Two commands to begin with:
#
#   make train         trains a network on MNIST, writes it to a file, runs the file without Python
#   make test          every test that needs no other framework
#
# and the rest:
#
#   make test-cuda     tests on a GPU, or on the stand-in for one that it builds
#   make cuda-report   what NVIDIA's compiler makes of the kernels of both examples: registers, spills, bytes, predicted
#                      times; and what compiling them takes
#   make conformance   comparisons with PyTorch, which it puts (5.2 GB) in an environment of its own
#   make bench         speed against PyTorch, its compiler, JAX and ONNX Runtime, in an environment of its own (6 GB): writes
#                      benchmarks/RESULTS.md; then what compiling, recording and importing cost
#   make guard         instructions of recording, looking plans up and compiling, against what is written down; by valgrind
#   make wheel         the wheel, in target/wheels
#   make release       the wheel as it is released, in target/released: compiled twice, the second time by counts of which ways
#                      the first was seen to take (python/profile)
#   make develop       an editable install of the package in .venv
#   make lint          formatting and lints
#   make clean         removes the environments; cargo's own folder stays

# Python 3.10 or later; the first of these that is.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
TARGET := $(or $(CARGO_TARGET_DIR),target)
WHEELS := $(TARGET)/wheels
SOURCES := $(shell find ir autograd passes codegen-cpu codegen-cuda runtime frontend python/src cli -name '*.rs' -o -name Cargo.toml) \
	Cargo.toml Cargo.lock python/pyproject.toml $(shell find python/tiny_torch -name '*.py' -o -name '*.txt' -o -name '*.pyi' -o -name py.typed)
# An interpreter that has torch already: `make conformance TORCH_PYTHON=/path/to/python` installs nothing into it.
TORCH_PYTHON ?=
TORCH_VERSION := 2.15.0
OUT := $(TARGET)/train

.PHONY: train test test-cuda cuda-report cuda-report-operators conformance bench guard wheel release develop lint clean rust-test python-test
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,/^$$/{/^$$/!p;};/^  make/p' | awk '!seen[$$0]++'
.PHONY: help

# The environment, and the wheel in it.

$(VENV)/.tools:
	@test -n "$(PYTHON)" || { echo "Python 3.10 or later is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'maturin>=1.16,<2' 'numpy>=1.23' 'pytest>=8' tqdm
	@touch $@

$(WHEELS)/.built: $(SOURCES) | $(VENV)/.tools
	@rm -f $(WHEELS)/*.whl
	$(BIN)/maturin build --release --quiet --manifest-path python/Cargo.toml --out $(WHEELS)
	@ls -l $(WHEELS)/*.whl | awk '{printf "wheel %.1f MB %s\n", $$5 / 1e6, $$9}'
	@touch $@

$(VENV)/.installed: $(WHEELS)/.built
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl
	@touch $@

$(TARGET)/release/ttk: $(SOURCES)
	cargo build --release --quiet -p ttk-cli
	@touch $@

wheel: $(WHEELS)/.built

RELEASED := $(TARGET)/released

$(RELEASED)/.built: $(SOURCES) $(wildcard python/profile/*.sh) benchmarks/overheads.py | $(VENV)/.tools
	python/profile/wheel.sh $(VENV) $(TARGET)/profiled $(RELEASED)
	@ls -l $(RELEASED)/*.whl | awk '{printf "wheel %.1f MB %s\n", $$5 / 1e6, $$9}'
	@touch $@

release: $(RELEASED)/.built

develop: $(VENV)/.tools
	$(BIN)/maturin develop --manifest-path python/Cargo.toml
	@rm -f $(VENV)/.installed

# Training, and the trained network without Python.

train: $(VENV)/.installed $(TARGET)/release/ttk
	@mkdir -p $(OUT)
	$(BIN)/ttk run examples/mnist/main.py --out $(OUT)
	@echo "--- the written file, run by the native program: no Python"
	$(TARGET)/release/ttk run $(OUT)/mnist.ttk --input $(OUT)/test_images.npy --output $(OUT)/scores.npy
	$(BIN)/python examples/mnist/compare.py $(OUT)
	@echo "--- the graph as it was recorded"
	$(TARGET)/release/ttk inspect $(OUT)/mnist.ttk
	@echo "--- and after optimisation"
	$(TARGET)/release/ttk inspect $(OUT)/mnist.ttk --after rewrite

# Tests

test: rust-test python-test

# The runtime's kernels are chosen by the processor: those of lesser ones are tested too.
rust-test:
	cargo test --workspace --exclude ttk-python
	TTK_CPU=avx2 cargo test -p ttk-runtime
	TTK_CPU=baseline cargo test -p ttk-runtime

python-test: $(VENV)/.installed
	$(BIN)/python -m pytest python/tests

# Tests on a GPU. `GPU=real` uses the one of this machine; without it a stand-in for CUDA's driver and compiler is built
# with the C++ compiler (CXX, `c++` unless it is set) and the tests run on that.

STANDIN := $(abspath $(TARGET))/standin
ifeq ($(GPU),real)
ON_GPU :=
STANDIN_READY :=
else
ON_GPU := TTK_CUDA_LIBRARIES=$(STANDIN) STANDIN_CACHE=$(STANDIN)/modules STANDIN_DEVICES=2
STANDIN_READY := standin
endif

standin:
	$(MAKE) --silent --directory tests/standin OUT=$(STANDIN)
.PHONY: standin

test-cuda: $(STANDIN_READY) $(VENV)/.installed
	$(ON_GPU) $(BIN)/python -m pytest python/tests/cuda

# The training steps of both examples at full size as CUDA C, through NVRTC for three architectures. Needs no GPU.

REPORT := $(TARGET)/cuda-report
NVIDIA_PYTHON ?= .venv-nvidia/bin/python

.venv-nvidia/bin/python:
	$(PYTHON) -m venv .venv-nvidia
	$@ -m pip install --quiet --disable-pip-version-check nvidia-cuda-nvrtc nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm

cuda-report: $(VENV)/.installed $(NVIDIA_PYTHON)
	@rm -rf $(REPORT) && mkdir -p $(REPORT)
	TTK_CACHE_DIR= TTK_CUDA_SOURCES=$(REPORT) $(BIN)/ttk run examples/mnist/main.py --steps 3
	TTK_CACHE_DIR= TTK_CUDA_SOURCES=$(REPORT) $(BIN)/ttk run examples/transformer/main.py --steps 3 --generate 0
	$(NVIDIA_PYTHON) tests/cuda/resources.py $(REPORT) | tee $(TARGET)/cuda-report.txt
	$(BIN)/python benchmarks/cuda_compile.py \
		--libraries "$$($(NVIDIA_PYTHON) -c 'import nvidia, glob; print(glob.glob(nvidia.__path__[0] + "/cu1*/lib")[0])')" \
		| tee -a $(TARGET)/cuda-report.txt

# Comparisons with PyTorch; `CHECKED=release` compares the wheel as it is released.

CHECKED ?= wheel
CHECKED_WHEELS := $(if $(filter release,$(CHECKED)),$(RELEASED),$(WHEELS))
CHECKED_NAME := $(notdir $(CHECKED_WHEELS))

ifeq ($(TORCH_PYTHON),)
TORCH_RUN := .venv-torch/bin/python
TORCH_READY := .venv-torch/.installed-$(CHECKED_NAME)
else
TORCH_RUN := PYTHONPATH=$(abspath $(TARGET))/site-$(CHECKED_NAME) $(TORCH_PYTHON)
TORCH_READY := $(TARGET)/site-$(CHECKED_NAME)/.installed
endif

.venv-torch/.tools: | $(VENV)/.tools
	$(PYTHON) -m venv .venv-torch
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check torch==$(TORCH_VERSION) numpy 'pytest>=8' expecttest tqdm
	@touch $@

.venv-torch/.installed-$(CHECKED_NAME): $(CHECKED_WHEELS)/.built .venv-torch/.tools
	@rm -f .venv-torch/.installed-*
	.venv-torch/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(CHECKED_WHEELS)/*.whl
	@touch $@

# What wheel an interpreter of the user's own finds on its path.
$(TARGET)/site-%/.installed: $(TARGET)/%/.built
	@rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(@D) $(TARGET)/$*/*.whl
	@touch $@

conformance: $(TORCH_READY) $(STANDIN_READY)
	TTK_STANDIN=$(if $(STANDIN_READY),$(STANDIN)) $(TORCH_RUN) -m pytest python/tests/conformance

# The programs of PyTorch's operator database as CUDA C, through NVRTC: what does not compile, and what keeps something on the
# stack or lacks wide accesses. Half an hour and more for an architecture. Needs no GPU.

ARCH ?= sm_80 sm_90 sm_100

cuda-report-operators: $(TORCH_READY) $(NVIDIA_PYTHON)
	@rm -rf $(REPORT)-operators && mkdir -p $(REPORT)-operators
	TTK_CACHE_DIR= TTK_CUDA_SOURCES=$(abspath $(REPORT))-operators \
		$(TORCH_RUN) python/tests/conformance/opinfo.py --db ops --quiet --samples 2
	$(NVIDIA_PYTHON) tests/cuda/resources.py $(REPORT)-operators --arch $(ARCH) --strict --quiet | tee $(TARGET)/cuda-report-operators.txt

# Benchmarks of the wheel as it is released against all peers. Inductor, which is one, needs a C++ compiler. With TORCH_PYTHON
# that interpreter is used as it is, and a peer that it lacks is left out. `BENCH` are arguments of benchmarks/compare.py;
# `BENCH=--missing` goes on with a run that was cut.

BENCH ?=
ifeq ($(TORCH_PYTHON),)
BENCH_RUN := $(TARGET)/bench-venv/bin/python
BENCH_READY := $(TARGET)/bench-venv/.installed
else
BENCH_RUN := PYTHONPATH=$(abspath $(TARGET))/site-released $(TORCH_PYTHON)
BENCH_READY := $(TARGET)/site-released/.installed
endif

$(TARGET)/bench-venv/.tools: | $(VENV)/.tools
	$(PYTHON) -m venv $(TARGET)/bench-venv
	$(TARGET)/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==$(TORCH_VERSION) numpy setuptools jax onnxruntime onnx onnxscript
	@touch $@

$(TARGET)/bench-venv/.installed: $(RELEASED)/.built $(TARGET)/bench-venv/.tools
	$(TARGET)/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(RELEASED)/*.whl
	@touch $@

# A row without a ratio fails the comparison; what follows is wanted even so.
bench: $(BENCH_READY)
	$(BENCH_RUN) benchmarks/compare.py --all --write $(BENCH); compared=$$?; \
		$(BENCH_RUN) benchmarks/overheads.py && exit $$compared

# Without valgrind it says so, and that is no failure.
guard: $(VENV)/.installed
	$(BIN)/python benchmarks/instructions.py || test $$? = 2

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

clean:
	rm -rf $(VENV) .venv-torch .venv-nvidia $(TARGET)/bench-venv $(WHEELS) $(RELEASED) $(TARGET)/profiled $(TARGET)/site-* $(OUT)
