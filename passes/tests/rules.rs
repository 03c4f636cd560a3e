//! Each rewrite rule by itself: both sides mean the same, by the interpreter, on random shapes and types.

use ttk_ir::eval::eval;
use ttk_ir::op::{PadDim, SliceDim, WindowDim};
use ttk_ir::testing::{Rng, Values, input_types, random_inputs, random_scalar};
use ttk_ir::text::print;
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Graph, Op, ReduceOp, Scalar, Shape, Type, Unary, ValueId};
use ttk_passes::egraph::apply_rule;
use ttk_passes::egraph::rules::{RULES, find};

/// A graph under construction with a source of random choices.
struct Case {
    g: Graph,
    rng: Rng,
    dtype: DType,
}

impl Case {
    fn size(&mut self) -> i64 {
        self.rng.between(2, 4)
    }

    fn sizes(&mut self, rank: usize) -> Vec<i64> {
        (0..rank).map(|_| self.size()).collect()
    }

    fn input(&mut self, dims: &[i64]) -> ValueId {
        let dtype = self.dtype;
        self.g.param(Type::fixed(dtype, dims))
    }

    fn number(&mut self, like: ValueId) -> ValueId {
        let value = random_scalar(&mut self.rng, self.dtype, Values::Tame);
        // Division by 0 would make every side NaN.
        let value = if value.as_f64() == 0.0 { Scalar::one(self.dtype) } else { value };
        let shape = self.g.shape(&like);
        self.g.constant(value, shape)
    }

    fn order(&mut self, rank: usize) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..rank).collect();
        for i in (1..rank).rev() {
            axes.swap(i, self.rng.below(i + 1));
        }
        // One that moves something: the identity is no permutation to the builder.
        if axes.is_sorted() && rank > 1 {
            axes.swap(0, 1);
        }
        axes
    }

    fn permuted(&mut self, x: ValueId) -> ValueId {
        let perm = self.order(self.g.rank(&x));
        self.g.permute(&x, &perm)
    }

    /// An input of the given shape but for axes of size 1, at least one if `some`, repeated to the shape.
    fn expanded(&mut self, dims: &[i64], axes: &[usize]) -> ValueId {
        let mut small = dims.to_vec();
        for &a in axes {
            small[a] = 1;
        }
        let x = self.input(&small);
        self.g.expand(&x, ttk_ir::shape::shape(dims))
    }

    /// A dot with batch axis 0 of both, free axes, and one contracted axis: `[b,m,p,k] x [b,k,n]`.
    fn operands(&mut self) -> ([i64; 4], [i64; 3]) {
        let (b, m, p, k, n) = (self.size(), self.size(), self.size(), self.size(), self.size());
        ([b, m, p, k], [b, k, n])
    }

    fn dot(&mut self, x: ValueId, y: ValueId) -> ValueId {
        self.g.dot(&x, &y, &[(0, 0)], &[(3, 1)])
    }

    fn plain_dot(&mut self) -> ValueId {
        let (a, b) = self.operands();
        let (x, y) = (self.input(&a), self.input(&b));
        self.dot(x, y)
    }

    fn pad(&mut self, x: ValueId, value: i64) -> ValueId {
        let rank = self.g.rank(&x);
        let dims = (0..rank).map(|_| PadDim {
            low: self.rng.between(0, 2).into(),
            high: self.rng.between(0, 2).into(),
            interior: self.rng.between(0, 1),
        });
        let op = Op::Pad { dims: dims.collect(), value: Scalar::from_i64(self.dtype, value) };
        self.g.op(op, &[x])
    }

    /// A slice of some axes, never empty.
    fn slice(&mut self, x: ValueId, axes: &[usize]) -> ValueId {
        let mut dims: Vec<SliceDim> = self.g.shape(&x).into_iter().map(SliceDim::all).collect();
        for &a in axes {
            let n = dims[a].len.fixed().unwrap_or(1);
            let start = self.rng.below(n as usize) as i64;
            let backwards = self.rng.one_in(2);
            let len = if backwards { start + 1 } else { n - start };
            dims[a] = SliceDim { start: start.into(), len: len.into(), step: if backwards { -1 } else { 1 } };
        }
        self.g.op(Op::Slice(dims.into()), &[x])
    }
}

type Build = fn(&mut Case) -> ValueId;

/// What each rule is tried on. A rule must match in at least one of its cases.
const CASES: &[(&str, Build)] = &[
    ("dot-permuted-operand", |c| {
        let (x, y) = (c.input(&[2, 3, 4, 5]), c.input(&[3, 4, 2]));
        let (x, y) = (c.permuted(x), c.permuted(y));
        // Any pair of axes of one size will do.
        let (a, b) = (c.g.shape(&x), c.g.shape(&y));
        let of = |shape: &Shape, n: i64| shape.iter().position(|d| *d == Dim::Fixed(n)).unwrap();
        c.g.dot(&x, &y, &[(of(&a, 3), of(&b, 3))], &[(of(&a, 4), of(&b, 4))])
    }),
    ("dot-permuted-result", |c| {
        let dot = c.plain_dot();
        c.g.permute(&dot, &[0, 3, 1, 2])
    }),
    ("dot-permuted-result", |c| {
        let (a, b) = (c.sizes(2), c.sizes(1));
        let (x, y) = (c.input(&[a[0], a[1], 2, 3]), c.input(&[a[0], a[1], 3, b[0]]));
        let dot = c.g.dot(&x, &y, &[(0, 0), (1, 1)], &[(3, 2)]);
        c.g.permute(&dot, &[1, 0, 2, 3])
    }),
    ("dot-scale-out", |c| {
        let (a, b) = c.operands();
        let (x, y) = (c.input(&a), c.input(&b));
        let k = c.number(x);
        let x = if c.rng.one_in(2) && c.dtype.is_float() { c.g.div(&x, &k) } else { c.g.mul(&x, &k) };
        c.dot(x, y)
    }),
    ("dot-scale-in", |c| {
        let (x, y) = (c.input(&[2, 7, 6, 2]), c.input(&[2, 2, 6]));
        let dot = c.dot(x, y);
        let k = c.number(dot);
        c.g.mul(&dot, &k)
    }),
    ("dot-channel-scale", |c| {
        let dot = c.plain_dot();
        let dims: Vec<i64> = c.g.shape(&dot).iter().map(|d| d.fixed().unwrap()).collect();
        let axes = if c.rng.one_in(2) { &[0, 1, 2][..] } else { &[0, 3][..] };
        let scale = c.expanded(&dims, axes);
        c.g.mul(&scale, &dot)
    }),
    ("distribute-over-product", |c| {
        let dot = c.plain_dot();
        let dims: Vec<i64> = c.g.shape(&dot).iter().map(|d| d.fixed().unwrap()).collect();
        let (shift, scale) = (c.expanded(&dims, &[0, 1, 2]), c.expanded(&dims, &[0, 1, 2]));
        let sum = c.g.sub(&dot, &shift);
        c.g.mul(&sum, &scale)
    }),
    ("dot-expanded-operand", |c| {
        let (a, b) = c.operands();
        let axes: Vec<usize> = (0..4).filter(|_| c.rng.one_in(2)).collect();
        let (x, y) = (c.expanded(&a, &axes), c.input(&b));
        c.dot(x, y)
    }),
    ("dot-expanded-operand", |c| {
        let (a, b) = c.operands();
        let axes: Vec<usize> = (0..3).filter(|_| c.rng.one_in(2)).collect();
        let (x, y) = (c.input(&a), c.expanded(&b, &axes));
        c.dot(x, y)
    }),
    ("sum-of-dot", |c| {
        let dot = c.plain_dot();
        c.g.reduce(ReduceOp::Sum, &dot, &[0])
    }),
    ("sum-of-dot", |c| {
        let (x, y) = (c.input(&[2, 3, 4, 5]), c.input(&[2, 3, 5, 2]));
        let dot = c.g.dot(&x, &y, &[(0, 0), (1, 1)], &[(3, 2)]);
        c.g.reduce(ReduceOp::Sum, &dot, &[1])
    }),
    ("fold-of-dot", |c| transposed_convolution(c, false)),
    ("fold-of-dot", |c| transposed_convolution(c, true)),
    ("expand-hoist", |c| {
        let dims = c.sizes(3);
        let (x, y) = (c.expanded(&dims, &[0, 2]), c.expanded(&dims, &[0]));
        let k = c.number(x);
        let (sum, product) = (c.g.binary(Binary::Add, &x, &y), c.g.mul(&x, &k));
        let larger = c.g.cmp(Cmp::Lt, &x, &k);
        c.g.select(&larger, &sum, &product)
    }),
    ("reduce-of-expand", |c| {
        let dims = c.sizes(3);
        let x = c.expanded(&dims, &[0, 2]);
        let op = *c.rng.choose(&[ReduceOp::Sum, ReduceOp::Max, ReduceOp::Min]);
        c.g.reduce(op, &x, &[1, 2])
    }),
    ("sum-of-scaled", |c| {
        let dims = c.sizes(3);
        let (x, s) = (c.input(&dims), c.expanded(&dims, &[0, 2]));
        let product = c.g.mul(&x, &s);
        c.g.reduce(ReduceOp::Sum, &product, &[0, 2])
    }),
    ("sum-of-scaled", |c| {
        let dims = c.sizes(2);
        let x = c.input(&dims);
        let k = c.number(x);
        let product = c.g.mul(&x, &k);
        c.g.reduce(ReduceOp::Sum, &product, &[1])
    }),
    ("neg-out-of-product", |c| {
        let dims = c.sizes(2);
        let (x, y) = (c.input(&dims), c.input(&dims));
        let y = c.g.neg(&y);
        if c.rng.one_in(2) { c.g.mul(&x, &y) } else { c.g.div(&x, &y) }
    }),
    ("neg-out-of-sum", |c| {
        let dims = c.sizes(2);
        let x = c.input(&dims);
        let x = c.g.neg(&x);
        c.g.reduce(ReduceOp::Sum, &x, &[1])
    }),
    ("neg-into-difference", |c| {
        let dims = c.sizes(2);
        let (x, y) = (c.input(&dims), c.input(&dims));
        let y = c.g.neg(&y);
        if c.rng.one_in(2) { c.g.sub(&x, &y) } else { c.g.binary(Binary::Add, &y, &x) }
    }),
    ("reduce-of-reduce", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let op = *c.rng.choose(&ReduceOp::ALL);
        let x = c.g.reduce(op, &x, &[1]);
        c.g.reduce(op, &x, &[0, 2])
    }),
    ("sum-of-pad", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.pad(x, 0);
        c.g.reduce(ReduceOp::Sum, &x, &[0, 1, 2])
    }),
    ("sum-of-concat", |c| {
        let dims = c.sizes(2);
        let (x, y) = (c.input(&dims), c.input(&[dims[0] + 1, dims[1]]));
        let x = c.g.concat(&[x, y, x], 0);
        let op = *c.rng.choose(&ReduceOp::ALL);
        c.g.reduce(op, &x, &[0])
    }),
    ("permute-past-elementwise", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.permuted(x);
        let dims: Vec<i64> = c.g.shape(&x).iter().map(|d| d.fixed().unwrap()).collect();
        let s = c.expanded(&dims, &[0, 2]);
        c.g.mul(&s, &x)
    }),
    ("permute-past-elementwise", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.permuted(x);
        let k = c.number(x);
        c.g.binary(Binary::Max, &x, &k)
    }),
    ("permute-past-structured", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.permuted(x);
        match c.rng.below(4) {
            0 => c.g.reduce(ReduceOp::Sum, &x, &[0, 2]),
            1 => c.pad(x, 1),
            2 => c.g.concat(&[x, x], 1),
            _ => {
                let taps = |axis, dilation| WindowDim { axis, size: 2, stride: 1, dilation };
                c.g.op(Op::Window([taps(2, 1), taps(0, 1)].into()), &[x])
            }
        }
    }),
    ("permute-past-structured", |c| {
        let (n, m, k) = (c.size(), c.size(), c.size());
        let x = c.input(&[n, m, k, 2]);
        let perm = c.order(3);
        let x = c.g.permute(&x, &[perm[0], perm[1], perm[2], 3]);
        let dims = [WindowDim { axis: 1, size: 2, stride: 2, dilation: 1 }];
        let positions = c.g.shape(&x)[1].fixed().unwrap();
        let sizes = [Dim::Fixed(2 * positions)].into_iter().collect();
        c.g.op(Op::Fold { dims: dims.into(), sizes }, &[x])
    }),
    ("slice-of-elementwise", |c| {
        let dims = c.sizes(3);
        let (x, y) = (c.input(&dims), c.input(&dims));
        let k = c.number(x);
        let x = c.g.mul(&x, &k);
        let sum = c.g.binary(Binary::Add, &x, &y);
        c.slice(sum, &[0, 2])
    }),
    ("slice-of-permute", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.permuted(x);
        c.slice(x, &[0, 1])
    }),
    ("slice-of-reduce", |c| {
        let dims = c.sizes(3);
        let x = c.input(&dims);
        let x = c.g.reduce(ReduceOp::Sum, &x, &[1]);
        c.slice(x, &[0, 1, 2])
    }),
    ("slice-of-dot", |c| {
        let dot = c.plain_dot();
        c.slice(dot, &[0, 2, 3])
    }),
    ("sum-of-pads", |c| {
        let dims = c.sizes(2);
        let (x, y) = (c.input(&dims), c.input(&[dims[0], 3]));
        let pad = |c: &mut Case, x, low: i64, high: i64| {
            let edge = PadDim { low: low.into(), high: high.into(), interior: 0 };
            c.g.pad(&x, vec![PadDim { interior: 1, ..PadDim::none() }, edge], 0.0)
        };
        let tail = c.rng.between(0, 2);
        let (x, y) = (pad(c, x, 0, 3 + tail), pad(c, y, dims[1], tail));
        if c.rng.one_in(2) { c.g.binary(Binary::Add, &x, &y) } else { c.g.binary(Binary::Add, &y, &x) }
    }),
];

/// The gradient of a convolution with respect to its input, in one and two dimensions.
fn transposed_convolution(c: &mut Case, flat: bool) -> ValueId {
    let (n, from, to) = (c.size(), c.size(), c.size());
    let axes = if flat { 1 } else { 2 };
    let mut dims = Vec::new();
    let (mut sizes, mut g_dims, mut w_dims) = (Shape::new(), vec![n, to], vec![to, from]);
    for i in 0..axes {
        let d = WindowDim {
            axis: 2 + i as u8,
            size: c.rng.between(2, 3),
            stride: c.rng.between(1, 3),
            dilation: c.rng.between(1, 2),
        };
        let count = c.rng.between(1, 3);
        // Elements past the last window get nothing.
        let slack = c.rng.between(0, d.stride - 1);
        sizes.push(Dim::Fixed((count - 1) * d.stride + (d.size - 1) * d.dilation + 1 + slack));
        g_dims.push(count);
        w_dims.push(d.size);
        dims.push(d);
    }
    let (g, w) = (c.input(&g_dims), c.input(&w_dims));
    let swapped = c.rng.one_in(2);
    let columns = if swapped { c.g.dot(&w, &g, &[], &[(0, 1)]) } else { c.g.dot(&g, &w, &[], &[(1, 0)]) };
    // [n, positions.., from, taps..] or [from, taps.., n, positions..] to [n, from, positions.., taps..]
    let perm: Vec<usize> = match (swapped, flat) {
        (false, true) => vec![0, 2, 1, 3],
        (false, false) => vec![0, 3, 1, 2, 4, 5],
        (true, true) => vec![2, 0, 3, 1],
        (true, false) => vec![3, 0, 4, 5, 1, 2],
    };
    let columns = c.g.permute(&columns, &perm);
    c.g.op(Op::Fold { dims: dims.into(), sizes }, &[columns])
}

#[test]
fn both_sides_are_equal() {
    for (name, build) in CASES {
        let rule = find(name).unwrap_or_else(|| panic!("no rule {name}"));
        let mut matches = 0;
        for seed in 0..60 {
            let dtype = [DType::F64, DType::F32, DType::I32, DType::U8, DType::I64][seed as usize % 5];
            let mut case = Case { g: Graph::new(*name), rng: Rng::new(seed), dtype };
            let out = build(&mut case);
            case.g.outputs = vec![out];
            let graph = case.g;
            let inputs = random_inputs(&input_types(&graph), &[], seed, Values::Tame);
            let want = &eval(&graph, &inputs, &[]).unwrap()[0];
            for after in apply_rule(rule, &graph).unwrap() {
                matches += 1;
                ttk_ir::verify::verify(&after).unwrap();
                let got = &eval(&after, &inputs, &[]).unwrap()[0];
                let tolerance = match dtype {
                    DType::F64 => 1e-12,
                    DType::F32 => 1e-5,
                    _ => 0.0,
                };
                if let Err(e) = got.close(want, tolerance, tolerance) {
                    panic!("{name}, seed {seed}: {e}\nbefore:\n{}\nafter:\n{}", print(&graph), print(&after));
                }
            }
        }
        assert!(matches > 20, "{name} matched {matches} times: the case is not one of its own");
    }
}

#[test]
fn every_rule_has_a_case() {
    for rule in RULES {
        assert!(CASES.iter().any(|(name, _)| *name == rule.name), "{} has no case", rule.name);
    }
}

/// Where an operation on the e-graph's side has one NaN or infinity, so has the other.
#[test]
fn what_only_moves_is_exact() {
    let exact = [
        "permute-past-elementwise",
        "permute-past-structured",
        "slice-of-elementwise",
        "slice-of-permute",
        "expand-hoist",
        "neg-out-of-product",
        "neg-into-difference",
    ];
    for (name, build) in CASES.iter().filter(|(name, _)| exact.contains(name)) {
        let rule = find(name).unwrap();
        for seed in 0..40 {
            let dtype = [DType::F32, DType::F16, DType::BF16, DType::I8][seed as usize % 4];
            let mut case = Case { g: Graph::new(*name), rng: Rng::new(seed), dtype };
            let out = build(&mut case);
            // Sums are compared elsewhere: an infinity in one order of terms may be a NaN in another.
            if case.g.nodes().iter().any(|n| matches!(n.op, Op::Reduce { .. } | Op::Fold { .. })) {
                continue;
            }
            case.g.outputs = vec![out];
            let inputs = random_inputs(&input_types(&case.g), &[], seed, Values::Wild);
            let want = &eval(&case.g, &inputs, &[]).unwrap()[0];
            for after in apply_rule(rule, &case.g).unwrap() {
                let got = &eval(&after, &inputs, &[]).unwrap()[0];
                if let Err(e) = got.same(want) {
                    panic!(
                        "{name}, seed {seed}: {e}\nbefore:\n{}\nafter:\n{}",
                        print(&case.g),
                        print(&after)
                    );
                }
            }
        }
    }
}

/// A formula that overflows as written, and what it is with `fast_math`.
#[test]
fn unstable_softmax_becomes_stable() {
    let mut g = Graph::new("softmax");
    let x = g.param(Type::fixed(DType::F32, &[2, 3]));
    let e = g.unary(Unary::Exp, &x);
    let sum = g.reduce(ReduceOp::Sum, &e, &[1]);
    let wide = g.expand(&sum, ttk_ir::shape::shape(&[2, 3]));
    let softmax = g.div(&e, &wide);
    let log_sum = g.unary(Unary::Log, &sum);
    g.outputs = vec![softmax, log_sum];
    let options = ttk_passes::Options { fast_math: true, ..Default::default() };
    let after = ttk_passes::optimize(&g, &options).unwrap();
    let at = |values: &[f32]| {
        let inputs = [ttk_ir::eval::Tensor::from_f32(&[2, 3], values)];
        let run = |g: &Graph| eval(g, &inputs, &[]).unwrap().iter().map(|t| t.to_f32()).collect::<Vec<_>>();
        (run(&g), run(&after))
    };
    let (before, now) = at(&[1.0, 2.0, 3.0, -1.0, 0.0, 1.0]);
    for (a, b) in before.concat().iter().zip(now.concat()) {
        assert!((a - b).abs() < 1e-6, "{a} and {b}");
    }
    let (before, now) = at(&[1000.0; 6]);
    assert!(before[0][0].is_nan() && before[1][0].is_infinite());
    assert!((now[0][0] - 1.0 / 3.0).abs() < 1e-6);
    assert!((now[1][0] - (1000.0 + 3f32.ln())).abs() < 1e-3);
    let (before, now) = at(&[f32::NEG_INFINITY; 6]);
    assert_eq!(before[1], now[1], "the logarithm of nothing is -inf");
}
