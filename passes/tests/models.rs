//! Whole training steps mean the same after the passes, and are as small as they should be.

#[path = "../examples/pass_timing/models.rs"]
mod models;

use models::Size;
use ttk_ir::eval::eval;
use ttk_ir::testing::{Values, input_types, random_inputs};
use ttk_ir::{DType, Graph, Op};
use ttk_passes::{Options, optimize};

fn count(graph: &Graph, test: impl Fn(&Op) -> bool) -> usize {
    graph.nodes().iter().filter(|n| test(&n.op)).count()
}

/// Both graphs on random inputs.
fn check(before: &Graph, after: &Graph) {
    let mut inputs = random_inputs(&input_types(before), &[], 7, Values::Tame);
    for (i, x) in inputs.iter_mut().enumerate() {
        // Adam's second moments are not negative; tokens and labels are in range.
        let values: Vec<f64> = x.to_f64().iter().map(|v| v.abs()).collect();
        let moment = i > inputs_before_state(before) && (i - inputs_before_state(before)).is_multiple_of(2);
        if x.dtype == DType::I64 || moment {
            *x = ttk_ir::eval::Tensor::from_f64(x.dtype, &x.dims, &values);
        }
    }
    let (want, got) = (eval(before, &inputs, &[]).unwrap(), eval(after, &inputs, &[]).unwrap());
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        g.close(w, 2e-4, 2e-5).unwrap_or_else(|e| panic!("output {i}: {e}"));
    }
}

/// The learning rate is the first input after the weights, and pairs of moments follow.
fn inputs_before_state(graph: &Graph) -> usize {
    graph.params().iter().position(|&p| graph.ty(p).rank() == 0).unwrap_or(0)
}

#[test]
fn a_transformer_keeps_its_meaning() {
    let size = Size { layers: 2, batch: 2, length: 5, width: 8, heads: 2, vocabulary: 7 };
    let before = models::transformer(size);
    let after = optimize(&before, &Options::default()).unwrap();
    check(&before, &after);
    let is_dot = |op: &Op| matches!(op, Op::Dot { .. });
    assert_eq!(count(&before, is_dot), count(&after, is_dot), "no product is computed twice");
    // What is left: the heads of attention put side by side, forward and backward.
    let permutes = count(&after, |op| matches!(op, Op::Permute(_)));
    assert!(permutes <= 4 * size.layers, "{permutes} permutations are left");
}

#[test]
fn a_convolutional_network_keeps_its_meaning() {
    let before = models::cnn(2, 8, 3);
    check(&before, &optimize(&before, &Options::default()).unwrap());
}

#[test]
fn convolutions_lie_channels_last() {
    let after = optimize(&models::cnn(64, 28, 32), &Options::default()).unwrap();
    assert_eq!(
        count(&after, |op| matches!(op, Op::Fold { .. })),
        0,
        "gradients of convolutions are convolutions"
    );
    let windows = after.nodes().iter().filter(|n| matches!(n.op, Op::Window(_)));
    let last: Vec<i64> = windows.filter_map(|n| n.ty.shape[3].fixed()).collect();
    // All but the windows of the image, which has one channel; the last are of an activation that is computed again.
    assert_eq!(last, [28, 32, 32, 64, 64, 32]);
}
