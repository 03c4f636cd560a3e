//! `cargo bench -p ttk-runtime`: rates of matrix products, and what a parallel region and a run cost.
#![allow(clippy::print_stdout, reason = "it is a benchmark")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Make, axpy};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use ttk_ir::program::{Action, Gemm, Matrix, Operand};
use ttk_ir::{DType, Expr, Type};
use ttk_runtime::{Buffer, memory, threads};

fn c(v: i64) -> Expr {
    Expr::constant(v)
}

/// The least time of a call, in seconds, over about `budget` seconds.
fn best(budget: f64, f: impl FnMut()) -> f64 {
    let start = Instant::now();
    best_by(budget, f, || start.elapsed().as_secs_f64())
}

/// Likewise in processor time of this thread, which other programs do not add to.
fn best_alone(budget: f64, f: impl FnMut()) -> f64 {
    best_by(budget, f, || {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: fills in the time.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
        t.tv_sec as f64 + t.tv_nsec as f64 * 1e-9
    })
}

fn best_by(budget: f64, mut f: impl FnMut(), now: impl Fn() -> f64) -> f64 {
    f();
    let (start, mut best) = (now(), f64::INFINITY);
    while now() - start < budget {
        let t = now();
        f();
        best = best.min(now() - t);
    }
    best
}

fn gemm(m: i64, n: i64, k: i64, batch: i64, trans: [bool; 2]) {
    let mut make = Make::new(0);
    let (a, b) = (
        make.input(Type::fixed(DType::F32, &[batch * m * k])),
        make.input(Type::fixed(DType::F32, &[batch * k * n])),
    );
    let out = make.output(Type::fixed(DType::F32, &[batch * m * n]));
    let matrix = |buffer, rows: i64, cols: i64, t: bool| Matrix {
        buffer,
        offset: c(0),
        batch_strides: vec![c(rows * cols)],
        row_stride: c(if t { 1 } else { cols }),
        col_stride: c(if t { rows } else { 1 }),
    };
    make.step(Action::Gemm(Box::new(Gemm {
        dtype: DType::F32,
        m: c(m),
        n: c(n),
        k: c(k),
        batch: vec![c(batch)],
        reduce: vec![],
        a: Operand::Strided(matrix(a, m, k, trans[0])),
        b: Operand::Strided(matrix(b, k, n, trans[1])),
        c: matrix(out, m, n, false),
        epilogue: None,
    })));
    let plan = make.plan().unwrap();
    let ones = |len: i64| Buffer::from_slice(&vec![1.0f32; len as usize]).unwrap();
    let inputs = [ones(batch * m * k), ones(batch * k * n)];
    let flops = 2.0 * (m * n * k * batch) as f64;
    let mut line = format!("{batch:>4} x {m:>5} {n:>5} {k:>5} {:?}", trans.map(u8::from));
    for n in [1, 2] {
        threads::set_num_threads(n);
        let run = || drop(plan.run(inputs.to_vec(), &[]).unwrap());
        let t = if n == 1 { best_alone(0.15, run) } else { best(0.15, run) };
        line += &format!("   {n}: {:8.1} us {:6.1} GFLOP/s", t * 1e6, flops / t / 1e9);
    }
    println!("{line}");
}

fn main() {
    println!("product");
    for (m, n, k, batch) in [
        (8, 8, 8, 1),
        (32, 32, 32, 1),
        (64, 64, 64, 1),
        (64, 256, 784, 1),
        (64, 128, 256, 1),
        (64, 10, 128, 1),
        (256, 784, 64, 1),
        (128, 128, 128, 1),
        (256, 256, 256, 1),
        (512, 512, 512, 1),
        (1024, 1024, 1024, 1),
        (512, 512, 256, 1),
        (256, 1024, 64, 1),
        (1536, 384, 384, 1),
        (1536, 1536, 384, 1),
        (384, 1536, 1536, 1),
        (256, 256, 64, 36),
        (256, 64, 256, 36),
        (1, 4096, 4096, 1),
        (64, 576, 288, 64),
        (16, 64, 4096, 1),
    ] {
        for trans in [[false, false], [false, true], [true, false]] {
            gemm(m, n, k, batch, trans);
        }
    }

    println!("region of 2 chunks on 2 threads, in microseconds");
    threads::set_num_threads(2);
    let n = AtomicU32::new(0);
    let empty = best(0.2, || {
        threads::parallel(2, &|_, _| {
            n.fetch_add(1, Ordering::Relaxed);
        });
    });
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let rayon = best(0.2, || {
        pool.install(|| {
            rayon::join(|| n.fetch_add(1, Ordering::Relaxed), || n.fetch_add(1, Ordering::Relaxed));
        });
    });
    println!("  ours {:.2}   rayon {:.2}", empty * 1e6, rayon * 1e6);
    let spin = |us: u128| {
        let t = Instant::now();
        while t.elapsed().as_micros() < us {
            std::hint::spin_loop();
        }
    };
    for us in [10, 20, 50, 100] {
        // As in a program: regions with a little serial work between them.
        let regions = |f: &dyn Fn()| {
            let t = Instant::now();
            for _ in 0..200 {
                f();
                spin(5);
            }
            t.elapsed().as_secs_f64() / 200.0 * 1e6 - 5.0
        };
        let ours = regions(&|| threads::parallel(4, &|_, _| spin(us / 2)));
        let theirs = regions(&|| {
            pool.install(|| {
                use rayon::prelude::*;
                (0..4).into_par_iter().for_each(|_| spin(us / 2));
            });
        });
        println!("  4 chunks of {} us: ours {ours:.1}   rayon {theirs:.1}", us / 2);
    }

    println!("a run of 100 launches of 64 elements");
    let mut make = Make::new(0);
    let ty = Type::fixed(DType::F32, &[64]);
    let (a, b) = (make.input(ty.clone()), make.input(ty.clone()));
    let t = make.temporary(DType::F32, 64);
    let out = make.output(ty);
    let k = make.kernel(axpy());
    for _ in 0..99 {
        make.launch(k, &[a, b, t], &[c(64)], 1);
    }
    make.launch(k, &[a, t, out], &[c(64)], 1);
    let plan = make.plan().unwrap();
    let inputs = [Buffer::zeroed(256).unwrap(), Buffer::zeroed(256).unwrap()];
    let time = best(0.2, || drop(plan.run(inputs.to_vec(), &[]).unwrap()));
    let before = memory::stats().system_allocations;
    let _ = plan.run(inputs.to_vec(), &[]).unwrap();
    println!("  {:.2} us, {} allocations", time * 1e6, memory::stats().system_allocations - before);
}
