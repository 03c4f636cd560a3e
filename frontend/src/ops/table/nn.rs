//! `torch.nn.functional`: activations, dense layers, attention, padding.

use super::rows;
use super::support::{V, require_float, same1, to_float, with1, with2};
use crate::composite::activation::{self as act, Gelu};
use crate::composite::attention::{Attention, scaled_dot_product_attention};
use crate::composite::padding::{self, Padding};
use crate::composite::{Scope, embedding, linear};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Returned, normalize_dim};
use crate::random;
use ttk_ir::{Builder, DType};

/// An activation of one argument and `inplace`, which is given last.
fn activation(c: &mut Call<'_>, f: impl for<'r> FnOnce(&V<'r>) -> V<'r>) -> Result<Returned> {
    let x = c.value(0)?;
    require_float(c, &x)?;
    let y = with1(&mut c.b, &x, f);
    finish_in_place(c, y)
}

/// Writes the result over the input when the last argument, `inplace`, asks for it.
fn finish_in_place(c: &Call<'_>, y: Value) -> Result<Returned> {
    if matches!(c.args.last(), Some(Arg::Bool(true))) {
        let t = c.tensor(0)?;
        crate::ops::invoke::write_result(&t, y)?;
        return Ok(t.into());
    }
    Ok(y.into())
}

fn relu(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.dtype == DType::Bool {
        return Err(Error::runtime("Boolean inputs not supported for relu"));
    }
    let y = with1(&mut c.b, &x, act::relu);
    finish_in_place(c, y)
}

fn gelu(c: &mut Call<'_>) -> Result<Returned> {
    let form = match c.str(1)? {
        "none" => Gelu::None,
        "tanh" => Gelu::Tanh,
        other => {
            return Err(Error::runtime(format!(
                "approximate argument must be either none or tanh. (got {other})"
            )));
        }
    };
    let x = c.value(0)?;
    require_float(c, &x)?;
    Ok(with1(&mut c.b, &x, |x| act::gelu(x, form)).into())
}

fn check_linear(x: &Value, w: &Value, b: Option<&Value>) -> Result<()> {
    let (xs, ws) = (x.dims(), w.dims());
    if ws.len() > 2 || ws.is_empty() {
        return Err(Error::runtime("linear(): weight must be a matrix or a vector"));
    }
    if x.ty.dtype != w.ty.dtype {
        return Err(Error::runtime(format!(
            "mat1 and mat2 must have the same dtype, but got {} and {}",
            scalar_type_name(x.ty.dtype),
            scalar_type_name(w.ty.dtype)
        )));
    }
    let k = ws[ws.len() - 1];
    if xs.last() != Some(&k) {
        let rows: i64 = xs[..xs.len().saturating_sub(1)].iter().product();
        return Err(Error::runtime(format!(
            "{}: mat1 and mat2 shapes cannot be multiplied ({rows}x{} and {k}x{})",
            if b.is_some() { "addmm" } else { "mm" },
            xs.last().copied().unwrap_or(1),
            ws[0]
        )));
    }
    if let Some(b) = b
        && ws.len() == 2
        && b.ty.rank() == 1
        && b.dims()[0] != ws[0]
        && b.dims()[0] != 1
    {
        return Err(Error::runtime(format!(
            "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension 1.",
            ws[0],
            b.dims()[0]
        )));
    }
    Ok(())
}

fn linear_(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    check_linear(&x, &w, bias.as_ref())?;
    let scope = Scope::new(&mut c.b);
    let (x, w) = (scope.val(&x), scope.val(&w));
    let bias = bias.as_ref().map(|b| scope.val(b));
    Ok(linear::linear(&x, &w, bias.as_ref()).into_value().into())
}

fn embed(c: &mut Call<'_>, weight: usize, index: usize, padding: Option<i64>) -> Result<Returned> {
    let (w, i) = (c.value(weight)?, c.value(index)?);
    if !matches!(i.ty.dtype, DType::I64 | DType::I32) {
        return Err(Error::runtime(format!(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding)",
            scalar_type_name(i.ty.dtype)
        )));
    }
    if w.ty.rank() != 2 {
        return Err(Error::runtime("'weight' must be 2-D"));
    }
    Ok(with2(&mut c.b, &w, &i, |w, i| embedding::embedding(w, i, padding)).into())
}

fn dropout(c: &mut Call<'_>, p: f64, training: bool, feature: bool) -> Result<Value> {
    let x = c.value(0)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::Plain {
            exception: crate::error::Exception::Value,
            detail: format!("dropout probability has to be between 0 and 1, but got {p}"),
        });
    }
    if !training || p == 0.0 || x.dims().contains(&0) {
        return Ok(x);
    }
    if p == 1.0 {
        let zero = c.b.full_like(&x, 0.0);
        return Ok(c.b.mul(&x, &zero));
    }
    let mut sizes = x.dims();
    if feature {
        sizes.iter_mut().skip(2).for_each(|n| *n = 1);
    }
    let g = random::default_generator();
    if g.gpu().is_some() && !feature {
        // PyTorch's kernel: input times mask times scale, in `f32` for the 16-bit types.
        let kept = random::gpu::kept(&mut c.b, &g, 1.0 - p, &sizes)?;
        let wide = if x.ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let (mask, value) = (c.b.cast(&kept, wide), c.b.cast(&x, wide));
        let value = c.b.mul(&value, &mask);
        let value = match wide {
            DType::F64 => c.b.scale(&value, 1.0 / (1.0 - p)),
            _ => c.b.scale(&value, ((1.0 / f64::from((1.0 - p) as f32)) as f32).into()),
        };
        return Ok(c.b.cast(&value, x.ty.dtype));
    }
    let kept = random::bernoulli(&mut c.b, &g, 1.0 - p, x.ty.dtype, &sizes)?;
    // PyTorch's: the mask as a number, divided by the probability, times the input.
    let mask = c.b.cast(&kept, x.ty.dtype);
    let by = c.b.full_like(&mask, 1.0 - p);
    let mask = c.b.div(&mask, &by);
    let mask = c.b.expand(&mask, x.ty.shape.clone());
    Ok(c.b.mul(&x, &mask))
}

fn attention(c: &mut Call<'_>) -> Result<Returned> {
    let (q, k, v, mask) = (c.value(0)?, c.value(1)?, c.value(2)?, c.opt_value(3)?);
    let (p, is_causal, scale, enable_gqa) = (c.float(4)?, c.bool(5)?, c.opt_float(6)?, c.bool(7)?);
    let (qs, ks, vs) = (q.dims(), k.dims(), v.dims());
    if qs.len() < 2 || ks.len() < 2 || vs.len() < 2 {
        return Err(Error::runtime(
            "scaled_dot_product_attention: Expected query, key and value to be at least 2 dimensional",
        ));
    }
    if q.ty.dtype != k.ty.dtype || q.ty.dtype != v.ty.dtype {
        return Err(Error::runtime("Expected query, key, and value to have the same dtype"));
    }
    if qs[qs.len() - 1] != ks[ks.len() - 1] || ks[ks.len() - 2] != vs[vs.len() - 2] {
        return Err(Error::runtime(format!(
            "scaled_dot_product_attention: sizes of query {:?}, key {:?} and value {:?} do not fit",
            qs.as_slice(),
            ks.as_slice(),
            vs.as_slice()
        )));
    }
    if is_causal && mask.is_some() {
        return Err(Error::runtime(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True",
        ));
    }
    let mut sizes: Vec<i64> = qs[..qs.len() - 1].to_vec();
    sizes.push(ks[ks.len() - 2]);
    let keep = if p > 0.0 {
        let g = random::default_generator();
        let kept = random::bernoulli(&mut c.b, &g, 1.0 - p, q.ty.dtype, &sizes)?;
        let m = c.b.cast(&kept, q.ty.dtype);
        let by = c.b.full_like(&m, 1.0 - p);
        Some(c.b.div(&m, &by))
    } else {
        None
    };
    let mask = mask.map(|m| if m.ty.dtype == DType::Bool { m } else { c.b.cast(&m, q.ty.dtype) });
    let scope = Scope::new(&mut c.b);
    let (qv, kv, vv) = (scope.val(&q), scope.val(&k), scope.val(&v));
    let (mv, dv) = (mask.as_ref().map(|m| scope.val(m)), keep.as_ref().map(|d| scope.val(d)));
    let settings = Attention { is_causal, scale, enable_gqa };
    Ok(scaled_dot_product_attention(&qv, &kv, &vv, mv.as_ref(), dv.as_ref(), settings).into_value().into())
}

fn pad(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    let list = c.ints(1)?;
    let rank = x.ty.rank();
    if list.len() % 2 != 0 {
        return Err(Error::runtime("Padding length must be divisible by 2"));
    }
    if list.len() / 2 > rank {
        return Err(Error::runtime(format!(
            "Padding length should be less than or equal to two times the input dimension but got padding length {} and input of dimension {rank}",
            list.len()
        )));
    }
    let kind = match c.str(2)? {
        "constant" => Padding::Constant(c.opt_float(3)?.unwrap_or(0.0)),
        "reflect" => Padding::Reflect,
        "replicate" => Padding::Replicate,
        "circular" => Padding::Circular,
        other => {
            return Err(Error::Plain {
                exception: crate::error::Exception::NotImplemented,
                detail: format!("Unrecognised padding mode {other}"),
            });
        }
    };
    let mut amounts = vec![(0, 0); rank];
    for (i, pair) in list.chunks_exact(2).enumerate() {
        amounts[rank - 1 - i] = (pair[0], pair[1]);
    }
    for (axis, &(low, high)) in amounts.iter().enumerate() {
        let n = x.dims()[axis];
        if n + low + high < 0 {
            return Err(Error::runtime(format!(
                "The input size {n}, plus negative padding {low} and {high}, resulted in a negative output size, which is invalid. Check dimension {axis} of your input."
            )));
        }
        let most = match kind {
            Padding::Reflect => n - 1,
            Padding::Circular => n,
            Padding::Constant(_) | Padding::Replicate => i64::MAX,
        };
        if (low > 0 && low > most) || (high > 0 && high > most) {
            return Err(Error::runtime(format!(
                "Argument #4: Padding size should be less than the corresponding input dimension, but got: padding ({low}, {high}) at dimension {axis} of input {:?}",
                x.dims().as_slice()
            )));
        }
    }
    let pads_some = !matches!(kind, Padding::Constant(_));
    if pads_some && (list.len() / 2 + 1 > rank || list.len() / 2 + 2 < rank) {
        return Err(Error::Plain {
            exception: crate::error::Exception::NotImplemented,
            detail: "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now".into(),
        });
    }
    Ok(with1(&mut c.b, &x, |x| padding::pad(x, &amounts, kind)).into())
}

fn one_hot(c: &mut Call<'_>) -> Result<Returned> {
    let t = c.tensor(0)?;
    if t.dtype() != DType::I64 {
        return Err(Error::runtime("one_hot is only applicable to index tensor of type LongTensor."));
    }
    let given = c.int(1)?;
    let found = crate::host::scalars(&t)?;
    let (low, high) = found.iter().fold((0, -1), |(l, h), s| (l.min(s.as_i64()), h.max(s.as_i64())));
    if low < 0 {
        return Err(Error::runtime("Class values must be non-negative."));
    }
    let classes = if given == -1 { high + 1 } else { given };
    if classes <= 0 {
        return Err(Error::runtime("Can not infer total number of classes from empty tensor."));
    }
    if high >= classes {
        return Err(Error::runtime("Class values must be smaller than num_classes."));
    }
    let i = t.value();
    Ok(with1(&mut c.b, &i, |i| embedding::one_hot(i, classes)).into())
}

fn glu(c: &mut Call<'_>) -> Result<Returned> {
    let x = c.value(0)?;
    if x.ty.rank() == 0 {
        return Err(Error::runtime("glu does not support 0-dimensional tensors"));
    }
    let axis = normalize_dim(c.int(1)?, x.ty.rank())?;
    let n = x.dims()[axis];
    if n % 2 != 0 {
        return Err(Error::runtime(format!(
            "Halving dimension must be even, but dimension {axis} is size {n}"
        )));
    }
    Ok(with1(&mut c.b, &x, |x| act::glu(x, axis)).into())
}

fn prelu(c: &mut Call<'_>) -> Result<Returned> {
    let (x, w) = (c.value(0)?, c.value(1)?);
    let n: i64 = w.dims().iter().product();
    if x.ty.rank() == 0 && n != 1 {
        return Err(Error::runtime("Not allow zero-dim input tensor."));
    }
    if w.ty.rank() > 1 {
        return Err(Error::runtime(format!(
            "prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}",
            w.ty.rank()
        )));
    }
    let channels = if x.ty.rank() < 2 { 1 } else { x.dims()[1] };
    if n != 1 && n != channels {
        return Err(Error::runtime(format!(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {n} and channel size = {channels}."
        )));
    }
    Ok(with2(&mut c.b, &x, &w, act::prelu).into())
}

rows! {
    "relu" Torch "fmi" Output ["(Tensor self) -> Tensor"] "max(x, 0)." => |c| same1(c, act::relu);
    "relu" Nn "f" Output ["(Tensor self, bool inplace=False) -> Tensor"] "max(x, 0)." => relu;
    "relu_" Nn "f" Output ["(Tensor self) -> Tensor"] "max(x, 0), in place." => |c| {
            let x = c.value(0)?;
            let y = with1(&mut c.b, &x, act::relu);
            let t = c.tensor(0)?;
            crate::ops::invoke::write_result(&t, y)?;
            Ok(t.into())
        };
    "relu6" Nn "f" Output ["(Tensor self, bool inplace=False) -> Tensor"] "min(max(x, 0), 6)." => |c| activation(c, act::relu6);
    "hardtanh" Nn "f" Output ["(Tensor self, float min_val=-1.0, float max_val=1.0, bool inplace=False) -> Tensor"]
        "x brought into a range." => |c| { let (l, h) = (c.float(1)?, c.float(2)?); if l > h { return Err(Error::value("min_val cannot be greater than max_val")); } activation(c, |x| act::hardtanh(x, l, h)) };
    "leaky_relu" Nn "f" Inputs ["(Tensor self, float negative_slope=0.01, bool inplace=False) -> Tensor"]
        "x where positive, else slope * x." => |c| { let s = c.float(1)?; activation(c, |x| act::leaky_relu(x, s)) };
    "elu" Nn "f" Inputs ["(Tensor self, float alpha=1.0, bool inplace=False) -> Tensor"]
        "x where positive, else alpha * (exp(x) - 1)." => |c| { let a = c.float(1)?; activation(c, |x| act::elu(x, a, 1.0, 1.0)) };
    "selu" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "The self-normalising exponential unit." => |c| activation(c, act::selu);
    "celu" Nn "f" Inputs ["(Tensor self, float alpha=1.0, bool inplace=False) -> Tensor"]
        "max(0, x) + min(0, alpha * (exp(x / alpha) - 1))." => |c| { let a = c.float(1)?; if a == 0.0 { return Err(Error::runtime("ZeroDivisionError: alpha cannot be 0 for CELU")); } activation(c, |x| act::celu(x, a)) };
    "gelu" Nn "f" Inputs ["(Tensor self, *, str approximate='none') -> Tensor"]
        "x times the normal distribution function of x, or its approximation by tanh." => gelu;
    "sigmoid" Nn "f" Output ["(Tensor self) -> Tensor"] "1 / (1 + exp(-x))." => |c| { let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(with1(&mut c.b, &x, act::sigmoid).into()) };
    "tanh" Nn "f" Output ["(Tensor self) -> Tensor"] "The hyperbolic tangent." => |c| { let x = c.value(0)?; let x = to_float(&mut c.b, &x); Ok(c.b.unary(ttk_ir::Unary::Tanh, &x).into()) };
    "logsigmoid" Nn "f" Inputs ["(Tensor self) -> Tensor"] "log(sigmoid(x))." => |c| activation(c, act::logsigmoid);
    "silu" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * sigmoid(x)." => |c| activation(c, act::silu);
    "mish" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * tanh(softplus(x))." => |c| activation(c, act::mish);
    "softplus" Nn "f" Inputs ["(Tensor self, float beta=1, float threshold=20) -> Tensor"]
        "log(1 + exp(beta x)) / beta, x above the threshold." => |c| { let (b, t) = (c.float(1)?, c.float(2)?); activation(c, |x| act::softplus(x, b, t)) };
    "hardsigmoid" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "min(max(x / 6 + 1/2, 0), 1)." => |c| activation(c, act::hardsigmoid);
    "hardswish" Nn "f" Inputs ["(Tensor self, bool inplace=False) -> Tensor"] "x * hardsigmoid(x)." => |c| activation(c, act::hardswish);
    "softshrink" Nn "f" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x brought lambda nearer to 0." => |c| { let l = c.float(1)?; if l < 0.0 { return Err(Error::runtime(format!("lambda must be greater or equal to 0, but found to be {l}."))); } activation(c, |x| act::softshrink(x, l)) };
    "hardshrink" Nn "f" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x, or 0 where it is within lambda." => |c| { let l = c.float(1)?; activation(c, |x| act::hardshrink(x, l)) };
    "hardshrink" Torch "fm" Inputs ["(Tensor self, float lambd=0.5) -> Tensor"]
        "x, or 0 where it is within lambda." => |c| { let l = c.float(1)?; activation(c, |x| act::hardshrink(x, l)) };
    "tanhshrink" Nn "f" Inputs ["(Tensor self) -> Tensor"] "x - tanh(x)." => |c| activation(c, act::tanhshrink);
    "softsign" Nn "f" Inputs ["(Tensor self) -> Tensor"] "x / (1 + |x|)." => |c| activation(c, act::softsign);
    "threshold" Nn "f" Inputs ["(Tensor self, float threshold, float value, bool inplace=False) -> Tensor"]
        "x above a threshold, else a value." => |c| { let (t, v) = (c.float(1)?, c.float(2)?); let x = c.value(0)?; let y = with1(&mut c.b, &x, |x| act::threshold(x, t, v)); finish_in_place(c, y) };
    "prelu" Nn "f" Inputs ["(Tensor self, Tensor weight) -> Tensor"] "x where positive, else weight * x." => prelu;
    "prelu" Torch "fm" Inputs ["(Tensor self, Tensor weight) -> Tensor"] "x where positive, else weight * x." => prelu;
    "glu" Nn "f" Inputs ["(Tensor self, int dim=-1) -> Tensor"] "One half times the sigmoid of the other." => glu;
    "linear" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None) -> Tensor"] "x weight^T + bias." => linear_;
    "dropout" Nn "f" Nothing ["(Tensor self, float p=0.5, bool training=True, bool inplace=False) -> Tensor"]
        "Elements set to 0 with probability p, the others divided by 1 - p." => |c| {
            let (p, training) = (c.float(1)?, c.bool(2)?);
            let y = dropout(c, p, training, false)?;
            if !training || p == 0.0 {
                return Ok(c.tensor(0)?.into());
            }
            finish_in_place(c, y)
        };
    "dropout" Torch "f" Nothing ["(Tensor self, float p, bool train) -> Tensor"]
        "Elements set to 0 with probability p, the others divided by 1 - p." => |c| { let (p, t) = (c.float(1)?, c.bool(2)?); Ok(dropout(c, p, t, false)?.into()) };
    "scaled_dot_product_attention" Nn "f" Inputs ["(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0.0, bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor"]
        "softmax(query key^T / sqrt(width) + mask) value." => attention;
    "pad" Nn "f" Nothing ["(Tensor self, int[] pad, str mode='constant', float? value=None) -> Tensor"]
        "Elements around the last axes, given from the last one on." => pad;
    "constant_pad_nd" Torch "f" Nothing ["(Tensor self, int[] pad, float value=0) -> Tensor"]
        "A constant around the last axes." => |c| {
            let mut args: Vec<Arg> = c.args[..2].to_vec();
            args.push(Arg::Str("constant".into()));
            args.push(c.args[2].clone());
            pad(&mut Call::new(c.row, 0, &args))
        };
    "one_hot" Nn "f" Nothing ["(Tensor self, int num_classes=-1) -> Tensor"] "Class numbers as rows of 0 and 1." => one_hot;
    "embedding" Torch "f" Nothing ["(Tensor weight, Tensor indices, int padding_idx=-1, bool scale_grad_by_freq=False, bool sparse=False) -> Tensor"]
        "Rows of a table." => |c| { let p = c.int(2)?; embed(c, 0, 1, (p >= 0).then_some(p)) };
}
