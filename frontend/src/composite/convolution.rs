//! Convolutions: `pad`, `window`, `dot`.
//!
//! The product is `dot(window(pad(x)), weight[O, C, R, S])` over C, R and S, its result permuted to
//! channels second: as it comes from the product the channels are last, next to each other in memory, which
//! is how the product computes them, a vector of channels at a time.

use super::Val;
use super::activation::along;
use ttk_ir::Builder;
use ttk_ir::op::{PadDim, WindowDim};

/// The settings of a convolution, one entry a spatial axis.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Convolution {
    pub stride: Vec<i64>,
    /// Zeros before and after.
    pub padding: Vec<(i64, i64)>,
    pub dilation: Vec<i64>,
    pub groups: i64,
}

impl Convolution {
    /// The padding that keeps sizes with a stride of 1; the odd zero goes after.
    pub fn same(kernel: &[i64], dilation: &[i64]) -> Vec<(i64, i64)> {
        let total = kernel.iter().zip(dilation).map(|(k, d)| d * (k - 1));
        total.map(|t| (t / 2, t - t / 2)).collect()
    }
}

/// `x` is `[N, C, spatial...]`, `weight` `[O, C / groups, kernel...]`, `bias` `[O]`.
pub fn convolution<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: &Val<'r, B>,
    bias: Option<&Val<'r, B>>,
    settings: &Convolution,
) -> Val<'r, B> {
    let mut pads = vec![(0, 0); 2];
    pads.extend(&settings.padding);
    correlate(&x.pad(&pads, 0.0), weight, bias, &settings.stride, &settings.dilation, settings.groups)
}

/// The sums of products of `weight` with every window of the padded `x`.
fn correlate<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: &Val<'r, B>,
    bias: Option<&Val<'r, B>>,
    stride: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Val<'r, B> {
    let spatial = stride.len();
    let kernel: Vec<i64> = weight.sizes()[2..].to_vec();
    let out_channels = weight.size(0);
    let windows = |first: usize| -> Vec<WindowDim> {
        let dim = |i: usize| WindowDim {
            axis: (first + i) as u8,
            size: kernel[i],
            stride: stride[i],
            dilation: dilation[i],
        };
        (0..spatial).map(dim).collect()
    };
    let y = if groups == 1 {
        // [N, C, out..., kernel...] against [O, C, kernel...] gives [N, out..., O].
        let win = x.window(&windows(2));
        let over: Vec<(usize, usize)> =
            std::iter::once((1, 1)).chain((0..spatial).map(|i| (2 + spatial + i, 2 + i))).collect();
        let perm: Vec<usize> = [0, 1 + spatial].into_iter().chain(1..1 + spatial).collect();
        win.dot(weight, &[], &over).permute(&perm)
    } else {
        // With a group axis G before the channels: [G, N, out..., O/G].
        let x = x.unflatten(1, &[groups, x.size(1) / groups]);
        let weight = weight.unflatten(0, &[groups, out_channels / groups]);
        let win = x.window(&windows(3));
        let over: Vec<(usize, usize)> =
            std::iter::once((2, 2)).chain((0..spatial).map(|i| (3 + spatial + i, 3 + i))).collect();
        let y = win.dot(&weight, &[(1, 0)], &over);
        let perm: Vec<usize> = [1, 0, 2 + spatial].into_iter().chain(2..2 + spatial).collect();
        y.permute(&perm).flatten(1, 2)
    };
    bias.map_or_else(|| y.clone(), |b| &y + along(b, 1, y.rank()))
}

/// The adjoint of a convolution, as a layer: `x` is `[N, C, spatial...]`, `weight`
/// `[C, O / groups, kernel...]`.
///
/// A convolution with the flipped kernel of `x` with `stride - 1` zeros between its elements;
/// `padding` takes away, `output_padding` adds at the end.
pub fn conv_transpose<'r, B: Builder>(
    x: &Val<'r, B>,
    weight: &Val<'r, B>,
    bias: Option<&Val<'r, B>>,
    settings: &Convolution,
    output_padding: &[i64],
) -> Val<'r, B> {
    let spatial = settings.stride.len();
    let groups = settings.groups;
    let kernel: Vec<i64> = weight.sizes()[2..].to_vec();
    let interior: Vec<PadDim> = (0..x.rank())
        .map(|a| PadDim { interior: if a < 2 { 0 } else { settings.stride[a - 2] - 1 }, ..PadDim::none() })
        .collect();
    let mut pads = vec![(0, 0); 2];
    for i in 0..spatial {
        let reach = settings.dilation[i] * (kernel[i] - 1);
        let (low, high) = settings.padding[i];
        pads.push((reach - low, reach - high + output_padding[i]));
    }
    let x = x.pad_interior(interior, 0.0).pad(&pads, 0.0);

    let axes: Vec<usize> = (2..2 + spatial).collect();
    let flipped = weight.flip(&axes);
    // [C, O/G, kernel...] to [O, C/G, kernel...]
    let turned = if groups == 1 {
        flipped.transpose(0, 1)
    } else {
        flipped.unflatten(0, &[groups, weight.size(0) / groups]).transpose(1, 2).flatten(0, 1)
    };
    let ones = vec![1; spatial];
    correlate(&x, &turned, bias, &ones, &settings.dilation, groups)
}
