//! Types, constants and instructions as C.
//!
//! A value of a 16-bit float type is a `float` in C, rounded to its type after each operation: that is what
//! the kernel IR says of their arithmetic.

use ttk_ir::{Binary, Cmp, DType, ReduceOp, Scalar, Unary};

/// The C type of a value in a register.
pub(crate) fn register(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "bool",
        DType::U8 => "unsigned char",
        DType::I8 => "signed char",
        DType::I16 => "short",
        DType::I32 => "int",
        DType::I64 => "long long",
        DType::F16 | DType::BF16 | DType::F32 => "float",
        DType::F64 => "double",
    }
}

/// The C type of an element in memory.
pub(crate) fn memory(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "unsigned char",
        DType::F16 => "tt_f16",
        DType::BF16 => "tt_bf16",
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::F32 | DType::F64 => {
            register(dtype)
        }
    }
}

/// The value of an element.
pub(crate) fn from_memory(dtype: DType, place: &str) -> String {
    match dtype {
        DType::Bool => format!("{place} != 0"),
        DType::F16 | DType::BF16 => format!("tt_from({place})"),
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::F32 | DType::F64 => {
            place.to_string()
        }
    }
}

/// The element for a value.
pub(crate) fn to_memory(dtype: DType, value: &str) -> String {
    match dtype {
        DType::F16 => format!("tt_to_f16({value})"),
        DType::BF16 => format!("tt_to_bf16({value})"),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => value.to_string(),
        DType::F32 | DType::F64 => value.to_string(),
    }
}

/// A literal.
pub(crate) fn constant(s: Scalar) -> String {
    let single = |v: f32| match v {
        v if v.is_finite() => format!("{v:?}f"),
        v => format!("tt_f32({:#010x}u)", v.to_bits()),
    };
    match s.dtype {
        DType::Bool => if s.bits & 1 == 1 { "true" } else { "false" }.to_string(),
        DType::U8 | DType::I8 | DType::I16 => s.as_i64().to_string(),
        DType::I32 if s.as_i64() == i32::MIN as i64 => "(-2147483647 - 1)".to_string(),
        DType::I32 => s.as_i64().to_string(),
        DType::I64 if s.as_i64() == i64::MIN => "(-9223372036854775807ll - 1)".to_string(),
        DType::I64 => format!("{}ll", s.as_i64()),
        DType::F16 | DType::BF16 | DType::F32 => single(s.as_f64() as f32),
        DType::F64 => match s.as_f64() {
            v if v.is_finite() => format!("{v:?}"),
            v => format!("tt_f64({:#018x}ull)", v.to_bits()),
        },
    }
}

/// A constant that stands as an operand: of the type that a variable of it would have.
pub(crate) fn literal(s: Scalar) -> String {
    let text = constant(s);
    match s.dtype {
        DType::U8 | DType::I8 | DType::I16 => format!("({})({text})", register(s.dtype)),
        DType::Bool | DType::I32 | DType::I64 | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            if text.starts_with('-') { format!("({text})") } else { text }
        }
    }
}

/// Rounds an expression of type `float` to a 16-bit type.
fn rounded(dtype: DType, e: String) -> String {
    match dtype {
        DType::F16 => format!("tt_round_f16({e})"),
        DType::BF16 => format!("tt_round_bf16({e})"),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => e,
        DType::F32 | DType::F64 => e,
    }
}

/// A function of C's `math.h`, in the precision the type computes in.
fn function(name: &str, dtype: DType, args: &str) -> String {
    let suffix = if dtype == DType::F64 { "" } else { "f" };
    rounded(dtype, format!("{name}{suffix}({args})"))
}

/// Sine and cosine of `f64`, as device functions.
pub(crate) const TRIGONOMETRY: &str = include_str!("trigonometry.cuh");

/// What a printed function stands on beside the prelude.
pub(crate) fn helper(text: &str) -> Option<&'static str> {
    ["tt_sin(", "tt_cos("].iter().any(|f| text.contains(f)).then_some(TRIGONOMETRY)
}

pub(crate) fn unary(op: Unary, dtype: DType, x: &str) -> String {
    let float = dtype.is_float();
    match op {
        Unary::Neg if float => format!("-{x}"),
        Unary::Neg => format!("tt_neg({x})"),
        Unary::Not if dtype == DType::Bool => format!("!{x}"),
        Unary::Not => format!("~{x}"),
        // Exact: nothing to round.
        Unary::Abs if dtype == DType::F64 => format!("fabs({x})"),
        Unary::Abs if float => format!("fabsf({x})"),
        Unary::Abs => format!("tt_abs({x})"),
        Unary::Relu => format!("({x} <= 0 ? 0 : {x})"),
        Unary::Floor => function("floor", dtype, x),
        Unary::Round => function("rint", dtype, x),
        Unary::Sqrt => function("sqrt", dtype, x),
        Unary::Exp => function("exp", dtype, x),
        Unary::Expm1 => function("expm1", dtype, x),
        Unary::Log => function("log", dtype, x),
        Unary::Log1p => function("log1p", dtype, x),
        Unary::Sin if dtype == DType::F64 => format!("tt_sin({x})"),
        Unary::Cos if dtype == DType::F64 => format!("tt_cos({x})"),
        Unary::Sin => function("sin", dtype, x),
        Unary::Cos => function("cos", dtype, x),
        Unary::Tanh => function("tanh", dtype, x),
        Unary::Erf => function("erf", dtype, x),
        Unary::Sigmoid => rounded(dtype, format!("tt_sigmoid({x})")),
    }
}

pub(crate) fn binary(op: Binary, dtype: DType, a: &str, b: &str) -> String {
    let float = dtype.is_float();
    let infix = |sign: &str| rounded(dtype, format!("{a} {sign} {b}"));
    let call = |name: &str| format!("{name}({a}, {b})");
    match op {
        Binary::Add if float => infix("+"),
        Binary::Add => call("tt_add"),
        Binary::Sub if float => infix("-"),
        Binary::Sub => call("tt_sub"),
        Binary::Mul if float => infix("*"),
        Binary::Mul => call("tt_mul"),
        Binary::Div if float => infix("/"),
        Binary::Div => call("tt_div"),
        Binary::Rem if float => function("fmod", dtype, &format!("{a}, {b}")),
        Binary::Rem => call("tt_rem"),
        Binary::Pow if float => function("pow", dtype, &format!("{a}, {b}")),
        Binary::Pow => call("tt_pow"),
        Binary::Max => call("tt_max"),
        Binary::Min => call("tt_min"),
        Binary::Atan2 => function("atan2", dtype, &format!("{a}, {b}")),
        Binary::And => infix("&"),
        Binary::Or => infix("|"),
        Binary::Xor => infix("^"),
        Binary::Shl => call("tt_shl"),
        Binary::Shr => call("tt_shr"),
    }
}

pub(crate) fn fma(dtype: DType, a: &str, b: &str, c: &str) -> String {
    function("fma", dtype, &format!("{a}, {b}, {c}"))
}

pub(crate) fn cmp(op: Cmp, a: &str, b: &str) -> String {
    let sign = match op {
        Cmp::Eq => "==",
        Cmp::Ne => "!=",
        Cmp::Lt => "<",
        Cmp::Le => "<=",
    };
    format!("{a} {sign} {b}")
}

pub(crate) fn cast(from: DType, to: DType, x: &str) -> String {
    match to {
        _ if from == to => x.to_string(),
        DType::Bool => format!("{x} != 0"),
        DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            if from.is_float() {
                format!("tt_to_int<{}>({x})", register(to))
            } else {
                format!("({}){x}", register(to))
            }
        }
        DType::F16 | DType::BF16 if register(from) == "float" => rounded(to, x.to_string()),
        DType::F16 | DType::BF16 => rounded(to, format!("(float){x}")),
        // Those of 16 bits are `float` already.
        DType::F32 if register(from) == "float" => x.to_string(),
        DType::F32 | DType::F64 => format!("({}){x}", register(to)),
    }
}

/// The bits of a value under another type of the same size, neither of them `bool`.
pub(crate) fn bitcast(from: DType, to: DType, x: &str) -> String {
    let half = |d: DType| matches!(d, DType::F16 | DType::BF16);
    if from == to {
        return x.to_string();
    }
    let bits = if half(from) { format!("{}.bits", to_memory(from, x)) } else { x.to_string() };
    if half(to) {
        return format!("tt_from({}{{(unsigned short){bits}}})", memory(to));
    }
    if from.is_float() != to.is_float() && !half(from) {
        return format!("tt_bit_cast<{}>({bits})", register(to));
    }
    format!("({}){bits}", register(to))
}

/// The prelude's name for how a reduction joins partial results of a type.
pub(crate) fn joiner(op: ReduceOp, dtype: DType) -> String {
    let name = match op {
        ReduceOp::Sum => "tt_sum",
        ReduceOp::Prod => "tt_prod",
        ReduceOp::Max => "tt_larger",
        ReduceOp::Min => "tt_smaller",
    };
    match dtype {
        DType::F16 => format!("tt_in_f16<{name}>"),
        DType::BF16 => format!("tt_in_bf16<{name}>"),
        DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => name.to_string(),
        DType::F32 | DType::F64 => name.to_string(),
    }
}
