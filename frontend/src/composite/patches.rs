//! Patches of images, and channels rearranged into space.

use super::Val;
use ttk_ir::Builder;
use ttk_ir::op::WindowDim;

/// One spatial axis of [`unfold`] and [`fold`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patch {
    pub size: i64,
    pub stride: i64,
    pub padding: i64,
    pub dilation: i64,
}

fn windows(patches: &[Patch]) -> Vec<WindowDim> {
    let dim = |(i, p): (usize, &Patch)| WindowDim {
        axis: 2 + i as u8,
        size: p.size,
        stride: p.stride,
        dilation: p.dilation,
    };
    patches.iter().enumerate().map(dim).collect()
}

/// The patches of `[N, C, H, W]` as columns: `[N, C * patch, positions]`.
pub fn unfold<'r, B: Builder>(x: &Val<'r, B>, patches: &[Patch]) -> Val<'r, B> {
    let k = patches.len();
    let mut pads = vec![(0, 0); 2];
    pads.extend(patches.iter().map(|p| (p.padding, p.padding)));
    let win = x.pad(&pads, 0.0).window(&windows(patches));
    let perm: Vec<usize> = [0, 1].into_iter().chain(2 + k..2 + 2 * k).chain(2..2 + k).collect();
    win.permute(&perm).flatten(1, 1 + k).flatten(2, 1 + k)
}

/// The adjoint of [`unfold`]: columns summed into an image of the given sizes.
pub fn fold<'r, B: Builder>(x: &Val<'r, B>, sizes: &[i64], patches: &[Patch]) -> Val<'r, B> {
    let k = patches.len();
    let padded: Vec<i64> = sizes.iter().zip(patches).map(|(n, p)| n + 2 * p.padding).collect();
    let count = |(n, p): (&i64, &Patch)| (n - p.dilation * (p.size - 1) - 1) / p.stride + 1;
    let counts: Vec<i64> = padded.iter().zip(patches).map(count).collect();
    let area: i64 = patches.iter().map(|p| p.size).product();
    let mut shape = vec![x.size(0), x.size(1) / area];
    shape.extend(patches.iter().map(|p| p.size));
    shape.extend(&counts);
    let perm: Vec<usize> = [0, 1].into_iter().chain(2 + k..2 + 2 * k).chain(2..2 + k).collect();
    let image = x.view(&shape).permute(&perm).fold(&windows(patches), &padded);
    let mut crops = vec![(0, 0); 2];
    crops.extend(patches.iter().map(|p| (-p.padding, -p.padding)));
    image.pad(&crops, 0.0)
}

/// `torch.Tensor.unfold`: windows of an axis, their elements as the new last axis.
pub fn unfold_axis<'r, B: Builder>(x: &Val<'r, B>, axis: usize, size: i64, step: i64) -> Val<'r, B> {
    if x.rank() == 0 {
        return x.view(&[1]).window(&[WindowDim { axis: 0, size, stride: step, dilation: 1 }]).view(&[size]);
    }
    x.window(&[WindowDim { axis: axis as u8, size, stride: step, dilation: 1 }])
}

/// `[..., C r², H, W]` to `[..., C, H r, W r]`.
pub fn pixel_shuffle<'r, B: Builder>(x: &Val<'r, B>, r: i64) -> Val<'r, B> {
    let c = x.rank() - 3;
    let split = x.unflatten(c, &[x.size(c) / (r * r), r, r]);
    let perm: Vec<usize> = (0..=c).chain([c + 3, c + 1, c + 4, c + 2]).collect();
    split.permute(&perm).flatten(c + 3, c + 4).flatten(c + 1, c + 2)
}

/// `[..., C, H r, W r]` to `[..., C r², H, W]`.
pub fn pixel_unshuffle<'r, B: Builder>(x: &Val<'r, B>, r: i64) -> Val<'r, B> {
    let c = x.rank() - 3;
    let split = x.unflatten(c + 2, &[x.size(c + 2) / r, r]).unflatten(c + 1, &[x.size(c + 1) / r, r]);
    let perm: Vec<usize> = (0..=c).chain([c + 2, c + 4, c + 1, c + 3]).collect();
    split.permute(&perm).flatten(c, c + 2)
}

/// Channels (axis 1) dealt out so that each group gets one of every group.
pub fn channel_shuffle<'r, B: Builder>(x: &Val<'r, B>, groups: i64) -> Val<'r, B> {
    x.unflatten(1, &[groups, x.size(1) / groups]).transpose(1, 2).flatten(1, 2)
}
