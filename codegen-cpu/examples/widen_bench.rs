//! Elements a nanosecond and compile time of a few elementwise kernels and row reductions, at every
//! vector width. `cargo run --release -p ttk-codegen-cpu --example widen_bench`
#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::Instant;
use ttk_codegen_cpu::{Compiler, CpuFeatures, Target, Width};
use ttk_ir::kernel::{AccId, Access, BufferParam, BufferRef, Inst, Kernel, LoopKind, Stmt, Val, VarId};
use ttk_ir::{Binary, DType, Expr, ReduceOp, Scalar};

const F: DType = DType::F32;

struct Body {
    stmts: Vec<Stmt>,
    vals: u32,
}

impl Body {
    fn new(first: u32) -> Body {
        Body { stmts: Vec::new(), vals: first }
    }
    fn inst(&mut self, dtype: DType, inst: Inst) -> Val {
        let dst = Val(self.vals);
        self.vals += 1;
        self.stmts.push(Stmt::Let { dst, dtype, inst });
        dst
    }
    fn load(&mut self, p: u32, index: &Expr) -> Val {
        self.inst(F, Inst::Load { buffer: BufferRef::Param(p), index: index.clone() })
    }
    fn store(&mut self, p: u32, index: &Expr, value: Val) {
        self.stmts.push(Stmt::Store { buffer: BufferRef::Param(p), index: index.clone(), value });
    }
    fn f(&mut self, v: f64) -> Val {
        self.inst(F, Inst::Const(Scalar::from_f64(F, v)))
    }
    fn i(&mut self, v: i64) -> Val {
        self.inst(DType::I32, Inst::Const(Scalar::from_i64(DType::I32, v)))
    }
    fn bin(&mut self, op: Binary, a: Val, b: Val) -> Val {
        self.inst(F, Inst::Binary(op, a, b))
    }
    fn fma(&mut self, a: Val, b: Val, c: Val) -> Val {
        self.inst(F, Inst::Fma(a, b, c))
    }
    fn exp(&mut self, x: Val) -> Val {
        let (hi, lo) = (self.f(88.7), self.f(-87.3));
        let x = self.bin(Binary::Min, x, hi);
        let x = self.bin(Binary::Max, x, lo);
        let l2e = self.f(std::f64::consts::LOG2_E);
        // Rounding to a whole number by adding and subtracting 1.5 * 2^23.
        let anchor = self.f(12582912.0);
        let shifted = self.fma(x, l2e, anchor);
        let n = self.bin(Binary::Sub, shifted, anchor);
        let (h, l) = (self.f(-0.693359375), self.f(2.12194440e-4));
        let r = self.fma(n, h, x);
        let r = self.fma(n, l, r);
        let mut p = self.f(1.9875691500e-4);
        for k in [1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1] {
            let c = self.f(k);
            p = self.fma(p, r, c);
        }
        let one = self.f(1.0);
        let r2 = self.bin(Binary::Mul, r, r);
        let r1 = self.bin(Binary::Add, r, one);
        let p = self.fma(p, r2, r1);
        let n = self.inst(DType::I32, Inst::Bitcast(shifted));
        let (bias, shift) = (self.i(127 - 0x4b40_0000), self.i(23));
        let e = self.inst(DType::I32, Inst::Binary(Binary::Add, n, bias));
        let e = self.inst(DType::I32, Inst::Binary(Binary::Shl, e, shift));
        let e = self.inst(F, Inst::Bitcast(e));
        self.bin(Binary::Mul, p, e)
    }
    fn tanh(&mut self, x: Val) -> Val {
        let x2 = self.bin(Binary::Add, x, x);
        let e = self.exp(x2);
        let (one, two) = (self.f(1.0), self.f(2.0));
        let d = self.bin(Binary::Add, e, one);
        let q = self.bin(Binary::Div, two, d);
        self.bin(Binary::Sub, one, q)
    }
}

fn kernel(name: &str) -> Kernel {
    let (rows, n) = (Expr::symbol(0), Expr::symbol(1));
    let len = rows.mul(&n);
    let at = Expr::var(0).mul(&n).add(&Expr::var(1));
    let params = ["x", "y", "z"]
        .into_iter()
        .zip([Access::Read, Access::Read, Access::Write])
        .map(|(name, access)| BufferParam { name: name.into(), dtype: F, len: len.clone(), access })
        .collect();
    let inner = |stmts: Vec<Stmt>, var: u32| Stmt::For {
        var: VarId(var),
        begin: Expr::constant(0),
        end: n.clone(),
        kind: LoopKind::Vector,
        body: stmts,
    };
    let mut body = Vec::new();
    let mut b = Body::new(0);
    match name {
        "copy" => {
            let v = b.load(0, &at);
            b.store(2, &at, v);
        }
        "chain" => {
            let (v, w, a, z) = (b.load(0, &at), b.load(1, &at), b.f(1.5), b.f(0.0));
            let t = b.fma(a, v, w);
            let t = b.bin(Binary::Max, t, z);
            let t = b.fma(t, v, w);
            b.store(2, &at, t);
        }
        "exp" => {
            let v = b.load(0, &at);
            let v = b.exp(v);
            b.store(2, &at, v);
        }
        "gelu" => {
            let v = b.load(0, &at);
            let x2 = b.bin(Binary::Mul, v, v);
            let (k1, k0) = (b.f(0.044715 * 0.7978845608), b.f(0.7978845608));
            let t = b.fma(x2, k1, k0);
            let t = b.bin(Binary::Mul, v, t);
            let th = b.tanh(t);
            let half = b.f(0.5);
            let h = b.bin(Binary::Mul, v, half);
            let v = b.fma(h, th, h);
            b.store(2, &at, v);
        }
        _ => {
            // softmax: maximum, sum of exponentials, quotient.
            let (m, s) = (AccId(0), AccId(1));
            body.push(Stmt::Acc { acc: m, dtype: F, init: ReduceOp::Max.identity(F) });
            let v = b.load(0, &at);
            b.stmts.push(Stmt::Accumulate { acc: m, op: ReduceOp::Max, value: v });
            body.push(inner(std::mem::take(&mut b.stmts), 1));
            body.push(Stmt::Let { dst: Val(90), dtype: F, inst: Inst::Read(m) });
            body.push(Stmt::Acc { acc: s, dtype: F, init: Scalar::zero(F) });
            let at = Expr::var(0).mul(&n).add(&Expr::var(2));
            let mut b = Body::new(100);
            let v = b.load(0, &at);
            let v = b.bin(Binary::Sub, v, Val(90));
            let v = b.exp(v);
            b.store(2, &at, v);
            b.stmts.push(Stmt::Accumulate { acc: s, op: ReduceOp::Sum, value: v });
            body.push(inner(std::mem::take(&mut b.stmts), 2));
            body.push(Stmt::Let { dst: Val(91), dtype: F, inst: Inst::Read(s) });
            let at = Expr::var(0).mul(&n).add(&Expr::var(3));
            let mut b = Body::new(200);
            let v = b.load(2, &at);
            let v = b.bin(Binary::Div, v, Val(91));
            b.store(2, &at, v);
            body.push(inner(std::mem::take(&mut b.stmts), 3));
        }
    }
    if !b.stmts.is_empty() {
        body.push(inner(b.stmts, 1));
    }
    let parallel =
        Stmt::For { var: VarId(0), begin: Expr::constant(0), end: rows, kind: LoopKind::Parallel, body };
    Kernel {
        name: name.into(),
        n_symbols: 2,
        params,
        locals: Vec::new(),
        aliases: Vec::new(),
        body: vec![parallel],
        locs: Vec::new(),
    }
}

type Entry = extern "C" fn(*const *mut u8, *const i64, i64, i64, *mut u8, *const u8, *mut u32);

/// Code in executable memory, for good.
fn load(code: &[u8]) -> Entry {
    // SAFETY: a fresh mapping, written before it is made executable; the code has this signature.
    unsafe {
        let at = libc::mmap(
            std::ptr::null_mut(),
            code.len(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        assert_ne!(at, libc::MAP_FAILED);
        std::ptr::copy_nonoverlapping(code.as_ptr(), at.cast(), code.len());
        libc::mprotect(at, code.len(), libc::PROT_READ | libc::PROT_EXEC);
        std::mem::transmute::<*mut libc::c_void, Entry>(at)
    }
}

#[repr(align(64))]
struct Aligned([u8; 256]);

fn main() {
    let features = CpuFeatures {
        avx2: is_x86_feature_detected!("avx2"),
        fma: is_x86_feature_detected!("fma"),
        f16c: is_x86_feature_detected!("f16c"),
        avx512: is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl"),
    };
    let Ok(host) = Target::host(features) else { return };
    println!("{:8} {:>5} {:>9} {:>7}  elements/ns at rows x columns", "kernel", "bits", "compile", "bytes");
    for name in ["copy", "chain", "exp", "gelu", "softmax"] {
        let kernel = kernel(name);
        for width in Width::ALL.into_iter().filter(|w| *w <= host.width) {
            let Ok(mut compiler) = Compiler::new(&host.at_most(width)) else { return };
            let mut fastest = f64::MAX;
            for _ in 0..30 {
                let t = Instant::now();
                assert!(compiler.compile(&kernel).is_ok());
                fastest = fastest.min(t.elapsed().as_secs_f64());
            }
            let Ok(compiled) = compiler.compile(&kernel) else { return };
            assert_eq!(compiled.declined, None);
            if std::env::args().any(|a| a == name) {
                println!("{}", compiled.disassembly());
            }
            let entry = load(&compiled.code);
            let mut table = Aligned([0; 256]);
            table.0[..compiled.constants.len()].copy_from_slice(&compiled.constants);
            print!("{name:8} {:5} {:6.0} us {:7}", width.bits(), fastest * 1e6, compiled.code.len());
            for (rows, columns) in [(1i64, 4096i64), (1, 1 << 16), (1, 1 << 19), (64, 768), (512, 10)] {
                let n = (rows * columns) as usize;
                let x: Vec<f32> = (0..n).map(|i| ((i % 1000) as f32) * 0.008 - 4.0).collect();
                let (mut y, mut z) = (x.clone(), vec![0f32; n]);
                let mut x = x;
                let buffers = [x.as_mut_ptr().cast::<u8>(), y.as_mut_ptr().cast(), z.as_mut_ptr().cast()];
                let symbols = [rows, columns];
                let mut errors = 0u32;
                let repeats = (200_000 / n).max(1);
                let (mut best, start) = (f64::MAX, Instant::now());
                while start.elapsed().as_secs_f64() < 0.1 {
                    let t = Instant::now();
                    for _ in 0..repeats {
                        entry(
                            buffers.as_ptr(),
                            symbols.as_ptr(),
                            0,
                            rows,
                            std::ptr::null_mut(),
                            table.0.as_ptr(),
                            &mut errors,
                        );
                    }
                    best = best.min(t.elapsed().as_secs_f64() / repeats as f64);
                }
                print!("  {rows}x{columns}: {:.2}", n as f64 / best / 1e9);
            }
            println!();
        }
    }
}
