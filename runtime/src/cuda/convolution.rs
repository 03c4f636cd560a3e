//! A convolution for certain sizes, as cuDNN takes it.

use super::bound::{DeviceBound, Value};
use super::calls::{Memory, value};
use super::device::Device;
use super::dnn;
use super::driver::{Address, Stream};
use super::error::CudaError;
use super::plan::Places;
use ttk_ir::library::{Convolution, Images};
use ttk_ir::program::Program;

/// A convolution that the library has an algorithm for.
pub(super) struct ConvolutionCall {
    convolution: dnn::Convolution,
    /// `x`, the filter and `y`, each with where it begins in bytes.
    operands: [(Value, Address); 3],
    /// How often it runs, and by how many bytes each operand moves on.
    times: u64,
    steps: [Address; 3],
}

impl ConvolutionCall {
    /// `None` when the library has no way to compute it.
    pub(super) fn new(
        device: &Device,
        program: &Program,
        bound: &DeviceBound,
        c: &Convolution,
    ) -> Option<ConvolutionCall> {
        let dnn = device.dnn()?;
        let memory = Memory { program, bound };
        let steps = c.steps;
        if !(1..=i64::from(i32::MAX)).contains(&c.times) || steps.iter().any(|s| *s < 0) {
            return None;
        }
        // How far the last of several lies behind the first.
        let mut behind = [0; 3];
        for (behind, step) in behind.iter_mut().zip(steps) {
            *behind = (c.times - 1).checked_mul(step)?;
        }
        let (x, y) = (images(&memory, &c.x, c, behind[0])?, images(&memory, &c.y, c, behind[2])?);
        let filter = small(c.filter.sizes.each_ref().map(|e| memory.number(e)))?;
        let filter_len: i64 = filter.iter().map(|&n| i64::from(n)).product();
        let begin = memory.number(&c.filter.offset);
        if begin < 0
            || begin.checked_add(filter_len)?.checked_add(behind[1])?
                > memory.elements(&c.filter.memory, c.dtype)?
        {
            return None;
        }
        let shape = dnn::Shape {
            dtype: c.dtype,
            direction: c.direction,
            x,
            y,
            filter,
            stride: small(c.stride)?,
            padding: small_or_zero(c.padding)?,
            dilation: small(c.dilation)?,
            groups: small([c.groups])?[0],
            flipped: c.flipped,
            tf32: c.tf32,
        };
        // An error here is one of the description; the program's own functions need none.
        let convolution = dnn::Convolution::new(dnn, &shape).ok().flatten()?;
        let at = |memory_of, offset| {
            Some((value(memory_of)?, (memory.number(offset) * c.dtype.size() as i64) as Address))
        };
        Some(ConvolutionCall {
            convolution,
            operands: [
                at(&c.x.memory, &c.x.offset)?,
                at(&c.filter.memory, &c.filter.offset)?,
                at(&c.y.memory, &c.y.offset)?,
            ],
            times: c.times as u64,
            steps: steps.map(|s| (s * c.dtype.size() as i64) as Address),
        })
    }

    pub(super) fn run(&self, places: &Places, stream: &Stream) -> Result<(), CudaError> {
        let [x, filter, y] = self.operands.map(|(v, at)| places.value(v) + at);
        let [sx, sf, sy] = self.steps;
        (0..self.times).try_for_each(|i| {
            let (x, filter, y) = (x + i * sx, filter + i * sf, y + i * sy);
            // SAFETY: the extents of all operands of all times were checked against their memory when the call was
            // prepared.
            unsafe { self.convolution.run(stream, x, filter, y) }
        })
    }
}

/// Images with their numbers; `None` if there are none, or they, or the last ones so many elements behind, reach beyond
/// their memory.
fn images(memory: &Memory<'_>, i: &Images, c: &Convolution, behind: i64) -> Option<dnn::Images> {
    let sizes = small(i.sizes.each_ref().map(|e| memory.number(e)))?;
    let mut last = memory.number(&i.offset);
    if last < 0 {
        return None;
    }
    // An axis of one element has no stride; a library wants one that does not lie inside the others.
    let reach = sizes.iter().zip(i.strides).map(|(&n, s)| i64::from(n) * s).max()?;
    let mut strides = i.strides;
    for (stride, &size) in strides.iter_mut().zip(&sizes) {
        last += i64::from(size - 1) * *stride;
        if size == 1 {
            *stride = reach;
        }
    }
    (last.checked_add(behind)? < memory.elements(&i.memory, c.dtype)?)
        .then_some(dnn::Images { sizes, strides: small(strides)? })
}

/// Positive numbers as the library takes them.
fn small<const N: usize>(numbers: [i64; N]) -> Option<[i32; N]> {
    numbers.iter().all(|&n| n > 0).then(|| small_or_zero(numbers))?
}

fn small_or_zero<const N: usize>(numbers: [i64; N]) -> Option<[i32; N]> {
    let mut out = [0; N];
    for (to, &n) in out.iter_mut().zip(&numbers) {
        *to = i32::try_from(n).ok().filter(|&n| n >= 0)?;
    }
    Some(out)
}
