//! Every width against the interpreter, bit for bit (a NaN equals any NaN).

mod elementwise;
mod generated;
mod loops;
mod shapes;

use crate::testing::Executable;
use crate::{CodegenError, CompiledKernel, Compiler, CpuFeatures, Target, Width};
use std::cell::RefCell;
use ttk_ir::eval::read_scalar;
use ttk_ir::kernel::eval::{Arg, eval};
use ttk_ir::kernel::{
    AccId, Access, BufferParam, BufferRef, Inst, Kernel, Local, LoopKind, Stmt, Val, VarId,
};
use ttk_ir::testing::Rng;
use ttk_ir::{DType, Expr, ReduceOp, Scalar};

/// Writes kernels for tests.
#[derive(Default)]
pub(crate) struct Builder {
    params: Vec<BufferParam>,
    locals: Vec<Local>,
    aliases: Vec<(u32, u32)>,
    scopes: Vec<Vec<Stmt>>,
    vals: u32,
    vars: u32,
    accs: u32,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { scopes: vec![Vec::new()], ..Builder::default() }
    }
    pub(crate) fn param(&mut self, dtype: DType, len: impl Into<Expr>, access: Access) -> BufferRef {
        let name = format!("p{}", self.params.len());
        self.params.push(BufferParam { name, dtype, len: len.into(), access });
        BufferRef::Param(self.params.len() as u32 - 1)
    }
    pub(crate) fn input(&mut self, dtype: DType, len: impl Into<Expr>) -> BufferRef {
        self.param(dtype, len, Access::Read)
    }
    pub(crate) fn output(&mut self, dtype: DType, len: impl Into<Expr>) -> BufferRef {
        self.param(dtype, len, Access::Write)
    }
    pub(crate) fn local(&mut self, dtype: DType, len: impl Into<Expr>) -> BufferRef {
        self.locals.push(Local { name: format!("l{}", self.locals.len()), dtype, len: len.into() });
        BufferRef::Local(self.locals.len() as u32 - 1)
    }
    pub(crate) fn push(&mut self, s: Stmt) {
        self.scopes.last_mut().unwrap().push(s);
    }
    pub(crate) fn inst(&mut self, dtype: DType, inst: Inst) -> Val {
        self.vals += 1;
        let dst = Val(self.vals - 1);
        self.push(Stmt::Let { dst, dtype, inst });
        dst
    }
    pub(crate) fn load(&mut self, buffer: BufferRef, index: &Expr) -> Val {
        let dtype = match buffer {
            BufferRef::Param(p) => self.params[p as usize].dtype,
            BufferRef::Local(l) => self.locals[l as usize].dtype,
        };
        self.inst(dtype, Inst::Load { buffer, index: index.clone() })
    }
    pub(crate) fn constant(&mut self, s: Scalar) -> Val {
        self.inst(s.dtype, Inst::Const(s))
    }
    pub(crate) fn store(&mut self, buffer: BufferRef, index: &Expr, value: Val) {
        self.push(Stmt::Store { buffer, index: index.clone(), value });
    }
    pub(crate) fn acc(&mut self, dtype: DType, init: Scalar) -> AccId {
        self.accs += 1;
        let acc = AccId(self.accs - 1);
        self.push(Stmt::Acc { acc, dtype, init });
        acc
    }
    pub(crate) fn accumulate(&mut self, acc: AccId, op: ReduceOp, value: Val) {
        self.push(Stmt::Accumulate { acc, op, value });
    }
    pub(crate) fn for_loop(
        &mut self,
        kind: LoopKind,
        begin: impl Into<Expr>,
        end: impl Into<Expr>,
        body: impl FnOnce(&mut Builder, Expr),
    ) {
        let var = VarId(self.vars);
        self.vars += 1;
        self.scopes.push(Vec::new());
        body(self, Expr::var(var.0));
        let inner = self.scopes.pop().unwrap();
        self.push(Stmt::For { var, begin: begin.into(), end: end.into(), kind, body: inner });
    }
    pub(crate) fn when(&mut self, cond: Val, body: impl FnOnce(&mut Builder)) {
        self.scopes.push(Vec::new());
        body(self);
        let inner = self.scopes.pop().unwrap();
        self.push(Stmt::If { cond, body: inner });
    }
    /// The kernel, compiled at every width.
    pub(crate) fn subject(self, n_symbols: u32) -> Subject {
        let subject = Subject::new(self.finish(n_symbols));
        for (width, compiled) in &subject.compiled {
            assert_eq!(compiled.declined, None, "{width:?}");
        }
        subject
    }
    pub(crate) fn finish(mut self, n_symbols: u32) -> Kernel {
        Kernel {
            name: "test".into(),
            n_symbols,
            params: self.params,
            locals: self.locals,
            aliases: self.aliases,
            body: self.scopes.pop().unwrap(),
            locs: Vec::new(),
        }
    }
}

/// A kernel and its code at every width.
pub(crate) struct Subject {
    kernel: Kernel,
    compiled: Vec<(Width, CompiledKernel)>,
}

impl Subject {
    pub(crate) fn new(kernel: Kernel) -> Subject {
        thread_local! {
            static COMPILERS: RefCell<Vec<Compiler>> = RefCell::new(compilers());
        }
        let compile = |c: &mut Compiler| {
            let width = c.target().width;
            c.keep_clif(true);
            let compiled = c.compile(&kernel).unwrap_or_else(|e| panic!("{width:?}: {e}\n{kernel:#?}"));
            (width, compiled)
        };
        let compiled = COMPILERS.with_borrow_mut(|cs| cs.iter_mut().map(compile).collect());
        Subject { kernel, compiled }
    }
}

fn features() -> CpuFeatures {
    CpuFeatures {
        avx2: is_x86_feature_detected!("avx2"),
        fma: is_x86_feature_detected!("fma"),
        f16c: is_x86_feature_detected!("f16c"),
        avx512: ["avx512f", "avx512bw", "avx512dq", "avx512vl"].len() == 4
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl"),
    }
}

/// One compiler for each width this machine has.
pub(crate) fn compilers() -> Vec<Compiler> {
    let host = Target::host(features()).unwrap();
    Width::ALL
        .into_iter()
        .filter(|w| *w <= host.width)
        .map(|w| Compiler::new(&host.at_most(w)).unwrap())
        .collect()
}

/// Random elements with the awkward ones among them.
pub(crate) fn fill(rng: &mut Rng, dtype: DType, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len * dtype.size());
    for _ in 0..len {
        let special = rng.one_in(3);
        let v: Scalar = match dtype {
            DType::Bool => Scalar::from_i64(dtype, rng.below(2) as i64),
            DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
                let (low, high) = dtype.int_range().unwrap();
                if special {
                    Scalar::from_i64(dtype, *rng.choose(&[0, 1, -1, low, high, 2, 7, 31, 33, 64, low + 1]))
                } else if rng.one_in(2) {
                    Scalar::from_i64(dtype, rng.between(-20, 20))
                } else {
                    Scalar::from_i64(dtype, rng.next_u64() as i64)
                }
            }
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
                let inf = f64::INFINITY;
                let specials = [
                    0.0,
                    -0.0,
                    1.0,
                    -1.0,
                    f64::NAN,
                    inf,
                    -inf,
                    1e-40,
                    -1e-45,
                    6e-8,
                    5e-324,
                    65504.0,
                    65520.0,
                    3.4e38,
                    0.5,
                    1.5,
                    2.5,
                    -0.5,
                    2147483647.0,
                    -2147483648.0,
                    4e9,
                    9.3e18,
                    -9.3e18,
                    255.4,
                    -128.6,
                    1e300,
                    6.1e-5,
                    5.97e-8,
                    2.98e-8,
                ];
                if special {
                    Scalar::from_f64(dtype, *rng.choose(&specials))
                } else {
                    let scale = *rng.choose(&[1.0, 10.0, 1000.0, 1e-3, 1e6]);
                    Scalar::from_f64(dtype, (rng.unit() - 0.5) * scale)
                }
            }
        };
        out.extend_from_slice(&v.bits.to_le_bytes()[..dtype.size()]);
    }
    out
}

fn run(compiled: &CompiledKernel, kernel: &Kernel, memory: &mut [Vec<u8>], symbols: &[i64]) -> u32 {
    let exe = Executable::new(&compiled.code);
    let scratch: usize = kernel
        .locals
        .iter()
        .map(|l| (l.len.eval_symbols(symbols) as usize * l.dtype.size()).next_multiple_of(64))
        .sum();
    let mut scratch = vec![0xffu8; scratch + 64];
    let constants = aligned(&compiled.constants);
    let buffers: Vec<*mut u8> = memory.iter_mut().map(Vec::as_mut_ptr).collect();
    let mut errors = 0u32;
    let (begin, end) = match kernel.parallel_loop() {
        Some((_, begin, end, _)) => (begin.eval_symbols(symbols), end.eval_symbols(symbols)),
        None => (0, 1),
    };
    type Entry = extern "C" fn(*const *mut u8, *const i64, i64, i64, *mut u8, *const u8, *mut u32);
    // SAFETY: code of a kernel, called as documented with memory of the sizes it declares.
    let entry: Entry = unsafe { std::mem::transmute(exe.entry()) };
    // Two slices of the parallel loop, as two threads would.
    let middle = begin + (end - begin) / 2;
    for (from, to) in
        if kernel.parallel_loop().is_some() { vec![(begin, middle), (middle, end)] } else { vec![(0, 1)] }
    {
        entry(buffers.as_ptr(), symbols.as_ptr(), from, to, scratch.as_mut_ptr(), constants.1, &mut errors);
    }
    errors
}

/// A copy at a multiple of 64.
fn aligned(bytes: &[u8]) -> (Vec<u8>, *const u8) {
    let mut copy = vec![0u8; bytes.len() + 64];
    let shift = copy.as_ptr().align_offset(64);
    copy[shift..shift + bytes.len()].copy_from_slice(bytes);
    let at = copy[shift..].as_ptr();
    (copy, at)
}

/// Guard bytes behind every buffer: what is written past its end is noticed.
const GUARD: usize = 80;

/// Runs the kernel at every width and in the interpreter on random memory.
pub(crate) fn check(kernel: &Subject, symbols: &[i64], seed: u64) {
    check_filled(kernel, symbols, seed, |_, _| {});
}

pub(crate) fn check_filled(
    subject: &Subject,
    symbols: &[i64],
    seed: u64,
    adjust: impl Fn(usize, &mut Vec<u8>),
) {
    let kernel = &subject.kernel;
    let mut rng = Rng::new(seed);
    let mut memory: Vec<Vec<u8>> = Vec::new();
    let mut args = Vec::new();
    for (block, p) in kernel.params.iter().enumerate() {
        let len = p.len.eval_symbols(symbols) as usize;
        let mut bytes = fill(&mut rng, p.dtype, len);
        adjust(block, &mut bytes);
        bytes.extend([0xa5; GUARD]);
        memory.push(bytes);
        args.push(Arg { block, offset: 0, len });
    }
    let mut want = memory.clone();
    let index_error = eval(kernel, &mut want, &args, symbols, None).unwrap();
    for (width, compiled) in &subject.compiled {
        let mut got = memory.clone();
        let errors = run(compiled, kernel, &mut got, symbols);
        assert_eq!(errors != 0, index_error.is_some(), "{width:?}: index error");
        for (k, p) in kernel.params.iter().enumerate() {
            let size = p.dtype.size();
            let len = args[k].len;
            for i in 0..len {
                let (w, g) =
                    (read_scalar(p.dtype, &want[k][i * size..]), read_scalar(p.dtype, &got[k][i * size..]));
                if !same(w, g) {
                    let clif = compiled.clif.clone().unwrap_or_default();
                    if std::env::var_os("TTK_TEST_LISTING").is_some() {
                        eprintln!("{clif}\n{}", compiled.disassembly());
                    }
                    panic!(
                        "{width:?}: element {i} of {} is {:?} = {}, expected {:?} = {} (symbols {symbols:?}, seed {seed})\n{:#?}",
                        p.name,
                        g,
                        g.as_f64(),
                        w,
                        w.as_f64(),
                        kernel.body,
                    );
                }
            }
            assert_eq!(got[k][len * size..], [0xa5; GUARD], "{width:?}: wrote past the end of {}", p.name);
        }
    }
}

fn same(a: Scalar, b: Scalar) -> bool {
    if a.dtype.is_float() {
        // The sign of the larger of +0 and -0 is nobody's promise.
        a.bits == b.bits
            || a.as_f64().is_nan() && b.as_f64().is_nan()
            || a.as_f64() == 0.0 && b.as_f64() == 0.0
    } else {
        a.bits == b.bits
    }
}

#[test]
fn an_operation_that_was_not_expanded_is_an_error() {
    let mut b = Builder::new();
    let (x, y) = (b.input(DType::F32, 8), b.output(DType::F32, 8));
    b.for_loop(LoopKind::Vector, 0, 8, |b, i| {
        let v = b.load(x, &i);
        let v = b.inst(DType::F32, Inst::Unary(ttk_ir::Unary::Exp, v));
        b.store(y, &i, v);
    });
    let kernel = b.finish(0);
    for compiler in &mut compilers() {
        assert!(matches!(compiler.compile(&kernel), Err(CodegenError::NotExpanded { op: "exp", .. })));
    }
}

#[test]
fn a_processor_without_avx2_is_an_error() {
    assert!(matches!(
        Target::new("x86_64-unknown-linux-gnu".parse().unwrap(), CpuFeatures::default()),
        Err(CodegenError::UnsupportedTarget { .. })
    ));
}
