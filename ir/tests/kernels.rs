//! Kernels as text, and what the verifier makes of them.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ttk_ir::Expr;
use ttk_ir::kernel::eval::eval_on_tensors;
use ttk_ir::kernel::text::{parse, print};
use ttk_ir::kernel::verify::{Fault, verify};
use ttk_ir::kernel::{BufferRef, Inst, Stmt};
use ttk_ir::testing::{KernelOptions, Rng, Values, kernel_arguments, random_kernel};

fn body(statements: &str) -> String {
    format!(
        "kernel @k[n, m](%x: f32[n*m], %idx: i64[n], %out: mut f32[n*m], %sum: mut f32[n]) {{\n{statements}\n}}"
    )
}

#[track_caller]
fn check(statements: &str, want: &str) {
    let kernel = parse(&body(statements)).unwrap_or_else(|e| panic!("{e}\n{statements}"));
    let got = verify(&kernel).map_or_else(|e| e.fault.to_string(), |()| "fine".into());
    assert_eq!(got, want, "{statements}");
    assert_eq!(parse(&print(&kernel)).as_ref(), Ok(&kernel), "{kernel}");
}

#[test]
fn a_listing() {
    let text = r#"kernel @rowsum[s0](%a: f32[64*s0], %b: f32[s0], %out: mut f32[s0]) alias(%b = %out) {
  local %tmp: f32[64]
  from "model.py":12, "a \"b\".py":3
  for %i0 in 0..s0 parallel {
    acc %acc0: f32 = 0.0
    for %i1 in 0..64 vector {
      %0: f32 = load %a[64*%i0 + %i1]
      %1: f32 = const -inf
      %2: f32 = max %0, %1
      accumulate sum %acc0, %2
      store %tmp[%i1], %2
    }
    %3: f32 = read %acc0
    %4: i64 = index floordiv(%i0, 2) - 1
    %5: i64 = checked_index %4, s0
    %6: f32 = load %b[%5]
    %7: bool = cmp lt %3, %6
    if %7 {
      update add %out[%i0], %6
    }
    %8: f32 = fma %3, %6, %6
    %9: f32 = select %7, %8, %3
    %10: i32 = bitcast %9
    %11: f32 = cast %10
    store %out[%i0], %11
  }
}
"#;
    let kernel = parse(text).unwrap();
    assert_eq!(print(&kernel), text);
    assert_eq!(verify(&kernel), Ok(()));
    assert!(parse(&text.replace("%b = %out", "%tmp = %out")).is_err());
}

#[test]
fn names_get_numbers_of_their_own() {
    let text = body(
        "for %i in 0..n { %v: f32 = load %x[%i] for %i in 0..m { store %out[%i], %v } %7: f32 = neg %v }",
    );
    let kernel = parse(&text).unwrap();
    let printed = print(&kernel);
    assert!(
        printed.contains("for %i8 in 0..s0 {\n    %9: f32 = load %x[%i8]\n    for %i10 in 0..s1"),
        "{printed}"
    );
    assert_eq!(parse(&printed), Ok(kernel));
}

#[test]
fn accesses_are_proven() {
    let read = |index: &str| {
        format!(
            "for %i in 0..n parallel {{ for %j in 0..m {{ %v: f32 = load %x[{index}] store %out[%i*m + %j], %v }} }}"
        )
    };
    check(&read("%i*m + %j"), "fine");
    check(&read("%j*n + %i"), "fine");
    check(&read("mod(%i + %j, n*m)"), "fine");
    check(&read("clamp(%i - 5, n)"), "fine");
    check(&read("%i*m + %j + 1"), "the index s1*%i0 + %i1 + 1 into x is not proven to lie in 0..s0*s1");
    check(&read("%i*n + %j"), "the index s0*%i0 + %i1 into x is not proven to lie in 0..s0*s1");
    check(&read("mod(%i, n - 1)"), "the divisor s0 - 1 is not proven to be positive");
    check(
        "for %i in 0..n { %k: i64 = load %idx[%i] %c: i64 = checked_index %k, m %v: f32 = load %x[%i*m + %c] }",
        "fine",
    );
    check(
        "for %i in 0..n { %k: i64 = load %idx[%i] %v: f32 = load %x[%k] }",
        "value 1 stands in an index, but is no checked index",
    );
    let guarded = |cond: &str| {
        format!(
            "for %i in 0..n {{ %a: i64 = index %i - 1 %z: i64 = const 0 %c: bool = cmp {cond} if %c {{ %v: f32 = load %x[%i - 1] }} }}"
        )
    };
    check(&guarded("le %z, %a"), "fine");
    check(&guarded("lt %z, %a"), "fine");
    check(&guarded("le %a, %z"), "the index %i0 - 1 into x is not proven to lie in 0..s0*s1");
}

#[test]
fn definitions_and_types() {
    check("%0: f32 = neg %1", "value 1 is not there or not visible");
    check("%0: f32 = const 1.0 %0: f32 = const 1.0", "value 0 is defined twice");
    check("for %i in 0..n { %0: f32 = const 1.0 } store %sum[0], %0", "value 0 is not there or not visible");
    check("for %i0 in 0..n { } %0: i64 = index %i0", "loop variable 0 is not there or not visible");
    check("for %i0 in 0..%i0 { }", "loop variable 0 is not there or not visible");
    check("%0: f64 = const 1.0 store %sum[0], %0", "store of a value of type f64 where another is wanted");
    check("%0: f64 = load %x[0]", "value 0: load does not give f64 from its operands");
    check("%0: f32 = const 1.0 %1: f32 = not %0", "value 1: not does not give f32 from its operands");
    check("%0: f32 = const 1.0 %1: f32 = cmp lt %0, %0", "value 1: cmp does not give f32 from its operands");
    check("%0: f32 = index n", "value 0: index does not give f32 from its operands");
    check(
        "%0: bool = const true acc %a: bool = false accumulate sum %a, %0",
        "sum of a value of type bool where another is wanted",
    );
    check("%0: f32 = const 1.0 store %x[0], %0", "x is written, but is a parameter for reading");
    check("%0: i64 = index %5", "value 5 is not there or not visible");
}

#[test]
fn loops_keep_the_rules_of_their_kind() {
    check(
        "%0: f32 = const 1.0 for %i in 0..n parallel { }",
        "a parallel loop that is not the single outermost statement",
    );
    check(
        "for %i in 0..n { for %j in 0..n parallel { } }",
        "a parallel loop that is not the single outermost statement",
    );
    check("for %i in 0..n vector { for %j in 0..2 { } }", "a loop inside a vector loop");
    check("for %i in 0..n unroll { }", "an unrolled loop over s0, which is not a small number");
    check("for %i in n..n + 4 unroll { }", "fine");
    let vector =
        |s: &str| format!("%0: f32 = const 1.0 acc %acc0: f32 = 0.0 for %i0 in 0..n vector {{ {s} }}");
    check(&vector("accumulate sum %acc0, %0"), "fine");
    check(
        &vector("accumulate sum %acc0, %0 accumulate max %acc0, %0"),
        "accumulator 0 is joined in two ways by one vector loop",
    );
    check(
        &vector("accumulate sum %acc0, %0 %1: f32 = read %acc0"),
        "a read of an accumulator it accumulates into inside a vector loop",
    );
    check(&vector("update add %sum[%i0], %0"), "an update inside a vector loop");
    check(&vector("store %sum[%i0], %0"), "fine");
    check(&vector("store %sum[0], %0"), "all iterations over %i0 write the same element 0 of sum");
    check(
        "for %i in 0..n parallel { %0: f32 = const 1.0 for %j in 0..m { store %out[%j], %0 } }",
        "all iterations over %i1 write the same element %i2 of out",
    );
    check(
        "for %i in 0..n parallel { %0: f32 = const 1.0 for %j in %i*m..%i*m + m { store %out[%j], %0 } }",
        "fine",
    );
    check("for %i in 0..1 parallel { %0: f32 = const 1.0 for %j in 0..m { store %out[%j], %0 } }", "fine");
}

#[test]
fn faults_of_form_have_a_place() {
    for (statements, want) in [
        ("store %y[0], %0", "2:7: buffer %y is not defined"),
        ("%v: f32 = frob %0", "2:11: there is no instruction \"frob\""),
        ("for %i in 0..n sideways { }", "2:16: there is no kind of loop \"sideways\""),
        ("%9999999: f32 = const 0.0", "2:1: at most 1048576 as the number of a name"),
        ("%v: f32 = neg %v", "2:15: value %v is not defined"),
        ("%v: i8 = const 200", "2:16: 200 is not a value of type i8"),
    ] {
        assert_eq!(parse(&body(statements)).unwrap_err().to_string(), want);
    }
    let deep = "for %i in 0..n {".repeat(10_000);
    assert_eq!(parse(&body(&deep)).unwrap_err().kind.to_string(), "at most 32 levels of loops");
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn random_kernels_are_valid_and_run(seed: u64, statements in 1usize..30, n in 1i64..5, m in 1i64..5) {
        let kernel = random_kernel(seed, &KernelOptions { statements, ..KernelOptions::default() });
        prop_assert_eq!(verify(&kernel), Ok(()), "{}", kernel);
        let parsed = parse(&print(&kernel));
        prop_assert_eq!(parsed.as_ref(), Ok(&kernel), "{}", kernel);
        let symbols = &[n, m][..kernel.n_symbols as usize];
        let mut arguments = kernel_arguments(&kernel, symbols, seed, Values::Wild);
        let outcome = eval_on_tensors(&kernel, &mut arguments, symbols);
        prop_assert!(outcome.is_ok(), "{:?}\n{}", outcome, kernel);
    }

    #[test]
    fn an_access_past_the_end_is_caught(seed: u64, statements in 1usize..20, which: prop::sample::Index) {
        let mut kernel = random_kernel(seed, &KernelOptions { statements, ..KernelOptions::default() });
        let params = kernel.params.clone();
        let mut accesses = Vec::new();
        for_each_access(&mut kernel.body, &mut |buffer, index| accesses.push((buffer, index)));
        prop_assume!(!accesses.is_empty());
        let which = which.index(accesses.len());
        let (buffer, index) = &mut accesses[which];
        if let BufferRef::Param(p) = *buffer {
            **index = index.add(&params[p as usize].len);
            let caught = matches!(verify(&kernel).map_err(|e| e.fault), Err(Fault::OutOfBounds { .. }));
            prop_assert!(caught, "{}", kernel);
        }
    }

    /// Whatever the verifier accepts runs without an access out of bounds.
    #[test]
    fn accepted_kernels_stay_in_bounds(seed: u64, statements in 1usize..20, n in 1i64..5, m in 1i64..5) {
        let mut kernel = random_kernel(seed, &KernelOptions { statements, ..KernelOptions::default() });
        let mut rng = Rng::new(seed);
        for_each_access(&mut kernel.body, &mut |_, index| {
            if rng.one_in(8) {
                *index = match rng.below(5) {
                    0 => index.offset(rng.between(-2, 2)),
                    1 => index.scale(rng.between(0, 2)),
                    2 => index.floor_div(&Expr::constant(2)),
                    3 => index.modulo(&Expr::constant(4)),
                    _ => Expr::symbol(0).offset(-1).sub(index),
                };
            }
        });
        if verify(&kernel).is_ok() {
            let symbols = &[n, m][..kernel.n_symbols as usize];
            let mut arguments = kernel_arguments(&kernel, symbols, seed, Values::Tame);
            let outcome = eval_on_tensors(&kernel, &mut arguments, symbols);
            prop_assert!(outcome.is_ok(), "{:?}\n{}", outcome, kernel);
        }
    }

    #[test]
    fn mutated_text_is_an_error_or_a_kernel(seed: u64, statements in 0usize..12, edits in 1usize..6) {
        let options = KernelOptions { statements, ..KernelOptions::default() };
        let mut text = print(&random_kernel(seed, &options)).into_bytes();
        let mut rng = Rng::new(seed);
        for _ in 0..edits {
            let (at, piece) = (rng.below(text.len()), rng.below(40));
            let other = rng.below(text.len());
            match rng.below(3) {
                0 => drop(text.drain(at..(at + piece).min(text.len()))),
                1 => text[at] = (32 + rng.below(95)) as u8,
                _ => {
                    let copy = text[other..(other + piece).min(text.len())].to_vec();
                    drop(text.splice(at..at, copy));
                }
            }
            if text.is_empty() {
                break;
            }
        }
        if let Ok(kernel) = parse(&String::from_utf8_lossy(&text)) {
            let _ = verify(&kernel);
            prop_assert_eq!(parse(&print(&kernel)), Ok(kernel));
        }
    }
}

/// Calls `f` with each buffer access and its index, all of which live as long as the kernel.
fn for_each_access<'a>(stmts: &'a mut [Stmt], f: &mut dyn FnMut(BufferRef, &'a mut Expr)) {
    for stmt in stmts {
        match stmt {
            Stmt::For { body, .. } | Stmt::If { body, .. } => for_each_access(body, f),
            Stmt::Let { inst: Inst::Load { buffer, index }, .. } => f(*buffer, index),
            Stmt::Store { buffer, index, .. } | Stmt::Update { buffer, index, .. } => f(*buffer, index),
            Stmt::Let { .. } | Stmt::Acc { .. } | Stmt::Accumulate { .. } => {}
        }
    }
}
