//! Convolutions and pooling.

use super::rows;
use super::support::{drop_axes, require_float, with1};
use crate::composite::Scope;
use crate::composite::convolution::{Convolution, conv_transpose, convolution};
use crate::composite::pooling::{self, Pool};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::args::Arg;
use crate::ops::call::{Call, Returned};
use ttk_ir::Builder;

/// One number for each spatial axis.
fn spread(c: &Call<'_>, i: usize, n: usize) -> Result<Vec<i64>> {
    match c.ints(i)? {
        [one] => Ok(vec![*one; n]),
        list if list.len() == n => Ok(list.to_vec()),
        list => Err(Error::runtime(format!(
            "expected {} to be a single integer value or a list of {n} values to match the convolution dimensions, but got {list:?}",
            c.name()
        ))),
    }
}

/// A kernel is at least one element wide.
fn kernel_has_elements(kernel: &[i64]) -> Result<()> {
    if kernel.iter().all(|&k| k > 0) {
        return Ok(());
    }
    let sizes = match *kernel {
        [w] => format!(" kernel_height: 1 kernel_width: {w}"),
        [h, w] => format!(" kernel_height: {h} kernel_width: {w}"),
        [t, h, w, ..] => format!(": {t} x {h} x {w} (TxHxW)"),
        [] => String::new(),
    };
    Err(Error::runtime(format!("kernel size should be greater than zero, but got{sizes}")))
}

fn conv(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let (mut x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let groups = c.int(6)?;
    let (stride, dilation) = (spread(c, 3, n)?, spread(c, 5, n)?);
    if w.ty.rank() != n + 2 {
        return Err(Error::runtime(format!(
            "expected {}D weight for conv{n}d, but got weight of size {:?}",
            n + 2,
            w.dims().as_slice()
        )));
    }
    let batched = x.ty.rank() == n + 2;
    if !batched {
        if x.ty.rank() != n + 1 {
            return Err(Error::runtime(format!(
                "Expected {}D (unbatched) or {}D (batched) input to conv{n}d, but got input of size: {:?}",
                n + 1,
                n + 2,
                x.dims().as_slice()
            )));
        }
        let mut sizes = x.dims();
        sizes.insert(0, 1);
        x = c.b.reshape(&x, ttk_ir::shape::shape(&sizes));
    }
    let kernel: Vec<i64> = w.dims()[2..].to_vec();
    let padding: Vec<(i64, i64)> = match &c.args[4] {
        Arg::Str(s) if s == "valid" => vec![(0, 0); n],
        Arg::Str(s) if s == "same" => {
            if stride.iter().any(|&s| s != 1) {
                return Err(Error::runtime("padding='same' is not supported for strided convolutions"));
            }
            Convolution::same(&kernel, &dilation)
        }
        Arg::Str(s) => {
            return Err(Error::runtime(format!(
                "Invalid padding string {s:?}, should be one of 'valid', 'same'"
            )));
        }
        _ => spread(c, 4, n)?.into_iter().map(|p| (p, p)).collect(),
    };
    if groups <= 0 {
        return Err(Error::runtime("non-positive groups is not supported"));
    }
    if stride.iter().any(|&s| s <= 0) {
        return Err(Error::runtime("non-positive stride is not supported"));
    }
    if dilation.iter().any(|&s| s <= 0) {
        return Err(Error::runtime("dilation should be greater than zero"));
    }
    if padding.iter().any(|&(a, b)| a < 0 || b < 0) {
        return Err(Error::runtime("negative padding is not supported"));
    }
    kernel_has_elements(&kernel)?;
    let (xs, ws) = (x.dims(), w.dims());
    if ws[0] % groups != 0 || ws[0] < groups {
        return Err(Error::runtime(format!(
            "Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {:?} instead",
            ws.as_slice()
        )));
    }
    if xs[1] != ws[1] * groups {
        return Err(Error::runtime(format!(
            "Given groups={groups}, weight of size {:?}, expected input{:?} to have {} channels, but got {} channels instead",
            ws.as_slice(),
            xs.as_slice(),
            ws[1] * groups,
            xs[1]
        )));
    }
    if x.ty.dtype != w.ty.dtype {
        return Err(Error::runtime(format!(
            "Input type ({}) and weight type ({}) should be the same",
            scalar_type_name(x.ty.dtype),
            scalar_type_name(w.ty.dtype)
        )));
    }
    if let Some(b) = &bias
        && b.dims().as_slice() != [ws[0]]
    {
        return Err(Error::runtime(format!(
            "Given weight of size {:?}, expected bias to be 1-dimensional with {} elements, but got bias of size {:?} instead",
            ws.as_slice(),
            ws[0],
            b.dims().as_slice()
        )));
    }
    for i in 0..n {
        let have = xs[2 + i] + padding[i].0 + padding[i].1;
        let need = dilation[i] * (kernel[i] - 1) + 1;
        if have < need {
            return Err(Error::runtime(format!(
                "Calculated padded input size per channel: {have}. Kernel size: {need}. Kernel size can't be greater than actual input size"
            )));
        }
    }
    let settings = Convolution { stride, padding, dilation, groups };
    let scope = Scope::new(&mut c.b);
    let (xv, wv) = (scope.val(&x), scope.val(&w));
    let bv = bias.as_ref().map(|b| scope.val(b));
    let y = convolution(&xv, &wv, bv.as_ref(), &settings).into_value();
    Ok(unbatch(c, y, batched).into())
}

fn unbatch(c: &mut Call<'_>, y: Value, batched: bool) -> Value {
    if batched { y } else { drop_axes(&mut c.b, &y, &[0], false) }
}

fn conv_transposed(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let (mut x, w, bias) = (c.value(0)?, c.value(1)?, c.opt_value(2)?);
    let (stride, padding, extra) = (spread(c, 3, n)?, spread(c, 4, n)?, spread(c, 5, n)?);
    let (groups, dilation) = (c.int(6)?, spread(c, 7, n)?);
    let batched = x.ty.rank() == n + 2;
    if !batched {
        if x.ty.rank() != n + 1 {
            return Err(Error::runtime(format!(
                "Expected {}D (unbatched) or {}D (batched) input to conv_transpose{n}d, but got input of size: {:?}",
                n + 1,
                n + 2,
                x.dims().as_slice()
            )));
        }
        let mut sizes = x.dims();
        sizes.insert(0, 1);
        x = c.b.reshape(&x, ttk_ir::shape::shape(&sizes));
    }
    let ws = w.dims();
    if ws.len() != n + 2 || groups <= 0 || x.dims()[1] != ws[0] || ws[0] % groups != 0 {
        return Err(Error::runtime(format!(
            "Given transposed=1, weight of size {:?}, expected input{:?} to have {} channels, but got {} channels instead",
            ws.as_slice(),
            x.dims().as_slice(),
            ws.first().copied().unwrap_or(0),
            x.dims()[1]
        )));
    }
    if x.ty.dtype != w.ty.dtype
        || stride.iter().chain(&dilation).any(|&s| s <= 0)
        || padding.iter().any(|&p| p < 0)
    {
        return Err(Error::runtime(
            "conv_transpose: types must agree, strides and dilations be positive, padding not negative",
        ));
    }
    kernel_has_elements(&ws[2..])?;
    for i in 0..n {
        if extra[i] < 0 || (extra[i] >= stride[i] && extra[i] >= dilation[i]) {
            return Err(Error::runtime(format!(
                "output padding must be smaller than either stride or dilation, but got output_padding: {extra:?} stride: {stride:?} dilation: {dilation:?}"
            )));
        }
        let size =
            (x.dims()[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (ws[2 + i] - 1) + extra[i] + 1;
        if size <= 0 {
            return Err(Error::runtime(
                "Given input size per channel, the calculated output size is too small",
            ));
        }
    }
    let padding = padding.into_iter().map(|p| (p, p)).collect();
    let settings = Convolution { stride, padding, dilation, groups };
    let scope = Scope::new(&mut c.b);
    let (xv, wv) = (scope.val(&x), scope.val(&w));
    let bv = bias.as_ref().map(|b| scope.val(b));
    let y = conv_transpose(&xv, &wv, bv.as_ref(), &settings, &extra).into_value();
    Ok(unbatch(c, y, batched).into())
}

/// The windows of a pooling: arguments kernel, stride, padding and (if any) dilation.
fn pools(c: &Call<'_>, n: usize, x: &Value, dilated: bool) -> Result<Vec<Pool>> {
    let rank = x.ty.rank();
    if rank != n + 1 && rank != n + 2 {
        return Err(Error::runtime(format!(
            "{}(): Expected {}D or {}D tensor for input, but got {:?}",
            c.name(),
            n + 1,
            n + 2,
            x.dims().as_slice()
        )));
    }
    let size = spread(c, 1, n)?;
    let stride = match c.opt_ints(2)? {
        Some([]) | None => size.clone(),
        Some(_) => spread(c, 2, n)?,
    };
    let padding = spread(c, 3, n)?;
    let dilation = if dilated { spread(c, 4, n)? } else { vec![1; n] };
    let mut out = Vec::new();
    for i in 0..n {
        if size[i] <= 0 || stride[i] <= 0 || dilation[i] <= 0 || padding[i] < 0 {
            return Err(Error::runtime(format!(
                "{}(): kernel size, stride and dilation must be greater than zero, and padding non-negative",
                c.name()
            )));
        }
        let reach = (size[i] - 1).saturating_mul(dilation[i]).saturating_add(1);
        if reach == i64::MAX {
            return Err(Error::runtime(format!("{}: effective kernel size overflows", c.name())));
        }
        if padding[i] > reach / 2 {
            return Err(Error::runtime(format!(
                "pad should be at most half of effective kernel size, but got pad={}, kernel_size={} and dilation={}",
                padding[i], size[i], dilation[i]
            )));
        }
        out.push(Pool { size: size[i], stride: stride[i], padding: padding[i], dilation: dilation[i] });
    }
    Ok(out)
}

fn check_pooled(x: &Value, pools: &[Pool], ceil: bool) -> Result<()> {
    let dims = x.dims();
    for (p, &n) in pools.iter().zip(&dims[dims.len() - pools.len()..]) {
        if p.count(n, ceil) <= 0 {
            return Err(Error::runtime(format!(
                "Given input size: {:?}. Calculated output size is too small",
                dims.as_slice()
            )));
        }
    }
    Ok(())
}

fn max_pool(c: &mut Call<'_>, n: usize, both: bool) -> Result<Returned> {
    let x = c.value(0)?;
    let pools = pools(c, n, &x, true)?;
    let ceil = c.bool(5)?;
    let dims = x.dims();
    if dims[dims.len() - n - 1..].contains(&0) {
        return Err(Error::runtime(match n {
            1 => format!(
                "max_pool1d() Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{:?}",
                dims.as_slice()
            ),
            _ => format!(
                "max_pool{n}d(): Expected input to have non-zero size for non-batch dimensions, but got {:?}",
                dims.as_slice()
            ),
        }));
    }
    check_pooled(&x, &pools, ceil)?;
    let both = both || c.bool(6)?;
    let scope = Scope::new(&mut c.b);
    let xv = scope.val(&x);
    let (v, i) = pooling::max_pool(&xv, &pools, ceil);
    let (v, i) = (v.into_value(), i.into_value());
    Ok(if both { super::support::named(&[], v, i) } else { v.into() })
}

fn avg_pool(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let pools = pools(c, n, &x, false)?;
    let (ceil, count) = (c.bool(4)?, c.bool(5)?);
    let divisor = if c.args.len() > 6 { c.opt_int(6)? } else { None };
    if divisor == Some(0) {
        return Err(Error::runtime("divisor must be not zero"));
    }
    require_float(c, &x)?;
    check_pooled(&x, &pools, ceil)?;
    Ok(with1(&mut c.b, &x, |x| pooling::avg_pool(x, &pools, ceil, count, divisor)).into())
}

fn adaptive_sizes(c: &Call<'_>, n: usize, x: &Value) -> Result<Vec<i64>> {
    let dims = x.dims();
    if dims.len() != n + 1 && dims.len() != n + 2 {
        return Err(Error::runtime(format!(
            "{}(): Expected {}D or {}D tensor, but got {:?}",
            c.name(),
            n + 1,
            n + 2,
            dims.as_slice()
        )));
    }
    let sizes = spread(c, 1, n)?;
    if sizes.iter().any(|&s| s < if n == 1 { 0 } else { -1 }) {
        return Err(Error::runtime(
            "adaptive pooling: elements of output_size must be greater than or equal to 0",
        ));
    }
    Ok(sizes.iter().zip(&dims[dims.len() - n..]).map(|(&s, &d)| if s == -1 { d } else { s }).collect())
}

fn adaptive_avg(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let sizes = adaptive_sizes(c, n, &x)?;
    Ok(with1(&mut c.b, &x, |x| pooling::adaptive_avg_pool(x, &sizes)).into())
}

fn adaptive_max(c: &mut Call<'_>, n: usize) -> Result<Returned> {
    let x = c.value(0)?;
    let sizes = adaptive_sizes(c, n, &x)?;
    let both = c.bool(2)?;
    let (v, i) = super::support::pair1(&mut c.b, &x, |x| pooling::adaptive_max_pool(x, &sizes));
    Ok(if both { super::support::named(&[], v, i) } else { v.into() })
}

rows! {
    "conv1d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, int[1] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, str padding='valid', int[1] dilation=1, int groups=1) -> Tensor"]
        "Convolution over one axis." => |c| conv(c, 1);
    "conv2d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, str padding='valid', int[2] dilation=1, int groups=1) -> Tensor"]
        "Convolution over two axes." => |c| conv(c, 2);
    "conv3d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] dilation=1, int groups=1) -> Tensor",
        "(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, str padding='valid', int[3] dilation=1, int groups=1) -> Tensor"]
        "Convolution over three axes." => |c| conv(c, 3);
    "conv_transpose1d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[1] stride=1, int[1] padding=0, int[1] output_padding=0, int groups=1, int[1] dilation=1) -> Tensor"]
        "The adjoint of a convolution over one axis." => |c| conv_transposed(c, 1);
    "conv_transpose2d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[2] stride=1, int[2] padding=0, int[2] output_padding=0, int groups=1, int[2] dilation=1) -> Tensor"]
        "The adjoint of a convolution over two axes." => |c| conv_transposed(c, 2);
    "conv_transpose3d" Nn "f" Inputs ["(Tensor self, Tensor weight, Tensor? bias=None, int[3] stride=1, int[3] padding=0, int[3] output_padding=0, int groups=1, int[3] dilation=1) -> Tensor"]
        "The adjoint of a convolution over three axes." => |c| conv_transposed(c, 3);
    "max_pool1d" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 1, false);
    "max_pool2d" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 2, false);
    "max_pool3d" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, bool return_indices=False) -> Tensor"]
        "The largest element of each window." => |c| max_pool(c, 3, false);
    "max_pool1d_with_indices" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, int[1] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 1, true);
    "max_pool2d_with_indices" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, int[2] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 2, true);
    "max_pool3d_with_indices" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, int[3] dilation=1, bool ceil_mode=False, bool return_indices=True) -> (Tensor, Tensor)"]
        "The largest element of each window, and where it is." => |c| max_pool(c, 3, true);
    "avg_pool1d" Nn "f" Inputs ["(Tensor self, int[1] kernel_size, int[1]? stride=None, int[1] padding=0, bool ceil_mode=False, bool count_include_pad=True) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 1);
    "avg_pool2d" Nn "f" Inputs ["(Tensor self, int[2] kernel_size, int[2]? stride=None, int[2] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 2);
    "avg_pool3d" Nn "f" Inputs ["(Tensor self, int[3] kernel_size, int[3]? stride=None, int[3] padding=0, bool ceil_mode=False, bool count_include_pad=True, int? divisor_override=None) -> Tensor"]
        "The mean of each window." => |c| avg_pool(c, 3);
    "adaptive_avg_pool1d" Nn "f" Inputs ["(Tensor self, int[1] output_size) -> Tensor"] "Means of windows, so many." => |c| adaptive_avg(c, 1);
    "adaptive_max_pool1d" Nn "f" Inputs ["(Tensor self, int[1] output_size, bool return_indices=False) -> Tensor"] "Largest elements of windows, so many." => |c| adaptive_max(c, 1);
}
