//! Kernels by hand, in both forms: as kernel IR for the interpreter, and as functions for the executor.
#![allow(dead_code, reason = "each test uses its own part")]

use ttk_ir::eval::Tensor;
use ttk_ir::graph::Loc;
use ttk_ir::kernel::{Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId};
use ttk_ir::op::{Binary, Unary};
use ttk_ir::program::{Action, Buffer as ProgramBuffer, BufferId, Output, Placement, Program, Step};
use ttk_ir::{DType, Expr, Scalar, Type};
use ttk_runtime::code::Entry;
use ttk_runtime::{Buffer, CodeModule, Plan, RunError};

/// A small generator of numbers.
pub(crate) struct Lcg(pub(crate) u64);

impl Lcg {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Small numbers, exact in every type.
    pub(crate) fn tensor(&mut self, dtype: DType, dims: &[i64]) -> Tensor {
        let mut t = Tensor::zeros(dtype, dims);
        for i in 0..t.len() {
            let v = self.below(17) as f64 - 8.0;
            t.set(i, Scalar::from_f64(dtype, if dtype.is_float() { v / 8.0 } else { v.abs() }));
        }
        t
    }
}

fn c(v: i64) -> Expr {
    Expr::constant(v)
}

fn s(i: u32) -> Expr {
    Expr::symbol(i)
}

fn v(i: u32) -> Expr {
    Expr::var(i)
}

fn param(name: &str, dtype: DType, len: Expr, access: Access) -> BufferParam {
    BufferParam { name: name.into(), dtype, len, access }
}

fn load(dst: u32, dtype: DType, buffer: u32, index: Expr) -> Stmt {
    Stmt::Let { dst: Val(dst), dtype, inst: Inst::Load { buffer: BufferRef::Param(buffer), index } }
}

fn store(buffer: u32, index: Expr, value: u32) -> Stmt {
    Stmt::Store { buffer: BufferRef::Param(buffer), index, value: Val(value) }
}

fn binary(dst: u32, op: Binary, a: u32, b: u32) -> Stmt {
    Stmt::Let { dst: Val(dst), dtype: DType::F32, inst: Inst::Binary(op, Val(a), Val(b)) }
}

fn constant(dst: u32, value: f64) -> Stmt {
    Stmt::Let { dst: Val(dst), dtype: DType::F32, inst: Inst::Const(Scalar::from_f64(DType::F32, value)) }
}

fn each(var: u32, end: Expr, kind: LoopKind, body: Vec<Stmt>) -> Stmt {
    Stmt::For { var: VarId(var), begin: c(0), end, kind, body }
}

fn kernel(name: &str, n_symbols: u32, params: Vec<BufferParam>, locals: Vec<Local>, body: Stmt) -> Kernel {
    Kernel {
        name: name.into(),
        n_symbols,
        params,
        locals,
        aliases: Vec::new(),
        body: vec![body],
        locs: vec![],
    }
}

/// `out[i] = 2 a[i] + b[i]`, `i < s0`.
pub(crate) fn axpy() -> (Kernel, Entry) {
    extern "C" fn run(
        b: *const *mut u8,
        _: *const i64,
        begin: i64,
        end: i64,
        _: *mut u8,
        _: *const u8,
        _: *mut u32,
    ) {
        // SAFETY: what the kernel's parameters say.
        unsafe {
            let (x, y, out) = ((*b).cast::<f32>(), (*b.add(1)).cast::<f32>(), (*b.add(2)).cast::<f32>());
            for i in begin as usize..end as usize {
                *out.add(i) = 2.0 * *x.add(i) + *y.add(i);
            }
        }
    }
    let params = vec![
        param("a", DType::F32, s(0), Access::Read),
        param("b", DType::F32, s(0), Access::Read),
        param("out", DType::F32, s(0), Access::Write),
    ];
    let body = vec![
        load(0, DType::F32, 0, v(0)),
        constant(1, 2.0),
        binary(2, Binary::Mul, 0, 1),
        load(3, DType::F32, 1, v(0)),
        binary(4, Binary::Add, 2, 3),
        store(2, v(0), 4),
    ];
    let mut k = kernel("axpy", 1, params, vec![], each(0, s(0), LoopKind::Parallel, body));
    k.aliases = vec![(0, 2), (1, 2)];
    (k, run)
}

/// `out[i] = data[index[i]]`, `i < s1`, data of `s0` elements.
pub(crate) fn gather() -> (Kernel, Entry) {
    extern "C" fn run(
        b: *const *mut u8,
        symbols: *const i64,
        begin: i64,
        end: i64,
        _: *mut u8,
        _: *const u8,
        errors: *mut u32,
    ) {
        // SAFETY: what the kernel's parameters say.
        unsafe {
            let (x, index, out) = ((*b).cast::<f32>(), (*b.add(1)).cast::<i64>(), (*b.add(2)).cast::<f32>());
            for i in begin as usize..end as usize {
                let mut at = *index.add(i);
                if at < 0 || at >= *symbols {
                    *errors = 1;
                    at = 0;
                }
                *out.add(i) = *x.add(at as usize);
            }
        }
    }
    let params = vec![
        param("data", DType::F32, s(0), Access::Read),
        param("index", DType::I64, s(1), Access::Read),
        param("out", DType::F32, s(1), Access::Write),
    ];
    let body = vec![
        load(0, DType::I64, 1, v(0)),
        Stmt::Let {
            dst: Val(1),
            dtype: DType::I64,
            inst: Inst::CheckedIndex { value: Val(0), extent: s(0) },
        },
        load(2, DType::F32, 0, Expr::value(1)),
        store(2, v(0), 2),
    ];
    (kernel("gather", 2, params, vec![], each(0, s(1), LoopKind::Parallel, body)), run)
}

/// Item `i` of `s2`: the `s0 x s1` matrix stored as its transpose in `x`; written through a local row.
pub(crate) fn pack() -> (Kernel, Entry) {
    extern "C" fn run(
        b: *const *mut u8,
        symbols: *const i64,
        begin: i64,
        end: i64,
        scratch: *mut u8,
        _: *const u8,
        _: *mut u32,
    ) {
        // SAFETY: what the kernel's parameters say.
        unsafe {
            let (to, x, row) = ((*b).cast::<f32>(), (*b.add(1)).cast::<f32>(), scratch.cast::<f32>());
            let (rows, cols) = (*symbols as usize, *symbols.add(1) as usize);
            assert_eq!(begin + 1, end);
            for i in 0..rows {
                for j in 0..cols {
                    *row.add(j) = *x.add(begin as usize * rows * cols + j * rows + i);
                }
                for j in 0..cols {
                    *to.add(i * cols + j) = *row.add(j);
                }
            }
        }
    }
    let size = s(0).mul(&s(1));
    let params = vec![
        param("to", DType::F32, size.clone(), Access::Write),
        param("x", DType::F32, size.mul(&s(2)), Access::Read),
    ];
    let from = v(0).mul(&size).add(&v(2).mul(&s(0))).add(&v(1));
    let local = BufferRef::Local(0);
    let body = each(
        1,
        s(0),
        LoopKind::Serial,
        vec![
            each(
                2,
                s(1),
                LoopKind::Serial,
                vec![load(0, DType::F32, 1, from), Stmt::Store { buffer: local, index: v(2), value: Val(0) }],
            ),
            each(
                3,
                s(1),
                LoopKind::Serial,
                vec![
                    Stmt::Let {
                        dst: Val(1),
                        dtype: DType::F32,
                        inst: Inst::Load { buffer: local, index: v(3) },
                    },
                    store(0, v(1).mul(&s(1)).add(&v(3)), 1),
                ],
            ),
        ],
    );
    let locals = vec![Local { name: "row".into(), dtype: DType::F32, len: s(1) }];
    (kernel("pack", 3, params, locals, each(0, s(2), LoopKind::Parallel, vec![body])), run)
}

/// Row `i` of `s0`, each of `s1`: `c = |c + bias|`.
pub(crate) fn bias_rows() -> (Kernel, Entry) {
    extern "C" fn run(
        b: *const *mut u8,
        symbols: *const i64,
        begin: i64,
        end: i64,
        _: *mut u8,
        _: *const u8,
        _: *mut u32,
    ) {
        // SAFETY: what the kernel's parameters say.
        unsafe {
            let (x, bias, n) = ((*b).cast::<f32>(), (*b.add(1)).cast::<f32>(), *symbols.add(1) as usize);
            for i in begin as usize..end as usize {
                for j in 0..n {
                    let at = x.add(i * n + j);
                    *at = (*at + *bias.add(j)).abs();
                }
            }
        }
    }
    let at = v(0).mul(&s(1)).add(&v(1));
    let params = vec![
        param("c", DType::F32, s(0).mul(&s(1)), Access::Write),
        param("bias", DType::F32, s(1), Access::Read),
    ];
    let body = each(
        1,
        s(1),
        LoopKind::Serial,
        vec![
            load(0, DType::F32, 0, at.clone()),
            load(1, DType::F32, 1, v(1)),
            binary(2, Binary::Add, 0, 1),
            Stmt::Let { dst: Val(3), dtype: DType::F32, inst: Inst::Unary(Unary::Abs, Val(2)) },
            store(0, at, 3),
        ],
    );
    (kernel("bias_rows", 2, params, vec![], each(0, s(0), LoopKind::Parallel, vec![body])), run)
}

/// Item `i` of `s0`, each of `s1` elements: `c = c * scale[i]`.
pub(crate) fn scale_items() -> (Kernel, Entry) {
    extern "C" fn run(
        b: *const *mut u8,
        symbols: *const i64,
        begin: i64,
        end: i64,
        _: *mut u8,
        _: *const u8,
        _: *mut u32,
    ) {
        // SAFETY: what the kernel's parameters say.
        unsafe {
            let (x, scale, n) = ((*b).cast::<f32>(), (*b.add(1)).cast::<f32>(), *symbols.add(1) as usize);
            for i in begin as usize..end as usize {
                for j in 0..n {
                    *x.add(i * n + j) *= *scale.add(i);
                }
            }
        }
    }
    let at = v(0).mul(&s(1)).add(&v(1));
    let params = vec![
        param("c", DType::F32, s(0).mul(&s(1)), Access::Write),
        param("scale", DType::F32, s(0), Access::Read),
    ];
    let body = each(
        1,
        s(1),
        LoopKind::Serial,
        vec![
            load(0, DType::F32, 0, at.clone()),
            load(1, DType::F32, 1, v(0)),
            binary(2, Binary::Mul, 0, 1),
            store(0, at, 2),
        ],
    );
    (kernel("scale_items", 2, params, vec![], each(0, s(0), LoopKind::Parallel, vec![body])), run)
}

/// A program under construction.
pub(crate) struct Make {
    pub(crate) program: Program,
    pub(crate) entries: Vec<(Entry, &'static [u8])>,
}

impl Make {
    pub(crate) fn new(symbols: usize) -> Make {
        Make {
            program: Program {
                name: "test".into(),
                symbols: (0..symbols).map(|i| ttk_ir::graph::Symbol { name: format!("s{i}") }).collect(),
                inputs: vec![],
                outputs: vec![],
                buffers: vec![],
                arena: c(0),
                kernels: vec![],
                steps: vec![],
            },
            entries: vec![],
        }
    }

    pub(crate) fn input(&mut self, ty: Type) -> BufferId {
        let (dtype, len) = (ty.dtype, ty.numel().expr());
        self.program.inputs.push(ty);
        self.buffer(dtype, len, Placement::Input(self.program.inputs.len() as u32 - 1))
    }

    pub(crate) fn output(&mut self, ty: Type) -> BufferId {
        let buffer = self.buffer(ty.dtype, ty.numel().expr(), Placement::Output);
        self.program.outputs.push(Output { ty, buffer });
        buffer
    }

    pub(crate) fn temporary(&mut self, dtype: DType, len: i64) -> BufferId {
        let offset = self.program.arena.clone();
        let bytes = (len as usize * dtype.size()).next_multiple_of(64) as i64;
        self.program.arena = offset.offset(bytes);
        self.buffer(dtype, c(len), Placement::Arena { offset })
    }

    pub(crate) fn buffer(&mut self, dtype: DType, len: Expr, placement: Placement) -> BufferId {
        self.program.buffers.push(ProgramBuffer { dtype, len, placement });
        BufferId(self.program.buffers.len() as u32 - 1)
    }

    pub(crate) fn kernel(&mut self, (kernel, entry): (Kernel, Entry)) -> u32 {
        self.program.kernels.push(kernel);
        self.entries.push((entry, &[]));
        self.program.kernels.len() as u32 - 1
    }

    pub(crate) fn step(&mut self, action: Action) {
        let loc = Loc { file: "model.py".into(), line: 10 + self.program.steps.len() as u32 };
        self.program.steps.push(Step { action, loc });
    }

    pub(crate) fn launch(&mut self, kernel: u32, buffers: &[BufferId], symbols: &[Expr], work: i64) {
        self.step(Action::Launch {
            kernel,
            buffers: buffers.to_vec(),
            symbols: symbols.to_vec(),
            work: c(work),
        });
    }

    pub(crate) fn plan(&self) -> Result<Plan, RunError> {
        // SAFETY: the functions do what the kernels beside them say.
        unsafe { Plan::new(self.program.clone(), CodeModule::of_functions(&self.entries)) }
    }
}

pub(crate) fn buffer(t: &Tensor) -> Buffer {
    Buffer::from_slice(&t.data).unwrap()
}

pub(crate) fn buffers(tensors: &[Tensor]) -> Vec<Buffer> {
    tensors.iter().map(buffer).collect()
}
