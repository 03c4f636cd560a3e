//! Factors multiplied together again.

use super::*;
use ttk_ir::DType;

/// Runs a kernel on matrices without a batch.
fn run(name: &str, attributes: &[i64], matrices: &[(usize, usize, &[f64])], len: usize) -> Vec<f64> {
    let bytes: Vec<Vec<u8>> =
        matrices.iter().map(|m| m.2.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let shapes: Vec<[i64; 2]> = matrices.iter().map(|m| [m.0 as i64, m.1 as i64]).collect();
    let inputs: Vec<CustomInput<'_>> = bytes
        .iter()
        .zip(&shapes)
        .map(|(bytes, shape)| CustomInput { dtype: DType::F64, shape, bytes })
        .collect();
    let mut result = vec![0u8; len * 8];
    let output = CustomOutput { dtype: DType::F64, shape: &[len as i64], bytes: &mut result };
    find(name).unwrap()(attributes, &inputs, output).unwrap();
    result.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect()
}

fn product(a: &[f64], b: &[f64], rows: usize, inner: usize, columns: usize) -> Vec<f64> {
    let at = |i: usize, j: usize| (0..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
    (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).map(|(i, j)| at(i, j)).collect()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() < 1e-12, "{a:?} against {b:?}");
    }
}

const A: [f64; 6] = [1.0, 2.0, 3.0, 5.0, -1.0, 4.0];

#[test]
fn qr_with_lapacks_signs() {
    for (rows, columns) in [(3, 2), (2, 3)] {
        let k = rows.min(columns);
        let out = run("linalg.qr", &[k as i64], &[(rows, columns, &A)], rows * k + k * columns);
        let (q, r) = out.split_at(rows * k);
        close(&product(q, r, rows, k, columns), &A);
        assert!(r[0] < 0.0, "a positive element becomes a negative diagonal");
    }
}

#[test]
fn lu_and_its_permutation() {
    let out = run("linalg.lu", &[], &[(3, 2, &A)], 8);
    let (lu, pivots) = out.split_at(6);
    let p = run("linalg.permutation", &[3], &[(1, 2, pivots)], 9);
    let l = [1.0, 0.0, lu[2], 1.0, lu[4], lu[5]];
    let u = [lu[0], lu[1], 0.0, lu[3]];
    close(&product(&p, &product(&l, &u, 3, 2, 2), 3, 3, 2), &A);
}

#[test]
fn spectra() {
    let out = run("linalg.svd", &[0], &[(3, 2, &A)], 6 + 2 + 4);
    let (u, rest) = out.split_at(6);
    let (s, v) = rest.split_at(2);
    let scaled: Vec<f64> = u.iter().enumerate().map(|(i, x)| x * s[i % 2]).collect();
    close(&product(&scaled, v, 3, 2, 2), &A);
    let symmetric = [2.0, 1.0, 1.0, 3.0];
    let out = run("linalg.eigh", &[], &[(2, 2, &symmetric)], 6);
    close(&[out[0] + out[1], out[0] * out[1]], &[5.0, 5.0]);
    let turn = run("linalg.exp", &[], &[(2, 2, &[0.0, -10.0, 10.0, 0.0])], 4);
    close(&turn, &[10.0_f64.cos(), -10.0_f64.sin(), 10.0_f64.sin(), 10.0_f64.cos()]);
}

#[test]
fn a_breakdown_is_told_by_its_number() {
    let out = run("linalg.cholesky", &[], &[(2, 2, &[4.0, 0.0, 2.0, -1.0])], 5);
    assert_eq!(out[4], 2.0);
    let out = run("linalg.solve", &[], &[(2, 2, &[1.0, 2.0, 2.0, 4.0]), (2, 1, &[1.0, 1.0])], 3);
    assert_eq!(out[2], 2.0);
    let out = run("linalg.triangular", &[1, 0], &[(2, 2, &[2.0, 1.0, 9.0, 4.0]), (2, 1, &[4.0, 8.0])], 2);
    close(&out, &[1.0, 2.0]);
}
