//! Training steps written down by hand over [`Builder`], as composite operators would be recorded.

use ttk_autograd::{VjpOptions, vjp};
use ttk_ir::op::{PadDim, WindowDim};
use ttk_ir::shape::shape;
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Graph, Op, ReduceOp, Scalar, Type, Unary, ValueId};

/// How large a transformer is.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) layers: usize,
    pub(crate) batch: i64,
    pub(crate) length: i64,
    pub(crate) width: i64,
    pub(crate) heads: i64,
    pub(crate) vocabulary: i64,
}

/// Loss of a decoder-only transformer, its gradients and an Adam update of every weight.
pub(crate) fn transformer(size: Size) -> Graph {
    let Size { batch, length, width, vocabulary, .. } = size;
    let mut g = Graph::new("transformer");
    let tokens = g.param(Type::fixed(DType::I64, &[batch * length]));
    let targets = g.param(Type::fixed(DType::I64, &[batch * length]));
    let mut weights = Vec::new();
    let table = weight(&mut g, &mut weights, &[vocabulary, width]);
    let places = weight(&mut g, &mut weights, &[length, width]);
    let embedded = lookup(&mut g, table, tokens, width);
    let embedded = g.reshape(&embedded, shape(&[batch, length, width]));
    let places = g.broadcast(&places, &shape(&[batch, length, width]));
    let mut x = plus(&mut g, &embedded, &places);
    for _ in 0..size.layers {
        x = layer(&mut g, &mut weights, x, size);
    }
    let x = layer_norm(&mut g, &mut weights, x);
    let logits = linear(&mut g, &mut weights, x, width, vocabulary);
    let logits = g.reshape(&logits, shape(&[batch * length, vocabulary]));
    let loss = cross_entropy(&mut g, logits, targets, vocabulary);
    train(g, loss, &weights)
}

fn layer(g: &mut Graph, weights: &mut Vec<ValueId>, x: ValueId, of: Size) -> ValueId {
    let Size { batch, length, width, heads, .. } = of;
    let size = width / heads;
    let h = layer_norm(g, weights, x);
    let qkv = linear(g, weights, h, width, 3 * width);
    let parts: Vec<ValueId> = (0..3)
        .map(|i| {
            let part = g.narrow(&qkv, 2, (i * width).into(), width.into());
            let part = g.reshape(&part, shape(&[batch, length, heads, size]));
            g.permute(&part, &[0, 2, 1, 3])
        })
        .collect();
    let keys = g.permute(&parts[1], &[0, 1, 3, 2]);
    let scores = g.dot(&parts[0], &keys, &[(0, 0), (1, 1)], &[(3, 2)]);
    let scores = g.scale(&scores, 1.0 / (size as f64).sqrt());
    let square = shape(&[length, length]);
    let (row, column) = (g.iota(DType::I64, square.clone(), 0), g.iota(DType::I64, square, 1));
    let future = g.cmp(Cmp::Lt, &row, &column);
    let future = g.broadcast(&future, &shape(&[batch, heads, length, length]));
    let never = g.full_like(&scores, f64::NEG_INFINITY);
    let scores = g.select(&future, &never, &scores);
    let attention = softmax(g, scores, 3);
    let mixed = g.dot(&attention, &parts[2], &[(0, 0), (1, 1)], &[(3, 2)]);
    let mixed = g.permute(&mixed, &[0, 2, 1, 3]);
    let mixed = g.reshape(&mixed, shape(&[batch, length, width]));
    let mixed = linear(g, weights, mixed, width, width);
    let x = plus(g, &x, &mixed);
    let h = layer_norm(g, weights, x);
    let h = linear(g, weights, h, width, 4 * width);
    let h = gelu(g, h);
    let h = linear(g, weights, h, 4 * width, width);
    plus(g, &x, &h)
}

/// LeNet-like, over images of one channel: two convolutions with batch normalisation and pooling, two linear layers.
pub(crate) fn cnn(batch: i64, size: i64, channels: i64) -> Graph {
    let mut g = Graph::new("cnn");
    let images = g.param(Type::fixed(DType::F32, &[batch, 1, size, size]));
    let targets = g.param(Type::fixed(DType::I64, &[batch]));
    let mut weights = Vec::new();
    let x = conv_block(&mut g, &mut weights, images, 1, channels, size);
    let x = conv_block(&mut g, &mut weights, x, channels, 2 * channels, size / 2);
    let features = 2 * channels * (size / 4) * (size / 4);
    let x = g.reshape(&x, shape(&[batch, features]));
    let x = linear(&mut g, &mut weights, x, features, 128);
    let x = relu(&mut g, x);
    let logits = linear(&mut g, &mut weights, x, 128, 10);
    let loss = cross_entropy(&mut g, logits, targets, 10);
    train(g, loss, &weights)
}

fn conv_block(
    g: &mut Graph,
    weights: &mut Vec<ValueId>,
    x: ValueId,
    from: i64,
    to: i64,
    size: i64,
) -> ValueId {
    let kernel = weight(g, weights, &[to, from, 3, 3]);
    let edge = PadDim { low: 1.into(), high: 1.into(), interior: 0 };
    let padded = g.pad(&x, vec![PadDim::none(), PadDim::none(), edge.clone(), edge], 0.0);
    let taps = |axis| WindowDim { axis, size: 3, stride: 1, dilation: 1 };
    let windows = g.op(Op::Window([taps(2), taps(3)].into()), &[padded]);
    let y = g.dot(&windows, &kernel, &[], &[(1, 1), (4, 2), (5, 3)]);
    let y = g.permute(&y, &[0, 3, 1, 2]);
    let y = batch_norm(g, weights, y, to);
    let y = relu(g, y);
    let pool = |axis| WindowDim { axis, size: 2, stride: 2, dilation: 1 };
    let pools = g.op(Op::Window([pool(2), pool(3)].into()), &[y]);
    let y = g.reduce(ReduceOp::Max, &pools, &[4, 5]);
    let batch = g.shape(&y)[0].fixed().unwrap_or(1);
    g.reshape(&y, shape(&[batch, to, size / 2, size / 2]))
}

fn batch_norm(g: &mut Graph, weights: &mut Vec<ValueId>, x: ValueId, channels: i64) -> ValueId {
    let full = g.shape(&x);
    let normal = normalise(g, x, &[0, 2, 3]);
    let (gain, bias) = (weight(g, weights, &[channels]), weight(g, weights, &[channels]));
    let of = |g: &mut Graph, w: ValueId| {
        let w = g.reshape(&w, shape(&[1, channels, 1, 1]));
        g.expand(&w, full.clone())
    };
    let (gain, bias) = (of(g, gain), of(g, bias));
    let y = g.mul(&normal, &gain);
    plus(g, &y, &bias)
}

fn layer_norm(g: &mut Graph, weights: &mut Vec<ValueId>, x: ValueId) -> ValueId {
    let full = g.shape(&x);
    let normal = normalise(g, x, &[2]);
    let width = full[2].fixed().unwrap_or(1);
    let (gain, bias) = (weight(g, weights, &[width]), weight(g, weights, &[width]));
    let (gain, bias) = (g.broadcast(&gain, &full), g.broadcast(&bias, &full));
    let y = g.mul(&normal, &gain);
    plus(g, &y, &bias)
}

fn normalise(g: &mut Graph, x: ValueId, axes: &[usize]) -> ValueId {
    let full = g.shape(&x);
    let mean = mean(g, x, axes);
    let mean = g.expand(&mean, full.clone());
    let centred = g.sub(&x, &mean);
    let squares = g.mul(&centred, &centred);
    let variance = self::mean(g, squares, axes);
    let safe = g.shift(&variance, 1e-5);
    let deviation = g.unary(Unary::Sqrt, &safe);
    let deviation = g.expand(&deviation, full);
    g.div(&centred, &deviation)
}

fn mean(g: &mut Graph, x: ValueId, axes: &[usize]) -> ValueId {
    let count: i64 = axes.iter().map(|&a| g.shape(&x)[a].fixed().unwrap_or(1)).product();
    let sum = g.reduce(ReduceOp::Sum, &x, axes);
    let count = g.full_like(&sum, count as f64);
    g.div(&sum, &count)
}

/// `x @ w.T + b`
fn linear(g: &mut Graph, weights: &mut Vec<ValueId>, x: ValueId, from: i64, to: i64) -> ValueId {
    let (w, b) = (weight(g, weights, &[to, from]), weight(g, weights, &[to]));
    let rows = g.rank(&x) - 1;
    let turned = g.permute(&w, &[1, 0]);
    let y = g.dot(&x, &turned, &[], &[(rows, 0)]);
    let full = g.shape(&y);
    let b = g.broadcast(&b, &full);
    plus(g, &y, &b)
}

fn softmax(g: &mut Graph, x: ValueId, axis: usize) -> ValueId {
    let full = g.shape(&x);
    let max = g.reduce(ReduceOp::Max, &x, &[axis]);
    let max = g.detach(&max);
    let max = g.expand(&max, full.clone());
    let shifted = g.sub(&x, &max);
    let e = g.unary(Unary::Exp, &shifted);
    let sum = g.reduce(ReduceOp::Sum, &e, &[axis]);
    let sum = g.expand(&sum, full);
    g.div(&e, &sum)
}

fn gelu(g: &mut Graph, x: ValueId) -> ValueId {
    let scaled = g.scale(&x, std::f64::consts::FRAC_1_SQRT_2);
    let e = g.unary(Unary::Erf, &scaled);
    let e = g.shift(&e, 1.0);
    let half = g.scale(&x, 0.5);
    g.mul(&half, &e)
}

fn relu(g: &mut Graph, x: ValueId) -> ValueId {
    let zero = g.full_like(&x, 0.0);
    let positive = g.cmp(Cmp::Lt, &zero, &x);
    g.select(&positive, &x, &zero)
}

fn plus(g: &mut Graph, x: &ValueId, y: &ValueId) -> ValueId {
    g.binary(Binary::Add, x, y)
}

fn lookup(g: &mut Graph, table: ValueId, index: ValueId, width: i64) -> ValueId {
    let n = g.shape(&index)[0].clone();
    let index = g.reshape(&index, [n.clone(), Dim::Fixed(1)].into_iter().collect());
    let index = g.expand(&index, [n, Dim::Fixed(width)].into_iter().collect());
    g.gather(&table, &index, 0)
}

fn cross_entropy(g: &mut Graph, logits: ValueId, targets: ValueId, classes: i64) -> ValueId {
    let full = g.shape(&logits);
    let n = full[0].clone();
    let max = g.reduce(ReduceOp::Max, &logits, &[1]);
    let max = g.detach(&max);
    let max = g.expand(&max, full.clone());
    let shifted = g.sub(&logits, &max);
    let e = g.unary(Unary::Exp, &shifted);
    let sum = g.reduce(ReduceOp::Sum, &e, &[1]);
    let log = g.unary(Unary::Log, &sum);
    let log = g.expand(&log, full);
    let likelihood = g.sub(&shifted, &log);
    debug_assert!(classes > 1);
    let index = g.reshape(&targets, [n, Dim::Fixed(1)].into_iter().collect());
    let picked = g.gather(&likelihood, &index, 1);
    let mean = mean(g, picked, &[0, 1]);
    let loss = g.neg(&mean);
    g.reshape(&loss, shape(&[]))
}

fn weight(g: &mut Graph, weights: &mut Vec<ValueId>, dims: &[i64]) -> ValueId {
    let w = g.param(Type::fixed(DType::F32, dims));
    weights.push(w);
    w
}

/// Gradients and Adam's update of each weight; the learning rate is an input.
fn train(g: Graph, loss: ValueId, weights: &[ValueId]) -> Graph {
    let mut step = Graph::clone(&g);
    step.outputs = vec![loss];
    let mut step = vjp(&step, &[loss], weights, VjpOptions { keep_outputs: true }).expect("differentiable");
    // The cotangent is an input of the derivative; a script has the number 1 there.
    step = seeded(&step);
    let gradients = step.outputs.split_off(1);
    let rate = step.param(Type::fixed(DType::F32, &[]));
    for (w, grad) in weights.iter().zip(gradients) {
        let ty = step.ty(*w).clone();
        let (m, v) = (step.param(ty.clone()), step.param(ty.clone()));
        let (m, kept) = (step.scale(&m, 0.9), step.scale(&grad, 0.1));
        let m = plus(&mut step, &m, &kept);
        let square = step.mul(&grad, &grad);
        let (v, kept) = (step.scale(&v, 0.999), step.scale(&square, 0.001));
        let v = plus(&mut step, &v, &kept);
        let root = step.unary(Unary::Sqrt, &v);
        let root = step.shift(&root, 1e-8);
        let direction = step.div(&m, &root);
        let rate = step.broadcast(&rate, &ty.shape);
        let change = step.mul(&rate, &direction);
        let w = step.binary(Binary::Sub, w, &change);
        step.outputs.extend([w, m, v]);
    }
    step
}

/// `graph` with the last input replaced by the number 1.
fn seeded(graph: &Graph) -> Graph {
    let mut out = Graph::like(graph);
    let seed = graph.params()[graph.params().len() - 1];
    let mut map: Vec<ValueId> = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        let inputs: Vec<ValueId> = node.inputs.iter().map(|v| map[v.index()]).collect();
        let one = Op::Const { value: Scalar::one(DType::F32), shape: node.ty.shape.clone() };
        map.push(out.op(if id == seed { one } else { node.op.clone() }, &inputs));
    }
    out.outputs = graph.outputs.iter().map(|v| map[v.index()]).collect();
    out
}
