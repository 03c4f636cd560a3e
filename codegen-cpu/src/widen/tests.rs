//! Each CLIF idiom the generator emits, at 128, 256 and 512 bits on the same data: equal bits.

use super::{Intrinsic, Tag, Wide, Widener};
use crate::testing::Executable;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{types::*, *};
use cranelift_codegen::isa::{self, CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

fn isa_for(wide: Option<Wide>) -> OwnedTargetIsa {
    let mut flags = settings::builder();
    for (name, value) in
        [("opt_level", "speed"), ("enable_verifier", "true"), ("preserve_frame_pointers", "true")]
    {
        flags.set(name, value).unwrap();
    }
    flags.set("enable_probestack", "false").unwrap();
    let mut b = isa::lookup(target_lexicon::Triple::host()).unwrap();
    for f in [
        "has_sse3",
        "has_ssse3",
        "has_sse41",
        "has_sse42",
        "has_popcnt",
        "has_avx",
        "has_avx2",
        "has_fma",
        "has_bmi1",
        "has_bmi2",
        "has_lzcnt",
    ] {
        b.enable(f).unwrap();
    }
    if wide == Some(Wide::W512) {
        for f in ["has_avx512f", "has_avx512vl", "has_avx512dq"] {
            b.enable(f).unwrap();
        }
    }
    b.finish(settings::Flags::new(flags)).unwrap()
}

struct E<'a, 'b> {
    b: &'a mut FunctionBuilder<'b>,
    x: Value,
    y: Value,
    out: Value,
    /// A loop-invariant scalar `f32`.
    scalar: Value,
}

impl E<'_, '_> {
    fn cast(&mut self, t: Type, v: Value) -> Value {
        self.b.ins().bitcast(t, MemFlagsData::new().with_endianness(Endianness::Little), v)
    }
    fn f32s(&mut self, v: f32) -> Value {
        let c = self.b.ins().f32const(Ieee32::with_float(v));
        self.b.ins().splat(F32X4, c)
    }
    fn f64s(&mut self, v: f64) -> Value {
        let c = self.b.ins().f64const(Ieee64::with_float(v));
        self.b.ins().splat(F64X2, c)
    }
    fn i32s(&mut self, v: i32) -> Value {
        let c = self.b.ins().iconst(I32, i64::from(v));
        self.b.ins().splat(I32X4, c)
    }
    fn i64s(&mut self, v: i64) -> Value {
        let c = self.b.ins().iconst(I64, v);
        self.b.ins().splat(I64X2, c)
    }
    fn flags(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap()
    }
    fn tagged(&self, t: Tag) -> MemFlagsData {
        MemFlagsData::new().with_trap_code(Some(t.trap_code()))
    }
    fn load(&mut self, t: Type, from: Value) -> Value {
        let f = self.flags();
        self.b.ins().load(t, f, from, 0)
    }
    fn store(&mut self, v: Value) {
        let (f, out) = (self.flags(), self.out);
        self.b.ins().store(f, v, out, 0);
    }
}

type Body = dyn Fn(&mut E<'_, '_>);

/// One loop over `n` steps; `x`, `y` and `out` advance by the given bytes at 128 bits.
struct Case {
    name: &'static str,
    steps: [i64; 3],
    body: Box<Body>,
}

fn compile(case: &Case, wide: Option<Wide>) -> Result<Vec<u8>, super::Declined> {
    let scale = wide.map_or(1, |w| i64::from(w.scale()));
    let isa = isa_for(wide);
    let mut ctx = cranelift_codegen::Context::new();
    let mut fbc = FunctionBuilderContext::new();
    let mut sig = Signature::new(CallConv::SystemV);
    for _ in 0..5 {
        sig.params.push(AbiParam::new(I64));
    }
    ctx.func = Function::with_name_signature(UserFuncName::user(0, 0), sig);
    let mut b = FunctionBuilder::new(&mut ctx.func, &mut fbc);
    let (entry, head, done) = (b.create_block(), b.create_block(), b.create_block());
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let p: Vec<Value> = b.block_params(entry).to_vec();
    let scalar = b.ins().load(F32, MemFlagsData::trusted(), p[4], 0);
    let zero = b.ins().iconst(I64, 0);
    b.ins().jump(head, &[BlockArg::Value(zero)]);
    let i = b.append_block_param(head, I64);
    b.switch_to_block(head);
    let mut at = [Value::from_u32(0); 3];
    for k in 0..3 {
        let offset = b.ins().imul_imm_s(i, case.steps[k] * scale);
        at[k] = b.ins().iadd(p[k], offset);
    }
    let mut e = E { b: &mut b, x: at[0], y: at[1], out: at[2], scalar };
    (case.body)(&mut e);
    let next = b.ins().iadd_imm_s(i, 1);
    let more = b.ins().icmp(IntCC::UnsignedLessThan, next, p[3]);
    b.ins().brif(more, head, &[BlockArg::Value(next)], done, &[]);
    b.switch_to_block(done);
    b.ins().return_(&[]);
    b.seal_all_blocks();
    b.finalize(isa.frontend_config());
    let compiled = ctx
        .compile(&*isa, &mut ControlPlane::default())
        .unwrap_or_else(|e| panic!("{}: {:?}", case.name, e.inner));
    assert!(compiled.buffer.relocs().is_empty());
    let tags: Vec<(u32, Tag)> = compiled
        .buffer
        .traps()
        .iter()
        .filter_map(|t| Tag::from_trap_code(t.code).map(|tag| (t.offset, tag)))
        .collect();
    match wide {
        None => Ok(compiled.buffer.data().to_vec()),
        Some(w) => Widener::new().widen(compiled.buffer.data(), &tags, 0, w).map(|w| w.code),
    }
}

fn run(code: &[u8], x: &[u8], y: &[u8], out: usize, steps: i64, scalar: f32) -> Vec<u8> {
    let exe = Executable::new(code);
    let mut z = vec![0u8; out + 64];
    // SAFETY: the code was compiled with this signature, and the buffers hold `steps` steps.
    unsafe {
        let f: extern "C" fn(*const u8, *const u8, *mut u8, i64, *const f32) =
            std::mem::transmute(exe.entry());
        f(x.as_ptr(), y.as_ptr(), z.as_mut_ptr(), steps, &scalar);
    }
    z.truncate(out);
    z
}

fn has(wide: Wide) -> bool {
    match wide {
        Wide::W256 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        Wide::W512 => {
            is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
        }
    }
}

/// Awkward bit patterns of every size, then pseudo-random ones.
fn data(bytes: usize, seed: u64) -> Vec<u8> {
    let f32s = [
        0.0f32,
        -0.0,
        1.0,
        -1.5,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        1e-40,
        -1e-45,
        3e9,
        -3e9,
        2147483648.0,
        88.9,
        0.5,
        2.5,
    ];
    let f64s = [0.0f64, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e300, -9.3e18, 4.5, 2.5];
    let mut out: Vec<u8> = Vec::new();
    let mut s = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        s
    };
    while out.len() < bytes {
        match next() % 4 {
            0 => out.extend(f32s[(next() % 15) as usize].to_bits().to_le_bytes().repeat(2)),
            1 => out.extend(f64s[(next() % 10) as usize].to_bits().to_le_bytes()),
            2 => {
                for _ in 0..2 {
                    out.extend((((next() % 2000) as f32 - 1000.0) / 17.0).to_bits().to_le_bytes());
                }
            }
            _ => out.extend(next().to_le_bytes()),
        }
    }
    out.truncate(bytes);
    out
}

fn check(case: &Case) {
    const STEPS: i64 = 32;
    let size = |k: usize| (case.steps[k] * STEPS) as usize;
    let (x, y) = (data(size(0) + 64, 1), data(size(1) + 64, 2));
    let narrow = compile(case, None).unwrap();
    let want = run(&narrow, &x, &y, size(2), STEPS, 1.25);
    for wide in [Wide::W256, Wide::W512] {
        if !has(wide) {
            continue;
        }
        let code = compile(case, Some(wide)).unwrap_or_else(|e| panic!("{} at {wide:?}: {e}", case.name));
        let got = run(&code, &x, &y, size(2), STEPS / i64::from(wide.scale()), 1.25);
        let bad = want.chunks(4).zip(got.chunks(4)).position(|(a, b)| a != b);
        assert_eq!(bad, None, "{} at {wide:?}", case.name);
    }
}

fn case(name: &'static str, steps: [i64; 3], body: impl Fn(&mut E<'_, '_>) + 'static) -> Case {
    Case { name, steps, body: Box::new(body) }
}

fn f32_binary(name: &'static str, f: impl Fn(&mut E<'_, '_>, Value, Value) -> Value + 'static) -> Case {
    vector_binary(name, F32X4, f)
}

fn vector_binary(
    name: &'static str,
    t: Type,
    f: impl Fn(&mut E<'_, '_>, Value, Value) -> Value + 'static,
) -> Case {
    case(name, [16; 3], move |e| {
        let (x, y) = (e.load(t, e.x), e.load(t, e.y));
        let v = f(e, x, y);
        e.store(v);
    })
}

#[test]
fn float_arithmetic() {
    for t in [F32X4, F64X2] {
        check(&vector_binary("add", t, |e, x, y| e.b.ins().fadd(x, y)));
        check(&vector_binary("sub", t, |e, x, y| e.b.ins().fsub(x, y)));
        check(&vector_binary("mul", t, |e, x, y| e.b.ins().fmul(x, y)));
        check(&vector_binary("div", t, |e, x, y| e.b.ins().fdiv(x, y)));
        check(&vector_binary("sqrt", t, |e, x, _| e.b.ins().sqrt(x)));
        check(&vector_binary("floor", t, |e, x, _| e.b.ins().floor(x)));
        check(&vector_binary("nearest", t, |e, x, _| e.b.ins().nearest(x)));
        check(&vector_binary("trunc", t, |e, x, _| e.b.ins().trunc(x)));
        check(&vector_binary("abs", t, |e, x, _| e.b.ins().fabs(x)));
        check(&vector_binary("neg", t, |e, x, _| e.b.ins().fneg(x)));
        check(&vector_binary("fma", t, |e, x, y| e.b.ins().fma(x, y, x)));
        check(&vector_binary("fmin", t, |e, x, y| e.b.ins().fmin(x, y)));
        check(&vector_binary("fmax", t, |e, x, y| e.b.ins().fmax(x, y)));
    }
}

#[test]
fn comparisons_and_selects() {
    let ccs = [
        FloatCC::Equal,
        FloatCC::NotEqual,
        FloatCC::LessThan,
        FloatCC::LessThanOrEqual,
        FloatCC::GreaterThan,
        FloatCC::GreaterThanOrEqual,
        FloatCC::Unordered,
        FloatCC::Ordered,
    ];
    for cc in ccs {
        check(&f32_binary("fcmp select", move |e, x, y| {
            let m = e.b.ins().fcmp(cc, x, y);
            let m = e.cast(F32X4, m);
            let s = e.b.ins().fadd(x, y);
            e.b.ins().bitselect(m, s, y)
        }));
        check(&vector_binary("fcmp mask f64", F64X2, move |e, x, y| e.b.ins().fcmp(cc, x, y)));
        check(&f32_binary("two masks", move |e, x, y| {
            let zero = e.f32s(0.0);
            let a = e.b.ins().fcmp(cc, x, y);
            let b = e.b.ins().fcmp(FloatCC::LessThan, x, zero);
            let m = e.b.ins().band(a, b);
            let n = e.b.ins().bnot(a);
            let o = e.b.ins().bor(n, b);
            let z = e.b.ins().bxor(m, o);
            let (m, z) = (e.cast(F32X4, m), e.cast(F32X4, z));
            let r = e.b.ins().bitselect(m, x, y);
            let (r, y) = (e.cast(I32X4, r), e.cast(I32X4, y));
            let z = e.cast(I32X4, z);
            e.b.ins().blendv(z, r, y)
        }));
    }
    use IntCC::{
        SignedGreaterThan, SignedLessThan, SignedLessThanOrEqual, UnsignedGreaterThanOrEqual,
        UnsignedLessThan,
    };
    let ccs = [
        IntCC::Equal,
        IntCC::NotEqual,
        SignedLessThan,
        SignedLessThanOrEqual,
        SignedGreaterThan,
        UnsignedLessThan,
        UnsignedGreaterThanOrEqual,
    ];
    for t in [I8X16, I16X8, I32X4, I64X2] {
        for cc in ccs {
            check(&vector_binary("icmp select", t, move |e, x, y| {
                let m = e.b.ins().icmp(cc, x, y);
                e.b.ins().bitselect(m, y, x)
            }));
            check(&vector_binary("icmp mask", t, move |e, x, y| e.b.ins().icmp(cc, x, y)));
        }
    }
}

#[test]
fn many_masks_at_once() {
    // More than there are mask registers, all alive until the end.
    check(&f32_binary("masks", |e, x, y| {
        let masks: Vec<Value> = (0..9)
            .map(|k| {
                let c = e.f32s(k as f32 * 7.0 - 30.0);
                e.b.ins().fcmp(FloatCC::LessThan, x, c)
            })
            .collect();
        let mut r = y;
        for m in masks {
            let s = e.b.ins().fadd(r, x);
            let m = e.cast(F32X4, m);
            r = e.b.ins().bitselect(m, s, r);
        }
        r
    }));
}

#[test]
fn integer_arithmetic() {
    for t in [I8X16, I16X8, I32X4, I64X2] {
        check(&vector_binary("iadd", t, |e, x, y| e.b.ins().iadd(x, y)));
        check(&vector_binary("isub", t, |e, x, y| e.b.ins().isub(x, y)));
        check(&vector_binary("ineg", t, |e, x, _| e.b.ins().ineg(x)));
        check(&vector_binary("iabs", t, |e, x, _| e.b.ins().iabs(x)));
        check(&vector_binary("band", t, |e, x, y| e.b.ins().band(x, y)));
        check(&vector_binary("band_not", t, |e, x, y| e.b.ins().band_not(x, y)));
        check(&vector_binary("bnot", t, |e, x, _| e.b.ins().bnot(x)));
        if t != I8X16 {
            check(&vector_binary("imul", t, |e, x, y| e.b.ins().imul(x, y)));
            for k in [1i64, 5, 15] {
                check(&vector_binary("ishl", t, move |e, x, _| e.b.ins().ishl_imm_u(x, k)));
                check(&vector_binary("ushr", t, move |e, x, _| e.b.ins().ushr_imm_u(x, k)));
                check(&vector_binary("sshr", t, move |e, x, _| e.b.ins().sshr_imm_u(x, k)));
            }
        }
    }
    for k in [31, 32, 33, 63] {
        check(&vector_binary("sshr i64", I64X2, move |e, x, _| e.b.ins().sshr_imm_u(x, k)));
    }
    for t in [I8X16, I16X8, I32X4] {
        check(&vector_binary("smin", t, |e, x, y| e.b.ins().smin(x, y)));
        check(&vector_binary("smax", t, |e, x, y| e.b.ins().smax(x, y)));
        check(&vector_binary("umin", t, |e, x, y| e.b.ins().umin(x, y)));
    }
}

#[test]
fn conversions_of_equal_width() {
    check(&vector_binary("i32 to f32", I32X4, |e, x, _| e.b.ins().fcvt_from_sint(F32X4, x)));
    check(&f32_binary("f32 to i32", |e, x, _| e.b.ins().fcvt_to_sint_sat(I32X4, x)));
    check(&f32_binary("f32 to i32 quick", |e, x, _| e.b.ins().x86_cvtt2dq(I32X4, x)));
}

/// Loads `bytes` bytes (at 128 bits) into the low part of a vector.
fn load_fraction(e: &mut E<'_, '_>, bytes: i64, from: Value) -> Value {
    let f = e.tagged(Tag::Fraction);
    match bytes {
        2 => {
            let z = e.i32s(0);
            let z = e.cast(I16X8, z);
            let v = e.b.ins().load(I16, f, from, 0);
            e.b.ins().insertlane(z, v, 0)
        }
        4 => {
            let v = e.b.ins().load(I32, f, from, 0);
            e.b.ins().scalar_to_vector(I32X4, v)
        }
        _ => {
            let v = e.b.ins().load(I64, f, from, 0);
            e.b.ins().scalar_to_vector(I64X2, v)
        }
    }
}

fn store_fraction(e: &mut E<'_, '_>, bytes: i64, v: Value) {
    let (f, out) = (e.tagged(Tag::Fraction), e.out);
    let t = match bytes {
        2 => I16X8,
        4 => I32X4,
        _ => I64X2,
    };
    let v = e.cast(t, v);
    let lane = e.b.ins().extractlane(v, 0);
    e.b.ins().store(f, lane, out, 0);
}

#[test]
fn widening_loads_and_narrowing_stores() {
    check(&case("u8 to f32", [4, 16, 16], |e| {
        let v = load_fraction(e, 4, e.x);
        let v = e.cast(I8X16, v);
        let v = e.b.ins().uwiden_low(v);
        let v = e.b.ins().uwiden_low(v);
        let v = e.b.ins().fcvt_from_sint(F32X4, v);
        e.store(v);
    }));
    check(&case("i8 to i32", [4, 16, 16], |e| {
        let v = load_fraction(e, 4, e.x);
        let v = e.cast(I8X16, v);
        let v = e.b.ins().swiden_low(v);
        let v = e.b.ins().swiden_low(v);
        e.store(v);
    }));
    check(&case("bf16 to f32", [8, 16, 16], |e| {
        let f = e.tagged(Tag::Fraction);
        let v = e.b.ins().uload16x4(f, e.x, 0);
        let v = e.b.ins().ishl_imm_u(v, 16);
        e.store(v);
    }));
    check(&case("u8 to i64", [2, 16, 16], |e| {
        let v = load_fraction(e, 2, e.x);
        let v = e.cast(I8X16, v);
        let v = e.b.ins().uwiden_low(v);
        let v = e.b.ins().uwiden_low(v);
        let v = e.b.ins().uwiden_low(v);
        e.store(v);
    }));
    check(&case("f32 to f64", [8, 16, 16], |e| {
        let v = load_fraction(e, 8, e.x);
        let v = e.cast(F32X4, v);
        let v = e.b.ins().fvpromote_low(v);
        e.store(v);
    }));
    check(&case("i32 to f64", [8, 16, 16], |e| {
        let v = load_fraction(e, 8, e.x);
        let v = e.cast(I32X4, v);
        let v = e.b.ins().swiden_low(v);
        let v = e.b.ins().fcvt_from_sint(F64X2, v);
        e.store(v);
    }));
    check(&case("f64 to f32", [16, 16, 8], |e| {
        let v = e.load(F64X2, e.x);
        let v = e.b.ins().fvdemote(v);
        store_fraction(e, 8, v);
    }));
    check(&case("i32 to i16", [16, 16, 8], |e| {
        let v = e.load(I32X4, e.x);
        let v = e.b.ins().snarrow(v, v);
        store_fraction(e, 8, v);
    }));
    check(&case("i32 to u16 in range", [16, 16, 8], |e| {
        let v = e.load(I32X4, e.x);
        let m = e.i32s(0xffff);
        let v = e.b.ins().band(v, m);
        let v = e.b.ins().unarrow(v, v);
        store_fraction(e, 8, v);
    }));
    check(&case("mask to bytes", [16, 16, 4], |e| {
        let (x, y) = (e.load(F32X4, e.x), e.load(F32X4, e.y));
        let m = e.b.ins().fcmp(FloatCC::LessThan, x, y);
        let m = e.b.ins().snarrow(m, m);
        let m = e.b.ins().snarrow(m, m);
        let one = e.b.ins().iconst(I8, 1);
        let one = e.b.ins().splat(I8X16, one);
        let m = e.b.ins().band(m, one);
        store_fraction(e, 4, m);
    }));
}

#[test]
fn broadcasts_of_scalars() {
    check(&f32_binary("scalar", |e, x, y| {
        let s = e.b.ins().splat(F32X4, e.scalar);
        e.b.ins().fma(x, s, y)
    }));
    check(&case("scalar f64", [16; 3], |e| {
        let x = e.load(F64X2, e.x);
        let s = e.b.ins().fpromote(F64, e.scalar);
        let s = e.b.ins().splat(F64X2, s);
        let v = e.b.ins().fmul(x, s);
        e.store(v);
    }));
    check(&case("scalar i32", [16; 3], |e| {
        let x = e.load(I32X4, e.x);
        let s = e.b.ins().fcvt_to_sint_sat(I32, e.scalar);
        let s = e.b.ins().splat(I32X4, s);
        let v = e.b.ins().iadd(x, s);
        e.store(v);
    }));
    check(&case("scalar i64", [16; 3], |e| {
        let x = e.load(I64X2, e.x);
        let s = e.b.ins().fcvt_to_sint_sat(I64, e.scalar);
        let s = e.b.ins().splat(I64X2, s);
        let v = e.b.ins().iadd(x, s);
        e.store(v);
    }));
}

#[test]
fn more_constants_and_values_than_registers() {
    check(&f32_binary("pressure", |e, x, y| {
        let mut live = Vec::new();
        let mut v = x;
        for k in 0..40 {
            let c = e.f32s(1.0 + k as f32 / 64.0);
            v = e.b.ins().fma(v, c, y);
            live.push(v);
        }
        for (k, l) in live.into_iter().enumerate() {
            let c = e.f32s(0.5 + k as f32 / 128.0);
            let t = e.b.ins().fmul(l, c);
            v = e.b.ins().fsub(v, t);
        }
        v
    }));
    check(&vector_binary("pressure f64", F64X2, |e, x, y| {
        let mut live = Vec::new();
        let mut v = x;
        for k in 0..30 {
            let c = e.f64s(1.0 + f64::from(k) / 64.0);
            v = e.b.ins().fma(v, c, y);
            let m = e.b.ins().fcmp(FloatCC::LessThan, v, x);
            let m = e.cast(F64X2, m);
            v = e.b.ins().bitselect(m, v, c);
            live.push(v);
        }
        for l in live {
            v = e.b.ins().fsub(l, v);
        }
        v
    }));
    check(&vector_binary("pressure i64", I64X2, |e, x, y| {
        let mut v = x;
        for k in 0..20 {
            let c = e.i64s(0x1_0000_0001 * k);
            let t = e.b.ins().iadd(v, c);
            v = e.b.ins().bxor(t, y);
        }
        v
    }));
}

/// Wide-only operations against plain Rust.
#[test]
fn intrinsics() {
    fn rotate(e: &mut E<'_, '_>, i: Intrinsic, a: Value, b: Value) -> Value {
        let (a, b) = (e.cast(I8X16, a), e.cast(I8X16, b));
        let bytes: Vec<u8> = (0..16).map(|k| k + i as u8).collect();
        let mask = e.b.func.dfg.immediates.push(ConstantData::from(bytes));
        e.b.ins().shuffle(a, b, mask)
    }
    fn both(i: Intrinsic, want: impl Fn(u64, u64) -> u64, lane: usize) {
        let c = vector_binary("intrinsic", I8X16, move |e, x, y| rotate(e, i, y, x));
        check_against(&c, i, lane, lane, lane, want);
    }
    fn check_against(
        c: &Case,
        i: Intrinsic,
        from: usize,
        second: usize,
        to: usize,
        want: impl Fn(u64, u64) -> u64,
    ) {
        const LANES: usize = 128;
        let (x, mut y) = (data(LANES * from + 64, 3), data(LANES * second + 64, 4));
        // Counts near the width, mostly.
        for b in y.chunks_mut(second).step_by(2) {
            let count = (b[0] % 70) as u64;
            b.copy_from_slice(&count.to_le_bytes()[..b.len()]);
        }
        let lane = |v: &[u8], k: usize, size: usize| {
            let mut b = [0u8; 8];
            b[..size].copy_from_slice(&v[k * size..(k + 1) * size]);
            u64::from_le_bytes(b)
        };
        for wide in [Wide::W256, Wide::W512] {
            if !has(wide) || !i.exists_at(wide) {
                continue;
            }
            let code = compile(c, Some(wide)).unwrap();
            let per_step = c.steps[0] as usize / from * wide.scale() as usize;
            let got = run(&code, &x, &y, LANES * to, (LANES / per_step) as i64, 0.0);
            for k in 0..LANES {
                let (a, b) = (lane(&x, k, from), lane(&y, k, second));
                assert_eq!(lane(&got, k, to), want(a, b), "{i:?} of {a:#x} {b:#x} at {wide:?}");
            }
        }
    }
    both(Intrinsic::ShiftLeft32, |a, b| if b < 32 { ((a as u32) << b) as u64 } else { 0 }, 4);
    both(Intrinsic::ShiftRight32, |a, b| ((a as i32) >> (b as u32).min(31)) as u32 as u64, 4);
    both(Intrinsic::ShiftLeft64, |a, b| if b < 64 { a << b } else { 0 }, 8);
    both(Intrinsic::ShiftRight64, |a, b| ((a as i64) >> b.min(63)) as u64, 8);
    both(Intrinsic::I64ToF64, |a, _| (a as i64 as f64).to_bits(), 8);
    both(
        Intrinsic::F64ToI64,
        |a, _| {
            let v = f64::from_bits(a);
            if (-9223372036854775808.0..9223372036854775808.0).contains(&v) {
                v as i64 as u64
            } else {
                1 << 63
            }
        },
        8,
    );
    let narrow = |i: Intrinsic| {
        case("narrow", [16, 16, 8], move |e| {
            let v = e.load(I64X2, e.x);
            let v = rotate(e, i, v, v);
            store_fraction(e, 8, v);
        })
    };
    check_against(&narrow(Intrinsic::I64ToI32), Intrinsic::I64ToI32, 8, 8, 4, |a, _| a & 0xffff_ffff);
}

/// The tail under a mask: elements past the end are neither read into lanes nor written.
#[test]
fn masked_tails() {
    if !has(Wide::W512) {
        return;
    }
    for element in [1usize, 2, 4, 8] {
        let c = case("mask", [16; 3], move |e| {
            let (set, masked) = (e.tagged(Tag::SetMask), e.tagged(Tag::masked(element)));
            let bits = e.b.ins().load(I64, MemFlagsData::new().with_notrap(), e.y, 0);
            e.b.ins().store(set, bits, e.out, 0);
            let t = [I8X16, I16X8, I32X4, I64X2][element.trailing_zeros() as usize];
            let v = e.b.ins().load(t, masked, e.x, 0);
            let w = e.b.ins().load(t, masked, e.x, 0);
            let w = e.b.ins().bnot(w);
            let v = e.b.ins().iadd(v, w);
            e.b.ins().store(masked, v, e.out, 0);
        });
        let code = compile(&c, Some(Wide::W512)).unwrap();
        for lanes in 0..64 / element {
            let mut y = vec![0u8; 128];
            y[..8].copy_from_slice(&((1u64 << lanes) - 1).to_le_bytes());
            let got = run(&code, &data(128, 7), &y, 64, 1, 0.0);
            let want: Vec<u8> = (0..64).map(|k| if k < lanes * element { 0xff } else { 0 }).collect();
            assert_eq!(got, want, "{lanes} lanes of {element}");
        }
    }
}

#[test]
fn crossing_lanes_is_declined() {
    let c = f32_binary("cross", |e, x, y| {
        let s = e.b.ins().extractlane(y, 2);
        e.b.ins().insertlane(x, s, 1)
    });
    assert!(compile(&c, Some(Wide::W512)).is_err());
}
