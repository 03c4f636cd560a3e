//! Random tensors and in-place random fills.

use super::creation::check_sizes;
use super::rows;
use crate::error::{Error, Result};
use crate::node::Value;
use crate::ops::call::Operand;
use crate::ops::call::{Call, Returned};
use crate::ops::promote::default_float;
use crate::random;
use crate::tensor::Tensor;
use ttk_ir::{Builder, DType, ReduceOp, Scalar, Unary};

fn drawn(
    c: &mut Call<'_>,
    f: fn(&mut crate::record::Recorder, &random::Generator, DType, &[i64]) -> Result<Value>,
) -> Result<Returned> {
    let sizes = c.ints(0)?;
    check_sizes(sizes)?;
    let g = c.generator(1)?;
    let dtype = c.opt_dtype(2)?.unwrap_or(default_float());
    if !dtype.is_float() {
        return Err(Error::NotForDtype { op: c.name(), dtype: crate::error::scalar_type_name(dtype) });
    }
    Ok(f(&mut c.b, &g, dtype, sizes)?.into())
}

fn integers(c: &mut Call<'_>) -> Result<Returned> {
    let (low, high, at) = match c.overload {
        0 => (0, c.int(0)?, 1),
        _ => (c.int(0)?, c.int(1)?, 2),
    };
    let sizes = c.ints(at)?;
    check_sizes(sizes)?;
    let g = c.generator(at + 1)?;
    let dtype = c.opt_dtype(at + 2)?.unwrap_or(DType::I64);
    let x = random::integers(&mut c.b, &g, low, high, sizes)?;
    Ok(c.b.cast(&x, dtype).into())
}

/// Numbers of the sizes and type of argument 0, drawn by `f` in a floating type.
fn like(
    c: &mut Call<'_>,
    generator: Option<usize>,
    f: impl FnOnce(&mut crate::record::Recorder, &random::Generator, DType, &[i64]) -> Result<Value>,
) -> Result<Returned> {
    let t = c.tensor(0)?;
    let g = match generator {
        Some(i) => c.generator(i)?,
        None => random::default_generator(),
    };
    let dtype = t.dtype();
    let wide = if dtype.is_float() { dtype } else { DType::F32 };
    let x = f(&mut c.b, &g, wide, &t.sizes())?;
    Ok(c.b.cast(&x, dtype).into())
}

fn affine(b: &mut crate::record::Recorder, x: &Value, scale: f64, shift: f64) -> Value {
    let y = if scale == 1.0 { x.clone() } else { b.scale(x, scale) };
    if shift == 0.0 { y } else { b.shift(&y, shift) }
}

fn uniform_in_place(c: &mut Call<'_>) -> Result<Returned> {
    let (low, high) = (c.float(1)?, c.float(2)?);
    if low > high {
        return Err(Error::runtime(format!(
            "uniform_ expects to return a [from, to) range, but found from={low} > to={high}"
        )));
    }
    like(c, Some(3), |b, g, d, s| random::uniform_between(b, g, d, s, (low, high)))
}

fn normal_in_place(c: &mut Call<'_>) -> Result<Returned> {
    let (mean, std) = (c.float(1)?, c.float(2)?);
    if std < 0.0 {
        return Err(Error::runtime(format!("normal expects std >= 0.0, but found std {std}")));
    }
    like(c, Some(3), |b, g, d, s| {
        let x = random::normal(b, g, d, s)?;
        Ok(affine(b, &x, std, mean))
    })
}

/// `torch.normal`: means and deviations are tensors or numbers.
fn normal(c: &mut Call<'_>) -> Result<Returned> {
    let (mean, std) = (c.operand(0)?, c.operand(1)?);
    let (sizes, g_at) = match c.overload {
        1 => (c.ints(2)?.to_vec(), 3),
        _ => {
            let size_of = |o: &Operand<'_>| match o {
                Operand::Tensor(t) => t.sizes(),
                Operand::Number(_) => Default::default(),
            };
            (crate::ops::call::broadcast_sizes(&size_of(&mean), &size_of(&std))?.to_vec(), 2)
        }
    };
    if let Operand::Number(s) = &std
        && s.as_f64() < 0.0
    {
        return Err(Error::runtime(format!("normal expects std >= 0.0, but found std {}", s.as_f64())));
    }
    let dtype = c.promote(&[&mean, &std]);
    let dtype = if dtype.is_float() { dtype } else { default_float() };
    let g = c.generator(g_at)?;
    let x = random::normal(&mut c.b, &g, dtype, &sizes)?;
    let (m, s) = (c.operand_value(&mean, dtype), c.operand_value(&std, dtype));
    let (m, s) = (c.b.broadcast(&m, &x.ty.shape), c.b.broadcast(&s, &x.ty.shape));
    let x = c.b.mul(&x, &s);
    Ok(c.b.add(&x, &m).into())
}

fn bernoulli(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    match c.overload {
        1 => {
            let (p, g) = (c.float(1)?, c.generator(2)?);
            check_probability(p)?;
            let m = random::bernoulli(&mut c.b, &g, p, t.dtype(), &t.sizes())?;
            Ok(c.b.cast(&m, t.dtype()).into())
        }
        _ => {
            let g = c.generator(1)?;
            if !t.dtype().is_float() {
                return Err(Error::NotForDtype {
                    op: "bernoulli_tensor_cpu_p_",
                    dtype: crate::error::scalar_type_name(t.dtype()),
                });
            }
            let p = t.value();
            let m = random::bernoulli_each(&mut c.b, &g, &p)?;
            Ok(c.b.cast(&m, t.dtype()).into())
        }
    }
}

fn check_probability(p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::runtime(format!("bernoulli_ expects p to be in [0, 1], but got p={p}")))
}

fn bernoulli_in_place(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let g = c.generator(2)?;
    let m = match c.operand(1)? {
        Operand::Number(p) => {
            check_probability(p.as_f64())?;
            random::bernoulli(&mut c.b, &g, p.as_f64(), t.dtype(), &t.sizes())?
        }
        Operand::Tensor(p) => {
            let p = p.value();
            let p = c.b.broadcast(&p, &ttk_ir::shape::shape(&t.sizes()));
            random::bernoulli_each(&mut c.b, &g, &p)?
        }
    };
    Ok(c.b.cast(&m, t.dtype()).into())
}

/// Exponential numbers as PyTorch draws them: minus the logarithm of a double in (0, 1], over the rate.
pub(super) fn exponential(
    b: &mut crate::record::Recorder,
    g: &random::Generator,
    dtype: DType,
    sizes: &[i64],
    rate: f64,
) -> Result<Value> {
    if g.gpu().is_some() {
        return random::gpu::exponential(b, g, dtype, sizes, rate);
    }
    let u = random::uniform(b, g, DType::F64, sizes)?;
    let minus = b.neg(&u);
    let log = b.unary(Unary::Log1p, &minus);
    let x = b.scale(&log, -1.0 / rate);
    Ok(b.cast(&x, dtype))
}

/// Samples of category numbers.
///
/// With one sample, or without replacement: the largest of probabilities over exponential numbers
/// (Efraimidis and Spirakis), as PyTorch does.
fn multinomial(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let (n, replacement, g) = (c.int(1)?, c.bool(2)?, c.generator(3)?);
    let sizes = t.sizes();
    if !t.dtype().is_float() || sizes.is_empty() || sizes.len() > 2 {
        return Err(Error::runtime(
            "multinomial: probability distribution must be a float tensor of 1 or 2 dimensions",
        ));
    }
    let classes = sizes[sizes.len() - 1];
    if n <= 0 {
        return Err(Error::runtime("cannot sample n_sample <= 0 samples"));
    }
    if !replacement && n > classes {
        return Err(Error::runtime(
            "cannot sample n_sample > prob_dist.size(-1) samples without replacement",
        ));
    }
    let probabilities = crate::host::scalars(&t)?;
    if probabilities.iter().any(|p| !(p.as_f64() >= 0.0 && p.as_f64().is_finite())) {
        return Err(Error::runtime("probability tensor contains either `inf`, `nan` or element < 0"));
    }
    let rows = probabilities.chunks(classes.max(1) as usize);
    for row in rows {
        let positive = row.iter().filter(|p| p.as_f64() > 0.0).count() as i64;
        if positive == 0 {
            return Err(Error::runtime("invalid multinomial distribution (sum of probabilities <= 0)"));
        }
        if !replacement && positive < n {
            return Err(Error::runtime(
                "invalid multinomial distribution (with replacement=False, not enough non-negative category to sample)",
            ));
        }
    }
    let x = t.detach().value();
    let axis = sizes.len() - 1;
    if !replacement || n == 1 {
        let q = exponential(&mut c.b, &g, t.dtype(), &sizes, 1.0)?;
        let keys = c.b.div(&x, &q);
        let order = c.b.op(ttk_ir::Op::Argsort { axis: axis as u8, descending: true }, &[keys]);
        return Ok(c.b.narrow(&order, axis, 0.into(), n.into()).into());
    }
    // The cumulative distribution, and for each sample the first class that reaches a uniform number.
    let dtype = t.dtype();
    let total = c.b.reduce(ReduceOp::Sum, &x, &[axis]);
    let total = c.b.expand(&total, x.ty.shape.clone());
    let p = c.b.div(&x, &total);
    let cdf = c.b.op(ttk_ir::Op::Scan { op: ReduceOp::Sum, axis: axis as u8, reverse: false }, &[p]);
    let mut out_sizes = sizes.clone();
    out_sizes[axis] = n;
    let u = random::uniform(&mut c.b, &g, DType::F64, &out_sizes)?;
    let u = c.b.cast(&u, dtype);
    let r =
        super::support::with2(&mut c.b, &cdf, &u, |s, v| crate::composite::order::searchsorted(s, v, false));
    let last = c.b.constant(Scalar::from_i64(r.ty.dtype, classes - 1), r.ty.shape.clone());
    let r = c.b.binary(ttk_ir::Binary::Min, &r, &last);
    Ok(c.b.cast(&r, DType::I64).into())
}

fn randint_like(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let (low, high, at) = if c.overload == 0 { (0, c.int(1)?, 2) } else { (c.int(1)?, c.int(2)?, 3) };
    let dtype = c.opt_dtype(at)?.unwrap_or(t.dtype());
    let g = random::default_generator();
    let x = random::integers(&mut c.b, &g, low, high, &t.sizes())?;
    Ok(c.b.cast(&x, dtype).into())
}

fn random_in_place(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    let dtype = t.dtype();
    if c.overload == 0 {
        let g = c.generator(1)?;
        if g.gpu().is_some() {
            let x = random::gpu::any_integers(&mut c.b, &g, dtype, &t.sizes())?;
            return Ok(c.b.cast(&x, dtype).into());
        }
    }
    let most = match dtype {
        DType::F64 => 1 << 53,
        DType::F32 => 1 << 24,
        DType::F16 => 1 << 11,
        DType::BF16 => 1 << 8,
        DType::Bool => 2,
        DType::I64 if c.overload == 0 => {
            let g = c.generator(1)?;
            return Ok(random::integers_from(&mut c.b, &g, 0, 1 << 63, &t.sizes())?.into());
        }
        _ => dtype.int_range().map_or(i64::MAX, |(_, high)| high.saturating_add(1)),
    };
    let (low, high, at) = match c.overload {
        0 => (0, most, 1),
        1 => (0, c.int(1)?, 2),
        _ => (c.int(1)?, c.opt_int(2)?.unwrap_or(most), 3),
    };
    let g = c.generator(at)?;
    let x = random::integers(&mut c.b, &g, low, high, &t.sizes())?;
    Ok(c.b.cast(&x, dtype).into())
}

fn drawn_like(
    c: &mut Call<'_>,
    f: fn(&mut crate::record::Recorder, &random::Generator, DType, &[i64]) -> Result<Value>,
) -> Result<Returned> {
    let t: Tensor = c.tensor(0)?;
    let dtype = c.opt_dtype(1)?.unwrap_or(t.dtype());
    if !dtype.is_float() {
        return Err(Error::NotForDtype { op: c.name(), dtype: crate::error::scalar_type_name(dtype) });
    }
    let g = random::default_generator();
    Ok(f(&mut c.b, &g, dtype, &t.sizes())?.into())
}

/// Writes what `f` draws over argument 0.
fn fill_with(c: &mut Call<'_>, f: impl FnOnce(&mut Call<'_>) -> Result<Returned>) -> Result<Returned> {
    let t = c.tensor(0)?;
    match f(c)? {
        Returned::Tensor(drawn) => {
            crate::ops::invoke::write_result(&t, drawn.value())?;
            Ok(t.into())
        }
        other => Ok(other),
    }
}

rows! {
    "rand" Torch "fo" Nothing ["(int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Uniform numbers in [0, 1)." => |c| drawn(c, random::uniform);
    "randn" Torch "fo" Nothing ["(int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Standard normal numbers." => |c| drawn(c, random::normal);
    "randint" Torch "fo" Nothing [
        "(int high, int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor",
        "(int low, int high, int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Integers in `low` (0) to `high` without it." => integers;
    "randperm" Torch "fo" Nothing ["(int n, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "A random permutation of 0 to n - 1." => |c| {
            let n = c.int(0)?;
            if n < 0 {
                return Err(Error::runtime("n must be non-negative"));
            }
            let g = c.generator(1)?;
            let dtype = c.opt_dtype(2)?.unwrap_or(DType::I64);
            let x = random::permutation(&g, n)?;
            Ok(c.b.cast(&x, dtype).into())
        };
    "rand_like" Torch "f" Nothing ["(Tensor self, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Uniform numbers of the sizes of self." => |c| drawn_like(c, random::uniform);
    "randn_like" Torch "f" Nothing ["(Tensor self, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Normal numbers of the sizes of self." => |c| drawn_like(c, random::normal);
    "randint_like" Torch "f" Nothing ["(Tensor self, int high, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor",
        "(Tensor self, int low, int high, *, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False, memory_format? memory_format=None) -> Tensor"]
        "Integers of the sizes of self." => randint_like;
    "normal" Torch "fo" Nothing ["(Operand mean, Operand std=1.0, *, Generator? generator=None) -> Tensor",
        "(Operand mean, Operand std, int[] size, *, Generator? generator=None, dtype? dtype=None, layout? layout=None, device? device=None, bool? pin_memory=False, bool requires_grad=False) -> Tensor"]
        "Normal numbers of given means and deviations." => normal;
    "bernoulli" Torch "fmo" Nothing ["(Tensor self, *, Generator? generator=None) -> Tensor", "(Tensor self, float p, *, Generator? generator=None) -> Tensor"]
        "1 with the probability that each element is, else 0." => bernoulli;
    "multinomial" Torch "fmo" Nothing ["(Tensor self, int num_samples, bool replacement=False, *, Generator? generator=None) -> Tensor"]
        "Class numbers drawn with the given weights." => multinomial;
    "bernoulli_" Torch "m" Nothing ["(Tensor self, Operand p=0.5, *, Generator? generator=None) -> Tensor"]
        "Filled with 1 at probability p, else 0." => |c| fill_with(c, bernoulli_in_place);
    "uniform_" Torch "m" Nothing ["(Tensor self, float from=0, float to=1, *, Generator? generator=None) -> Tensor"]
        "Filled with uniform numbers." => |c| fill_with(c, uniform_in_place);
    "normal_" Torch "m" Nothing ["(Tensor self, float mean=0, float std=1, *, Generator? generator=None) -> Tensor"]
        "Filled with normal numbers." => |c| fill_with(c, normal_in_place);
    "log_normal_" Torch "m" Nothing ["(Tensor self, float mean=1, float std=2, *, Generator? generator=None) -> Tensor"]
        "Filled with exponentials of normal numbers." => |c| fill_with(c, |c| {
            let std = c.float(2)?;
            if std <= 0.0 { return Err(Error::runtime(format!("log_normal_ expects std > 0.0, but found std={std}"))); }
            match normal_in_place(c)? {
                Returned::Tensor(t) => { let x = t.value(); Ok(c.b.unary(Unary::Exp, &x).into()) }
                other => Ok(other),
            }
        });
    "exponential_" Torch "m" Nothing ["(Tensor self, float lambd=1, *, Generator? generator=None) -> Tensor"]
        "Filled with exponential numbers." => |c| fill_with(c, |c| {
            let rate = c.float(1)?;
            if rate <= 0.0 { return Err(Error::runtime(format!("exponential_ expects lambda > 0.0, but found lambda={rate}"))); }
            like(c, Some(2), |b, g, d, s| exponential(b, g, d, s, rate))
        });
    "cauchy_" Torch "m" Nothing ["(Tensor self, float median=0, float sigma=1, *, Generator? generator=None) -> Tensor"]
        "Filled with numbers of Cauchy's distribution." => |c| fill_with(c, |c| {
            let (median, sigma) = (c.float(1)?, c.float(2)?);
            if sigma <= 0.0 { return Err(Error::runtime(format!("cauchy_ expects sigma > 0.0, but found sigma={sigma}"))); }
            like(c, Some(3), |b, g, d, s| {
                // median + sigma tan(pi (u - 1/2)), in double precision.
                let u = random::uniform(b, g, DType::F64, s)?;
                let angle = affine(b, &u, std::f64::consts::PI, -std::f64::consts::FRAC_PI_2);
                let tangent = super::support::with1(b, &angle, crate::composite::special::tan);
                let x = affine(b, &tangent, sigma, median);
                Ok(b.cast(&x, d))
            })
        });
    "geometric_" Torch "m" Nothing ["(Tensor self, float p, *, Generator? generator=None) -> Tensor"]
        "Filled with numbers of trials up to the first success of probability p." => |c| fill_with(c, |c| {
            let p = c.float(1)?;
            if !(p > 0.0 && p < 1.0) { return Err(Error::runtime(format!("geometric_ expects p to be in (0, 1), but got p={p}"))); }
            like(c, Some(2), |b, g, d, s| {
                if g.gpu().is_some() {
                    return random::gpu::geometric(b, g, d, s, p);
                }
                let u = random::uniform(b, g, DType::F64, s)?;
                let log = b.unary(Unary::Log, &u);
                let trials = b.scale(&log, 1.0 / (-p).ln_1p());
                let x = super::support::with1(b, &trials, crate::composite::rounding::ceil);
                Ok(b.cast(&x, d))
            })
        });
    "random_" Torch "m" Nothing ["(Tensor self, *, Generator? generator=None) -> Tensor", "(Tensor self, int to, *, Generator? generator=None) -> Tensor",
        "(Tensor self, int from, int? to, *, Generator? generator=None) -> Tensor"]
        "Filled with integers." => |c| fill_with(c, random_in_place);
}
