//! The derivatives of the factorizations. Names are those of the formulas: `g` is a cotangent.

use super::super::tied::{V, call};
use super::{
    EXP, SOLVE, SVD, diagonal_matrix, eye_like, mm, mt, permutation, sizes_of, solve as solve_for,
    triangular as tri, triangular_right as tri_right,
};
use crate::composite::layout::{tril, triu};
use ttk_ir::ReduceOp;

type Parts<'r> = Vec<Option<V<'r>>>;

/// The sum of what is there.
fn plus<'r>(x: Option<V<'r>>, y: Option<V<'r>>) -> Option<V<'r>> {
    match (x, y) {
        (Some(x), Some(y)) => Some(x + y),
        (x, None) => x,
        (None, y) => y,
    }
}

/// The matrix with its diagonal multiplied by one half.
fn half_diagonal<'r>(x: &V<'r>) -> V<'r> {
    let (n, m) = sizes_of(x);
    x * (1.0 - eye_like(x, n, m) * 0.5)
}

pub(super) fn solve<'r>(_: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None, None] };
    let b = solve_for(&mt(&x[0]), g);
    vec![Some(-mm(&b, &mt(&y[0]))), Some(b)]
}

pub(super) fn triangular<'r>(at: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None, None] };
    let (upper, unit) = (at[0] != 0, at[1] != 0);
    let b = tri(&mt(&x[0]), g, !upper, unit);
    let a = -mm(&b, &mt(&y[0]));
    let a = if upper { triu(&a, unit as i64) } else { tril(&a, -(unit as i64)) };
    vec![Some(a), Some(b)]
}

/// Murray, "Differentiation of the Cholesky decomposition", 2016.
pub(super) fn cholesky<'r>(_: &[i64], _: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None] };
    let l = &y[0];
    let phi = half_diagonal(&tril(&mm(&mt(l), g), 0));
    let a = tri_right(l, &tri(&mt(l), &phi, true, false), false, false);
    vec![Some((&a + mt(&a)) * 0.5)]
}

/// The factor counts as a whole matrix here, as in PyTorch.
pub(super) fn cholesky_solve<'r>(at: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None, None] };
    let b = call(&super::CHOLESKY_SOLVE, at, &[g, &x[1]]).remove(0);
    let half = mm(&b, &mt(&y[0]));
    let both = &half + mt(&half);
    let factor = if at[0] != 0 { -mm(&x[1], &both) } else { -mm(&both, &x[1]) };
    vec![Some(b), Some(factor)]
}

/// The solution of `R G + G R = g`, in the basis of eigenvectors.
pub(super) fn sqrth<'r>(_: &[i64], x: &[V<'r>], _: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None] };
    let found = call(&super::EIGH, &[], &[&x[0]]);
    let (root, v) = (found[0].sqrt(), &found[1]);
    let last = root.rank();
    let sums = root.unsqueeze(last - 1) + root.unsqueeze(last);
    vec![Some(mm(&mm(v, &(mm(&mm(&mt(v), g), v) / sums)), &mt(v)))]
}

pub(super) fn qr<'r>(_: &[i64], _: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let (q, r) = (&y[0], &y[1]);
    let (gq, gr) = (&g[0], &g[1]);
    let ((k, n), (m, _)) = (sizes_of(r), sizes_of(q));
    let inner = |sign: f64| {
        let from_r = gr.as_ref().map(|gr| mm(gr, &mt(r)) * sign);
        let from_q = gq.as_ref().map(|gq| mm(&mt(q), gq) * -sign);
        plus(from_r, from_q)
    };
    if m >= n && k == n {
        let Some(x) = inner(1.0) else { return vec![None] };
        let x = triu(&x, 0);
        let x = Some(mm(q, &half_diagonal(&(&x + mt(&x)))));
        return vec![plus(x, gq.clone()).map(|x| tri_right(&mt(r), &x, false, false))];
    }
    let Some(x) = inner(-1.0) else { return vec![None] };
    let x = half_diagonal(&tril(&(&x - mt(&x)), 0));
    let last = r.rank() - 1;
    let x = tri_right(&mt(&r.narrow(last, 0, k)), &x, false, false);
    let x = Some(x.pad_axis(last, 0, n - k, 0.0));
    vec![plus(x, gr.clone()).map(|x| mm(q, &x))]
}

/// The differences of the entries of a vector, 1 on the diagonal: `out[i, j] = s[j] - s[i]`.
fn differences<'r>(s: &V<'r>) -> V<'r> {
    let last = s.rank() - 1;
    let gap = s.unsqueeze(last) - s.unsqueeze(last + 1);
    let (n, m) = sizes_of(&gap);
    &gap + eye_like(&gap, n, m)
}

pub(super) fn svd<'r>(_: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let (m, n) = sizes_of(&x[0]);
    let (k, last) = (m.min(n), x[0].rank() - 1);
    let (u, s, vh) = (y[0].narrow(last, 0, k), &y[1], y[2].narrow(last - 1, 0, k));
    let gu = g[0].as_ref().map(|g| g.narrow(last, 0, k));
    let gvh = g[2].as_ref().map(|g| g.narrow(last - 1, 0, k));
    let (row, column) = (s.unsqueeze(last - 1), s.unsqueeze(last));
    if gu.is_none() && gvh.is_none() {
        return vec![g[1].as_ref().map(|gs| mm(&(&u * gs.unsqueeze(last - 1)), &vh))];
    }
    let skew = |x: V<'r>| &x - mt(&x);
    let e = differences(&s.square());
    let from_u = gu.as_ref().map(|gu| skew(mm(&mt(&u), gu)) / &e * &row);
    let from_v = gvh.as_ref().map(|gvh| &column * (skew(mm(&vh, &mt(gvh))) / &e));
    let middle = plus(plus(from_u, from_v), g[1].as_ref().map(diagonal_matrix));
    let Some(middle) = middle else { return vec![None] };
    let mut a = mm(&mm(&u, &middle), &vh);
    if let Some(gu) = gu.filter(|_| m > k) {
        let w = gu / &row;
        a = a + mm(&(&w - mm(&u, &mm(&mt(&u), &w))), &vh);
    }
    if let Some(gvh) = gvh.filter(|_| n > k) {
        let w = gvh / &column;
        a = a + mm(&u, &(&w - mm(&mm(&w, &mt(&vh)), &vh)));
    }
    vec![Some(a)]
}

pub(super) fn eigh<'r>(_: &[i64], _: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let (l, v) = (&y[0], &y[1]);
    let from_v = g[1].as_ref().map(|gv| {
        let x = mm(&mt(v), gv);
        let (n, m) = sizes_of(&x);
        let diagonal = eye_like(&x, n, m);
        x * (1.0 - diagonal) / differences(l)
    });
    let middle = plus(from_v, g[0].as_ref().map(diagonal_matrix));
    vec![middle.map(|x| mm(&mm(v, &x), &mt(v)))]
}

/// `g det(A) A⁻ᵀ`. Where no further derivative is wanted the cofactors come from the singular values, and are
/// right for singular matrices too.
pub(super) fn det<'r>(_: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None] };
    let a = &x[0];
    let (n, last) = (sizes_of(a).0, a.rank() - 1);
    let whole = |v: &V<'r>| v.unsqueeze(last - 1).unsqueeze(last);
    if n == 0 {
        return vec![Some(a.clone())];
    }
    if crate::record::grad_enabled() {
        let inverse = solve_for(&mt(a), &eye_like(a, n, n));
        return vec![Some(inverse * whole(&(g * &y[0])))];
    }
    let found = call(&SVD, &[0], &[a]);
    let (u, s, vh) = (&found[0], &found[1], &found[2]);
    // In row i every singular value but the i-th.
    let one = eye_like(a, n, n);
    let others =
        (s.unsqueeze(last - 1) * (1.0 - &one) + &one).reduce(ReduceOp::Prod, &[last]).squeeze(&[last]);
    let sign = call(&super::DET, &[], &[u]).remove(0) * call(&super::DET, &[], &[vh]).remove(0);
    vec![Some(mm(&(u * others.unsqueeze(last - 1)), vh) * whole(&(sign * g)))]
}

pub(super) fn slogdet<'r>(_: &[i64], x: &[V<'r>], _: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[1] else { return vec![None] };
    let (a, last) = (&x[0], x[0].rank() - 1);
    let n = sizes_of(a).0;
    let right = eye_like(a, n, n) * g.unsqueeze(last - 1).unsqueeze(last);
    vec![Some(call(&SOLVE, &[], &[&mt(a), &right]).remove(0))]
}

/// The off-diagonal block of the exponential of `[[Aᵀ, G], [0, Aᵀ]]` (Mathias, 1996).
pub(super) fn exp<'r>(_: &[i64], x: &[V<'r>], _: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None] };
    let (a, last) = (mt(&x[0]), g.rank() - 1);
    let n = sizes_of(&a).0;
    let top = crate::composite::concat(&[a.clone(), g.clone()], last);
    let bottom = a.pad_axis(last, n, 0, 0.0);
    let large = call(&EXP, &[], &[&crate::composite::concat(&[top, bottom], last - 1)]).remove(0);
    vec![Some(large.narrow(last - 1, 0, n).narrow(last, n, n))]
}

/// Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems", 1973.
pub(super) fn pinv<'r>(_: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None, None, None] };
    let (a, p) = (&x[0], &y[0]);
    let (gt, pt) = (mt(g), mt(p));
    let (m, n) = sizes_of(a);
    let da = if m <= n {
        let k = mm(&gt, p);
        let kpt = mm(&k, &pt);
        -mt(&mm(p, &k)) + &kpt - mm(&mm(a, p), &kpt) + mm(&mm(&pt, p), &(&gt - mm(&k, a)))
    } else {
        let k = mm(p, &gt);
        let ptk = mm(&pt, &k);
        -mt(&mm(&k, p)) + mm(&mm(&(&gt - mm(a, &k)), p), &pt) + &ptk - mm(&mm(&ptk, p), a)
    };
    vec![Some(da), None, None]
}

pub(super) fn lu<'r>(_: &[i64], x: &[V<'r>], y: &[V<'r>], g: &[Option<V<'r>>]) -> Parts<'r> {
    let Some(g) = &g[0] else { return vec![None] };
    let (m, n) = sizes_of(&x[0]);
    let (k, last) = (m.min(n), x[0].rank() - 1);
    let (lower, upper) = super::systems::unpack(&y[0]);
    let gl = tril(&g.narrow(last, 0, k), -1);
    let gu = triu(&g.narrow(last - 1, 0, k), 0);
    let inner = mm(&mt(&lower), &gl) - mm(&gu, &mt(&upper));
    let p = permutation(&y[1], m, &x[0]);
    let found = if m <= n {
        let first = upper.narrow(last, 0, k);
        let left = tri_right(&mt(&first), &tril(&inner, -1), false, false) + triu(&gu.narrow(last, 0, k), 0);
        let all = crate::composite::concat(&[left, gu.narrow(last, k, n - k)], last);
        tri(&mt(&lower), &all, true, true)
    } else {
        let first = lower.narrow(last - 1, 0, k);
        let top = tri(&mt(&first), &triu(&-inner, 0), true, true) + tril(&gl.narrow(last - 1, 0, k), -1);
        let all = crate::composite::concat(&[top, gl.narrow(last - 1, k, m - k)], last - 1);
        tri_right(&mt(&upper), &all, false, false)
    };
    vec![Some(mm(&p, &found))]
}
