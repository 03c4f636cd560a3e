//! Products of matrices.

use super::rows;
use super::support::{V, at_least_1d, drop_axes, with1, with2, with3};
use crate::composite::{Scope, distance, einsum::einsum, linear as lin};
use crate::error::{Error, Result, scalar_type_name};
use crate::node::Value;
use crate::ops::call::{Call, Operand, Returned, normalize_dims};
use crate::tensor::Tensor;
use ttk_ir::Builder;

fn same_dtype(x: &Value, y: &Value) -> Result<()> {
    if x.ty.dtype == y.ty.dtype {
        return Ok(());
    }
    Err(Error::runtime(format!(
        "expected m1 and m2 to have the same dtype, but got: {} != {}",
        torch_type(x),
        torch_type(y)
    )))
}

fn torch_type(x: &Value) -> &'static str {
    use ttk_ir::DType::*;
    match x.ty.dtype {
        F64 => "double",
        F32 => "float",
        F16 => "c10::Half",
        BF16 => "c10::BFloat16",
        I64 => "long long",
        I32 => "int",
        I16 => "short",
        I8 => "signed char",
        U8 => "unsigned char",
        Bool => "bool",
    }
}

fn matmul(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    let (a, b) = (x.dims(), y.dims());
    if a.is_empty() || b.is_empty() {
        return Err(Error::runtime(format!(
            "both arguments to matmul need to be at least 1D, but they are {}D and {}D",
            a.len(),
            b.len()
        )));
    }
    same_dtype(&x, &y)?;
    if x.ty.dtype == ttk_ir::DType::Bool {
        let op = match (a.len(), b.len()) {
            (1, 1) => "dot",
            (2, 1) => "addmv_impl_cpu",
            (1 | 2, 2) => "addmm_impl_cpu_",
            _ => "bmm",
        };
        return Err(Error::NotForDtype { op, dtype: "Bool" });
    }
    let k = b[b.len().saturating_sub(2).min(b.len() - 1)];
    let k = if b.len() == 1 { b[0] } else { k };
    if a[a.len() - 1] != k {
        let text = match (a.len(), b.len()) {
            (1, 1) => format!(
                "inconsistent tensor size, expected tensor [{}] and src [{}] to have the same number of elements, but got {} and {} elements respectively",
                a[0], b[0], a[0], b[0]
            ),
            (_, 1) => format!(
                "size mismatch, got input ({}), mat ({}x{}), vec ({})",
                a[0],
                a[0],
                a[a.len() - 1],
                b[0]
            ),
            (1, _) | (2, 2) => format!(
                "mm: mat1 and mat2 shapes cannot be multiplied ({}x{} and {}x{})",
                if a.len() == 1 { 1 } else { a[0] },
                a[a.len() - 1],
                k,
                b[b.len() - 1]
            ),
            _ => format!(
                "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {k}].",
                a[..a.len() - 2].iter().product::<i64>(),
                a[a.len() - 1],
                b[..b.len() - 2].iter().product::<i64>()
            ),
        };
        return Err(Error::runtime(text));
    }
    let batch = |s: &[i64]| s[..s.len().saturating_sub(2)].to_vec();
    crate::ops::call::broadcast_sizes(&batch(&a), &batch(&b))?;
    Ok(with2(&mut c.b, &x, &y, lin::matmul).into())
}

/// Products of operands of fixed ranks.
fn ranked(c: &mut Call<'_>, left: usize, right: usize) -> Result<Returned> {
    let (a, b) = (c.tensor(0)?.rank(), c.tensor(1)?.rank());
    if a != left || b != right {
        let text = match (left, right) {
            (2, 2) if a != 2 => "self must be a matrix".to_owned(),
            (2, 2) => "mat2 must be a matrix".to_owned(),
            (3, 3) => format!("batch{} must be a 3D tensor", if a != 3 { 1 } else { 2 }),
            (1, 1) => format!("1D tensors expected, but got {a}D and {b}D tensors"),
            _ => format!("vector + matrix @ vector expected, got {a}, {b}"),
        };
        return Err(Error::runtime(text));
    }
    if left == 3 && c.tensor(0)?.sizes()[0] != c.tensor(1)?.sizes()[0] {
        let (x, y) = (c.tensor(0)?.sizes(), c.tensor(1)?.sizes());
        return Err(Error::runtime(format!(
            "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: [{}, {}].",
            x[0], x[2], y[0], y[1]
        )));
    }
    matmul(c)
}

/// `beta * input + alpha * (a b)`.
fn add_product(c: &mut Call<'_>, ranks: (usize, usize), batch_sum: bool) -> Result<Returned> {
    let (x, a, b) = (c.value(0)?, c.value(1)?, c.value(2)?);
    let (beta, alpha) = (c.float(3)?, c.float(4)?);
    if (a.ty.rank(), b.ty.rank()) != ranks {
        return Err(Error::runtime(format!(
            "{}: expected operands of {} and {} dimensions, got {} and {}",
            c.name(),
            ranks.0,
            ranks.1,
            a.ty.rank(),
            b.ty.rank()
        )));
    }
    same_dtype(&a, &b)?;
    same_dtype(&x, &a)?;
    let (ad, bd) = (a.dims(), b.dims());
    let (k, l) = (ad[ad.len() - 1], bd[bd.len().saturating_sub(2)]);
    if k != l || (ranks == (3, 3) && ad[0] != bd[0]) {
        return Err(Error::runtime(format!(
            "addmm: mat1 and mat2 shapes cannot be multiplied ({}x{k} and {l}x{})",
            ad[ad.len().saturating_sub(2)],
            bd[bd.len() - 1]
        )));
    }
    let result: Vec<i64> = match ranks {
        (2, 2) => vec![ad[0], bd[1]],
        (2, 1) => vec![ad[0]],
        _ if batch_sum => vec![ad[1], bd[2]],
        _ => vec![ad[0], ad[1], bd[2]],
    };
    let fits = crate::ops::call::broadcast_sizes(&x.dims(), &result).is_ok_and(|s| s.as_slice() == result);
    if !fits {
        return Err(Error::runtime(format!(
            "The expanded size of the tensor ({}) must match the existing size ({}) at non-singleton dimension 0.  Target sizes: {result:?}.  Tensor sizes: {:?}",
            result[0],
            x.dims().first().copied().unwrap_or(1),
            x.dims().as_slice()
        )));
    }
    Ok(with3(&mut c.b, &x, &a, &b, |x, a, b| {
        if batch_sum { lin::addbmm(x, a, b, beta, alpha) } else { lin::addmm(x, a, b, beta, alpha) }
    })
    .into())
}

fn einsum_(c: &mut Call<'_>) -> Result<Returned> {
    let equation = c.str(0)?;
    let operands: Vec<Value> = c.tensors(1)?.iter().map(Tensor::value).collect();
    if operands.is_empty() {
        return Err(Error::runtime("einsum(): must provide at least one operand"));
    }
    let dtype = operands.iter().map(|v| v.ty.dtype).reduce(crate::ops::promote::promote_types);
    let dtype = dtype.unwrap_or(ttk_ir::DType::F32);
    let operands: Vec<Value> = operands.iter().map(|v| c.b.cast(v, dtype)).collect();
    let scope = Scope::new(&mut c.b);
    let vals: Vec<V<'_>> = operands.iter().map(|v| scope.val(v)).collect();
    match einsum(equation, &vals) {
        Ok(y) => Ok(y.into_value().into()),
        Err(e) => Err(Error::runtime(e.to_string())),
    }
}

fn tensordot(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.value(0)?, c.value(1)?);
    let (ra, rb) = (x.ty.rank(), y.ty.rank());
    let (a, b) = match c.overload {
        0 => {
            let n = c.int(2)?;
            if n < 0 || n as usize > ra.min(rb) {
                return Err(Error::runtime(format!("tensordot expects dims >= 0, but got dims={n}")));
            }
            let n = n as usize;
            ((ra - n..ra).collect(), (0..n).collect())
        }
        _ => (normalize_dims(c.ints(2)?, ra)?, normalize_dims(c.ints(3)?, rb)?),
    };
    let (a, b): (Vec<usize>, Vec<usize>) = (a, b);
    same_dtype(&x, &y)?;
    let pairs: Vec<(usize, usize)> = a.iter().copied().zip(b.iter().copied()).collect();
    if a.len() != b.len() {
        return Err(Error::runtime("both dimension lists should have same length"));
    }
    let (mut x, mut y) = (x, y);
    for &(i, j) in &pairs {
        // An axis of size 1 meets every position of the other.
        match (x.dims()[i], y.dims()[j]) {
            (n, m) if n == m => {}
            (1, _) => y = c.b.reduce(ttk_ir::ReduceOp::Sum, &y, &[j]),
            (_, 1) => x = c.b.reduce(ttk_ir::ReduceOp::Sum, &x, &[i]),
            (n, m) => {
                return Err(Error::runtime(format!(
                    "contracted dimensions need to match, but first has size {n} in dim {i} and second has size {m} in dim {j}"
                )));
            }
        }
    }
    Ok(with2(&mut c.b, &x, &y, |x, y| lin::tensordot(x, y, &pairs)).into())
}

fn cross(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let dim = c.opt_int(2)?;
    if let (Operand::Tensor(x), Operand::Tensor(y), Some(d)) = (&x, &y, dim)
        && c.row.space == crate::ops::Space::Linalg
    {
        let (a, b) = (x.sizes(), y.sizes());
        if a.len() != b.len() {
            return Err(Error::runtime("linalg.cross: inputs must have the same number of dimensions."));
        }
        let axis = crate::ops::call::normalize_dim(d, a.len())?;
        if a.get(axis) != Some(&3) || b.get(axis) != Some(&3) {
            let got = |s: &[i64]| s.get(axis).copied().unwrap_or(1);
            return Err(Error::runtime(format!(
                "linalg.cross: inputs dimension {d} must have length 3. Got {} and {}",
                got(&a),
                got(&b)
            )));
        }
    }
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    let rank = x.ty.rank();
    let axis = match dim {
        Some(d) => crate::ops::call::normalize_dim(d, rank)?,
        None => x
            .dims()
            .iter()
            .position(|&n| n == 3)
            .ok_or_else(|| Error::runtime("no dimension of size 3 in input"))?,
    };
    if x.dims().get(axis) != Some(&3) {
        return Err(Error::runtime(format!(
            "inputs dimension {axis} must have length 3. Got {:?}",
            x.dims().as_slice()
        )));
    }
    Ok(with2(&mut c.b, &x, &y, |x, y| lin::cross(x, y, axis)).into())
}

fn vecdot(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    let axis = c.dim(2, x.ty.rank())?;
    let p = c.b.mul(&x, &y);
    let s = c.b.reduce(ttk_ir::ReduceOp::Sum, &p, &[axis]);
    Ok(drop_axes(&mut c.b, &s, &[axis], false).into())
}

fn distances(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y, p) = (c.value(0)?, c.value(1)?, c.float(2)?);
    let (a, b) = (x.dims(), y.dims());
    if a.len() < 2 || b.len() < 2 || a[a.len() - 1] != b[b.len() - 1] || p < 0.0 {
        return Err(Error::runtime(format!(
            "cdist: X1 of sizes {:?} and X2 of sizes {:?} must have at least two dimensions and the same number of columns, and p be non-negative",
            a.as_slice(),
            b.as_slice()
        )));
    }
    Ok(with2(&mut c.b, &x, &y, |x, y| distance::cdist(x, y, p)).into())
}

fn power(c: &mut Call<'_>) -> Result<Returned> {
    let (x, n) = (c.value(0)?, c.int(1)?);
    let d = x.dims();
    if d.len() < 2 || d[d.len() - 1] != d[d.len() - 2] {
        return Err(Error::runtime(
            "linalg.matrix_power: The input tensor A must be batches of square matrices",
        ));
    }
    let x = if n < 0 { super::systems::inverse_of(c, &x, "linalg.inv")? } else { x };
    let n = u32::try_from(n.unsigned_abs())
        .map_err(|_| Error::runtime(format!("linalg.matrix_power: the exponent {n} is too large")))?;
    Ok(with1(&mut c.b, &x, |x| lin::matrix_power(x, n)).into())
}

fn chain(c: &mut Call<'_>) -> Result<Returned> {
    let list: Vec<Value> = c.tensors(0)?.iter().map(Tensor::value).collect();
    let Some((first, rest)) = list.split_first() else {
        return Err(Error::runtime("chain_matmul: Expected one or more matrices"));
    };
    let mut x = first.clone();
    for y in rest {
        same_dtype(&x, y)?;
        if x.dims().last() != y.dims().first() {
            return Err(Error::runtime("mat1 and mat2 shapes cannot be multiplied"));
        }
        x = with2(&mut c.b, &x, y, lin::matmul);
    }
    Ok(x.into())
}

fn outer(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    let (x, y) = (c.operand_value(&x, dtype), c.operand_value(&y, dtype));
    if x.ty.rank() != 1 || y.ty.rank() != 1 {
        return Err(Error::runtime(format!(
            "outer: Expected 1-D argument self, but got {}-D",
            x.ty.rank().max(y.ty.rank())
        )));
    }
    Ok(with2(&mut c.b, &x, &y, lin::outer).into())
}

fn bilinear(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y, w, bias) = (c.value(0)?, c.value(1)?, c.value(2)?, c.opt_value(3)?);
    let (a, b, d) = (x.dims(), y.dims(), w.dims());
    let fits = d.len() == 3
        && a.last() == Some(&d[1])
        && b.last() == Some(&d[2])
        && a[..a.len() - 1] == b[..b.len() - 1];
    if !fits {
        return Err(Error::runtime(format!(
            "bilinear(): input1 of size {:?}, input2 of size {:?} and weight of size {:?} do not fit",
            a.as_slice(),
            b.as_slice(),
            d.as_slice()
        )));
    }
    let scope = Scope::new(&mut c.b);
    let bias = bias.as_ref().map(|b| scope.val(b));
    Ok(lin::bilinear(&scope.val(&x), &scope.val(&y), &scope.val(&w), bias.as_ref()).into_value().into())
}

fn addr(c: &mut Call<'_>) -> Result<Returned> {
    let (x, a, b) = (c.operand(0)?, c.operand(1)?, c.operand(2)?);
    let dtype = c.promote(&[&x, &a, &b]);
    let (beta, alpha) = (c.float(3)?, c.float(4)?);
    let (x, a, b) = (c.operand_value(&x, dtype), c.operand_value(&a, dtype), c.operand_value(&b, dtype));
    if a.ty.rank() != 1 || b.ty.rank() != 1 {
        return Err(Error::runtime(format!("addr: Expected 1-D argument vec1, but got {}-D", a.ty.rank())));
    }
    let target = [a.dims()[0], b.dims()[0]];
    if !crate::ops::call::broadcast_sizes(&x.dims(), &target).is_ok_and(|s| s.as_slice() == target) {
        return Err(Error::runtime(format!(
            "addr: input of size {:?} does not broadcast to {target:?}",
            x.dims().as_slice()
        )));
    }
    Ok(with3(&mut c.b, &x, &a, &b, |x, a, b| lin::addr(x, a, b, beta, alpha)).into())
}

rows! {
    "matmul" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"]
        "The product of vectors, matrices or batches of matrices." => matmul;
    "mm" Torch "fmo" Inputs ["(Tensor self, Tensor mat2) -> Tensor"] "The product of two matrices." => |c| ranked(c, 2, 2);
    "bmm" Torch "fmo" Inputs ["(Tensor self, Tensor mat2) -> Tensor"] "Products of matrices, pair by pair." => |c| ranked(c, 3, 3);
    "mv" Torch "fmo" Inputs ["(Tensor self, Tensor vec) -> Tensor"] "A matrix times a vector." => |c| ranked(c, 2, 1);
    "dot" Torch "fmo" Inputs ["(Tensor self, Tensor tensor) -> Tensor"] "The inner product of two vectors." => |c| ranked(c, 1, 1);
    "vdot" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The inner product of two vectors." => |c| ranked(c, 1, 1);
    "inner" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "Inner products over the last axes." => |c| {
            let (x, y) = (c.value(0)?, c.value(1)?);
            if x.ty.rank() == 0 || y.ty.rank() == 0 {
                let (x, y) = (c.operand(0)?, c.operand(1)?);
                let dtype = c.promote(&[&x, &y]);
                let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
                return Ok(c.b.mul(&x, &y).into());
            }
            same_dtype(&x, &y)?;
            let (a, b) = (x.ty.rank() - 1, y.ty.rank() - 1);
            if x.dims()[a] != y.dims()[b] {
                return Err(Error::runtime(format!("inner() the last dimension must match on both input tensors but got shapes {:?} and {:?}", x.dims().as_slice(), y.dims().as_slice())));
            }
            Ok(with2(&mut c.b, &x, &y, |x, y| lin::tensordot(x, y, &[(a, b)])).into())
        };
    "outer" Torch "fmo" Inputs ["(Tensor self, Tensor vec2) -> Tensor"] "Products of all pairs of elements of two vectors." => outer;
    "ger" Torch "fmo" Inputs ["(Tensor self, Tensor vec2) -> Tensor"] "Products of all pairs of elements of two vectors." => outer;
    "addmm" Torch "fmio" Inputs ["(Tensor self, Tensor mat1, Tensor mat2, *, Number beta=1, Number alpha=1) -> Tensor"]
        "beta * self + alpha * (mat1 mat2)." => |c| add_product(c, (2, 2), false);
    "addmv" Torch "fmio" Inputs ["(Tensor self, Tensor mat, Tensor vec, *, Number beta=1, Number alpha=1) -> Tensor"]
        "beta * self + alpha * (mat vec)." => |c| add_product(c, (2, 1), false);
    "baddbmm" Torch "fmio" Inputs ["(Tensor self, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1) -> Tensor"]
        "beta * self + alpha * (batch1 batch2), pair by pair." => |c| add_product(c, (3, 3), false);
    "addbmm" Torch "fmio" Inputs ["(Tensor self, Tensor batch1, Tensor batch2, *, Number beta=1, Number alpha=1) -> Tensor"]
        "beta * self + alpha * sum(batch1 batch2)." => |c| add_product(c, (3, 3), true);
    "addr" Torch "fmio" Inputs ["(Tensor self, Tensor vec1, Tensor vec2, *, Number beta=1, Number alpha=1) -> Tensor"]
        "beta * self + alpha * (vec1 vec2^T)." => addr;
    "einsum" Torch "f" Inputs ["(str equation, Tensor[] operands) -> Tensor"]
        "Sums of products over labelled axes." => einsum_;
    "tensordot" Torch "f" Inputs ["(Tensor self, Tensor other, int dims=2) -> Tensor", "(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor"]
        "Sums of products over pairs of axes." => tensordot;
    "kron" Torch "fmo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The Kronecker product." => |c| {
            let (x, y) = (c.operand(0)?, c.operand(1)?);
            let dtype = c.promote(&[&x, &y]);
            let (x, y) = (c.operand_value(&x, dtype), c.operand_value(&y, dtype));
            Ok(with2(&mut c.b, &x, &y, lin::kron).into())
        };
    "cross" Torch "fmo" Inputs ["(Tensor self, Tensor other, int? dim=None) -> Tensor"] "The cross product." => cross;
    "cross" Linalg "fo" Inputs ["(Tensor self, Tensor other, *, int? dim=-1) -> Tensor"] "The cross product." => cross;
    "vecdot" Linalg "fo" Inputs ["(Tensor self, Tensor other, *, int dim=-1) -> Tensor"] "Inner products along an axis." => vecdot;
    "matmul" Linalg "fo" Inputs ["(Tensor self, Tensor other) -> Tensor"] "The product of vectors, matrices or batches of matrices." => matmul;
    "matrix_power" Torch "fmo" Inputs ["(Tensor self, int n) -> Tensor"] "A matrix multiplied by itself." => power;
    "matrix_power" Linalg "fo" Inputs ["(Tensor self, int n) -> Tensor"] "A matrix multiplied by itself." => power;
    "multi_dot" Linalg "fo" Inputs ["(Tensor[] tensors) -> Tensor"] "The product of several matrices." => chain;
    "chain_matmul" Torch "f" Inputs ["(Tensor[] matrices) -> Tensor"] "The product of several matrices." => chain;
    "cdist" Torch "f" Inputs ["(Tensor x1, Tensor x2, float p=2.0, str? compute_mode=None) -> Tensor"] "Distances between all pairs of rows." => distances;
    "pdist" Nn "f" Inputs ["(Tensor self, float p=2.0) -> Tensor"] "Distances between pairs of rows." => |c| {
            let (x, p) = (c.value(0)?, c.float(1)?);
            if x.ty.rank() != 2 || p < 0.0 { return Err(Error::runtime("pdist only supports 2D tensors and non-negative p values")); }
            Ok(with1(&mut c.b, &x, |x| distance::pdist(x, p)).into())
        };
    "bilinear" Nn "f" Inputs ["(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor"] "x1^T W x2 + bias." => bilinear;
    "cosine_similarity" Torch "f" Inputs ["(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor"] "The cosine of the angle between vectors." => cosine;
    "cosine_similarity" Nn "f" Inputs ["(Tensor x1, Tensor x2, int dim=1, float eps=1e-08) -> Tensor"] "The cosine of the angle between vectors." => cosine;
    "pairwise_distance" Nn "f" Inputs ["(Tensor x1, Tensor x2, float p=2.0, float eps=1e-06, bool keepdim=False) -> Tensor"] "The p-norm of differences." => |c| {
            let (x, y) = (c.operand(0)?, c.operand(1)?);
            let dtype = c.promote(&[&x, &y]);
            let (p, eps, keep) = (c.float(2)?, c.float(3)?, c.bool(4)?);
            let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
            if x.ty.rank() == 0 { return Err(Error::runtime("pairwise_distance: expected at least one dimension")); }
            Ok(with2(&mut c.b, &x, &y, |x, y| distance::pairwise_distance(x, y, p, eps, keep)).into())
        };
}

fn cosine(c: &mut Call<'_>) -> Result<Returned> {
    let (x, y) = (c.operand(0)?, c.operand(1)?);
    let dtype = c.promote(&[&x, &y]);
    if !dtype.is_float() {
        return Err(Error::runtime(format!(
            "expected common dtype to be floating point, yet common dtype is {}",
            scalar_type_name(dtype)
        )));
    }
    let (x, y) = c.broadcast_pair(&x, &y, dtype)?;
    let (axis, eps) = (c.dim(2, x.ty.rank())?, c.float(3)?);
    let (x, y) = (at_least_1d(&mut c.b, &x), at_least_1d(&mut c.b, &y));
    Ok(with2(&mut c.b, &x, &y, |x, y| distance::cosine_similarity(x, y, axis, eps)).into())
}
