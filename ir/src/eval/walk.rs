//! Walking the positions of a shape with several running offsets at once.

/// Row-major strides of a shape, in elements.
pub(super) fn strides_of(dims: &[i64]) -> Vec<i64> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i];
    }
    strides
}

/// Calls `f` for every position of `dims` in row-major order, with the offset that each set of strides
/// gives for it.
pub(super) fn walk<const N: usize>(dims: &[i64], strides: [&[i64]; N], mut f: impl FnMut([i64; N])) {
    if dims.contains(&0) {
        return;
    }
    let mut position = vec![0i64; dims.len()];
    let mut offsets = [0i64; N];
    loop {
        f(offsets);
        let mut axis = dims.len();
        loop {
            let Some(a) = axis.checked_sub(1) else { return };
            axis = a;
            position[axis] += 1;
            for (offset, s) in offsets.iter_mut().zip(strides) {
                *offset += s[axis];
            }
            if position[axis] < dims[axis] {
                break;
            }
            for (offset, s) in offsets.iter_mut().zip(strides) {
                *offset -= s[axis] * dims[axis];
            }
            position[axis] = 0;
        }
    }
}

/// `(outer, len, inner)` around an axis.
pub(super) fn around(dims: &[i64], axis: usize) -> (usize, usize, usize) {
    let product = |d: &[i64]| d.iter().product::<i64>() as usize;
    (product(&dims[..axis]), dims[axis] as usize, product(&dims[axis + 1..]))
}
