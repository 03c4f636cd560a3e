//! Recurrent layers against loops of plain arithmetic in double precision, and finite differences of those.

use crate::custom::{CustomInput, CustomKernel, CustomOutput, find};
use crate::threads::set_num_threads;
use ttk_ir::DType;

/// `(cell, gates, parts of a row of states, the part that is the hidden state, parts of a row of gradients, states)`
const CELLS: [(&str, usize, usize, usize, usize, usize); 4] =
    [("lstm", 4, 6, 5, 4, 2), ("gru", 3, 5, 4, 4, 1), ("tanh", 1, 1, 0, 1, 1), ("relu", 1, 1, 0, 1, 1)];

/// Steps, rows, hidden units: rows that fill no tile, one row, one unit, no step, a weight that threads share.
const SIZES: [(usize, usize, usize); 7] =
    [(3, 5, 7), (1, 1, 1), (4, 19, 16), (2, 33, 50), (0, 2, 3), (2, 3, 420), (3, 9, 448)];

/// Numbers between -1 and 1 that differ with the seed.
fn numbers(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

fn bytes_of(x: &[f64], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F64 => x.iter().flat_map(|v| v.to_ne_bytes()).collect(),
        _ => x.iter().flat_map(|v| (*v as f32).to_ne_bytes()).collect(),
    }
}

/// Memory for numbers, aligned for them.
fn room(bytes: usize) -> Vec<u64> {
    vec![u64::MAX; bytes.div_ceil(8)]
}

fn as_bytes(room: &mut [u64], n: usize) -> &mut [u8] {
    // SAFETY: any bytes are numbers.
    unsafe { &mut room.align_to_mut::<u8>().1[..n] }
}

fn call(name: &str, dtype: DType, inputs: &[(&[f64], &[i64])], shape: &[i64]) -> Result<Vec<f64>, String> {
    let kernel: CustomKernel = find(&format!("recurrent.{name}")).ok_or("no such kernel")?;
    let mut rooms: Vec<Vec<u64>> = inputs.iter().map(|(x, _)| room(x.len() * dtype.size())).collect();
    let operands: Vec<CustomInput<'_>> = rooms
        .iter_mut()
        .zip(inputs)
        .map(|(room, (x, shape))| {
            let bytes = as_bytes(room, x.len() * dtype.size());
            bytes.copy_from_slice(&bytes_of(x, dtype));
            CustomInput { dtype, shape, bytes }
        })
        .collect();
    let n = shape.iter().product::<i64>() as usize;
    let mut out = room(n * dtype.size());
    let bytes = as_bytes(&mut out, n * dtype.size());
    kernel(&[], &operands, CustomOutput { dtype, shape, bytes })?;
    Ok(match dtype {
        DType::F64 => bytes.chunks_exact(8).map(|c| f64::from_ne_bytes(c.try_into().unwrap())).collect(),
        _ => bytes.chunks_exact(4).map(|c| f32::from_ne_bytes(c.try_into().unwrap()).into()).collect(),
    })
}

/// A layer's operands.
#[derive(Clone)]
struct Layer {
    cell: usize,
    t: usize,
    n: usize,
    h: usize,
    gates: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    first: Vec<Vec<f64>>,
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Layer {
    fn new(cell: usize, (t, n, h): (usize, usize, usize)) -> Layer {
        let (_, g, .., states) = CELLS[cell];
        let small = |x: Vec<f64>| x.into_iter().map(|v| v / (h as f64).sqrt()).collect();
        Layer {
            cell,
            t,
            n,
            h,
            gates: numbers(t * n * g * h, 1),
            weight: small(numbers(g * h * h, 2)),
            bias: numbers(g * h, 3),
            first: (0..states).map(|i| numbers(n * h, 4 + i as u64)).collect(),
        }
    }

    /// Rounded to `f32`, as the kernel sees them.
    fn rounded(mut self) -> Layer {
        let all = [&mut self.gates, &mut self.weight, &mut self.bias].into_iter().chain(&mut self.first);
        all.flatten().for_each(|v| *v = f64::from(*v as f32));
        self
    }

    /// Hidden states `[T, N, H]` and the last cell state, of a cell that has one.
    fn run(&self) -> (Vec<f64>, Vec<f64>) {
        let (name, g, ..) = CELLS[self.cell];
        let (n, h) = (self.n, self.h);
        let (mut hidden, mut cell) = (self.first[0].clone(), self.first.get(1).cloned().unwrap_or_default());
        let mut all = Vec::new();
        for t in 0..self.t {
            let before = hidden.clone();
            for row in 0..n {
                let own = |gate: usize, j: usize| self.gates[(t * n + row) * g * h + gate * h + j];
                let from_hidden = |gate: usize, j: usize| -> f64 {
                    let w = &self.weight[(gate * h + j) * h..][..h];
                    self.bias[gate * h + j]
                        + w.iter().zip(&before[row * h..]).map(|(w, x)| w * x).sum::<f64>()
                };
                let sum = |gate: usize, j: usize| own(gate, j) + from_hidden(gate, j);
                for j in 0..h {
                    let at = row * h + j;
                    match name {
                        "lstm" => {
                            cell[at] = sigmoid(sum(1, j)) * cell[at] + sigmoid(sum(0, j)) * sum(2, j).tanh();
                            hidden[at] = sigmoid(sum(3, j)) * cell[at].tanh();
                        }
                        "gru" => {
                            let (r, z) = (sigmoid(sum(0, j)), sigmoid(sum(1, j)));
                            let new = (own(2, j) + r * from_hidden(2, j)).tanh();
                            hidden[at] = (1.0 - z) * new + z * before[at];
                        }
                        "tanh" => hidden[at] = sum(0, j).tanh(),
                        _ => hidden[at] = sum(0, j).max(0.0),
                    }
                }
            }
            all.extend(&hidden);
        }
        (all, cell)
    }

    /// The kernel's states.
    fn states(&self, dtype: DType) -> Result<Vec<f64>, String> {
        let (name, g, parts, ..) = CELLS[self.cell];
        let [t, n, h] = [self.t, self.n, self.h].map(|v| v as i64);
        let gh = g as i64 * h;
        let (a, b, c, d) = ([t, n, gh], [gh, h], [gh], [n, h]);
        let mut inputs: Vec<(&[f64], &[i64])> = vec![(&self.gates, &a), (&self.weight, &b), (&self.bias, &c)];
        self.first.iter().for_each(|x| inputs.push((x, &d)));
        call(name, dtype, &inputs, &[t + 1, n, parts as i64 * h])
    }

    fn gradients(&self, dtype: DType, outer: &[f64], last: &[f64]) -> Result<Vec<f64>, String> {
        let (name, g, parts, _, back, states) = CELLS[self.cell];
        let made = self.states(dtype)?;
        let [t, n, h] = [self.t, self.n, self.h].map(|v| v as i64);
        let (a, b, c, d) = ([g as i64 * h, h], [t + 1, n, parts as i64 * h], [t, n, h], [n, h]);
        let mut inputs: Vec<(&[f64], &[i64])> = vec![(&self.weight, &a), (&made, &b), (outer, &c)];
        if states == 2 {
            inputs.push((last, &d));
        }
        call(&format!("{name}_backward"), dtype, &inputs, &[t + 1, n, back as i64 * h])
    }

    /// Part `part` of rows `parts` parts long.
    fn part(&self, rows: &[f64], parts: usize, part: usize) -> Vec<f64> {
        rows.chunks_exact((parts * self.h).max(1))
            .flat_map(|row| row[part * self.h..(part + 1) * self.h].to_vec())
            .collect()
    }
}

fn assert_close(got: &[f64], want: &[f64], bound: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound * (1.0 + w.abs()), "{what} at {i}: {g}, not {w}");
    }
}

#[test]
fn states_are_those_of_plain_loops() {
    for (cell, described) in CELLS.into_iter().enumerate() {
        let (name, _, parts, at, ..) = described;
        for sizes in SIZES {
            for (dtype, bound) in [(DType::F64, 1e-12), (DType::F32, 4e-6)] {
                let layer = Layer::new(cell, sizes).rounded();
                let (hidden, last) = layer.run();
                let states = layer.states(dtype).unwrap();
                let what = format!("{name} {sizes:?} {dtype}");
                let made = layer.part(&states, parts, at);
                let row = layer.n * layer.h;
                assert_close(&made[..row], &layer.first[0], 1e-6, &what);
                assert_close(&made[row..], &hidden, bound, &what);
                if name == "lstm" {
                    let cells = layer.part(&states, parts, 4);
                    assert_close(&cells[layer.t * row..], &last, bound, &what);
                }
            }
        }
    }
}

/// The derivative of `sum(outer * hidden) + sum(last * last cell state)` along a direction.
fn slope(layer: &Layer, outer: &[f64], last: &[f64], along: impl Fn(&mut Layer, f64)) -> f64 {
    let value = |by: f64| {
        let mut moved = layer.clone();
        along(&mut moved, by);
        let (hidden, cell) = moved.run();
        let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| a * b).sum::<f64>();
        dot(outer, &hidden) + if cell.is_empty() { 0.0 } else { dot(last, &cell) }
    };
    let step = 1e-5;
    (value(step) - value(-step)) / (2.0 * step)
}

#[test]
fn gradients_are_finite_differences() {
    for (cell, described) in CELLS.into_iter().enumerate() {
        let (name, g, _, _, back, states) = described;
        for sizes in [(3, 5, 7), (1, 1, 1), (4, 9, 16), (2, 3, 33)] {
            let layer = Layer::new(cell, sizes).rounded();
            let (t, n, h) = sizes;
            let outer = numbers(t * n * h, 7);
            let last = numbers(n * h, 8);
            for (dtype, bound) in [(DType::F64, 2e-8), (DType::F32, 3e-5)] {
                let got = layer.gradients(dtype, &outer, &last).unwrap();
                let what = format!("{name} {sizes:?} {dtype}");
                let row = back * h;
                // Of the gates, in the input's share of them, along a direction.
                let along = numbers(layer.gates.len(), 9);
                let mut sum = 0.0;
                for (i, d) in along.iter().enumerate() {
                    let (at, gate, j) = (i / (g * h), i / h % g, i % h);
                    // The new state's own gradient of `gru` stands behind that of the hidden state's share.
                    let part = if name == "gru" && gate == 2 { 3 } else { gate };
                    sum += d * got[n * row + at * row + part * h + j];
                }
                let want = slope(&layer, &outer, &last, |l, by| {
                    l.gates.iter_mut().zip(&along).for_each(|(x, d)| *x += by * d);
                });
                assert_close(&[sum], &[want], bound * 10.0, &format!("gates of {what}"));
                // Of the hidden state's share: through the bias, which all rows have.
                let along = numbers(g * h, 10);
                let sum: f64 = (0..t * n)
                    .map(|at| (0..g * h).map(|i| along[i] * got[(n + at) * row + i]).sum::<f64>())
                    .sum();
                let want = slope(&layer, &outer, &last, |l, by| {
                    l.bias.iter_mut().zip(&along).for_each(|(x, d)| *x += by * d);
                });
                assert_close(&[sum], &[want], bound * 10.0, &format!("bias of {what}"));
                for state in 0..states {
                    let along = numbers(n * h, 11);
                    let sum: f64 = (0..n * h).map(|i| along[i] * got[i / h * row + state * h + i % h]).sum();
                    let want = slope(&layer, &outer, &last, |l, by| {
                        l.first[state].iter_mut().zip(&along).for_each(|(x, d)| *x += by * d);
                    });
                    assert_close(&[sum], &[want], bound * 10.0, &format!("state {state} of {what}"));
                }
            }
        }
    }
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    for (cell, described) in CELLS.into_iter().enumerate() {
        for sizes in SIZES {
            let layer = Layer::new(cell, sizes).rounded();
            let (t, n, h) = sizes;
            let (outer, last) = (numbers(t * n * h, 7), numbers(n * h, 8));
            let mut all = Vec::new();
            for threads in [1, 2, 3, 8] {
                set_num_threads(threads);
                all.push((
                    layer.states(DType::F32).unwrap(),
                    layer.gradients(DType::F32, &outer, &last).unwrap(),
                ));
            }
            set_num_threads(0);
            assert!(all.iter().all(|one| *one == all[0]), "{} {sizes:?}", described.0);
        }
    }
}

#[test]
fn what_saturates_and_what_is_no_number() {
    let mut layer = Layer::new(0, (1, 1, 4));
    layer.weight.fill(0.0);
    layer.bias.fill(0.0);
    // i, f, g, o of four units: everything open, everything shut, the largest numbers, NaN.
    let gates = [[200.0, -200.0, 3e38, f64::NAN]; 4];
    layer.gates = gates.concat();
    let states = layer.states(DType::F32).unwrap();
    let hidden = layer.part(&states, 6, 5)[4..].to_vec();
    let c = layer.first[1].clone();
    assert_close(&hidden[..3], &[(c[0] + 1.0).tanh(), 0.0, (c[2] + 1.0).tanh()], 1e-6, "saturated");
    assert!(hidden[3].is_nan());
}

#[test]
fn operands_that_do_not_belong_together_are_errors() {
    let layer = Layer::new(0, (2, 3, 4));
    let short = Layer { weight: layer.weight[1..].to_vec(), ..layer.clone() };
    assert!(std::panic::catch_unwind(|| short.states(DType::F64)).map_or(true, |r| r.is_err()));
    let fewer = Layer { first: layer.first[..1].to_vec(), ..layer.clone() };
    assert!(fewer.states(DType::F64).is_err());
    let other = Layer { bias: layer.bias[..4].to_vec(), ..layer };
    assert!(other.states(DType::F64).is_err());
    assert!(call("lstm", DType::F32, &[], &[1]).is_err());
    assert!(call("gru_backward", DType::F32, &[], &[1]).is_err());
    assert!(call("mgu", DType::F32, &[], &[1]).is_err());
}
