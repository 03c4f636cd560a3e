//! PyTorch's random numbers on a GPU.
//!
//! Its kernels run so many threads as there are elements, but no more than the device holds at once. Each thread has a
//! subsequence of Philox4x32-10 of its own and goes round until all elements are done; a call moves the generator on by four
//! words for each round, whatever its threads took. Which of a thread's words an element gets depends on the kernel: these
//! are the streams of [`RandomStream`] with a number of threads. The recipes are those of `DistributionTemplates.h` and
//! `Dropout.cu` of PyTorch and of cuRAND's device functions, which make numbers in `(0, 1]`.

use super::{Generator, count, integers_from};
use crate::device;
use crate::error::Result;
use crate::host::check_room;
use crate::node::{Node, Value};
use crate::record::Recorder;
use smallvec::SmallVec;
use ttk_ir::op::RandomStream;
use ttk_ir::random::random_words;
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Op, Scalar, Type, Unary};
use ttk_runtime::Buffer;

/// Threads of a block of PyTorch's kernels.
const BLOCK: i64 = 256;

/// Words of a block of Philox.
const WORDS: u64 = 4;

/// Where a draw begins, and the threads that make it: the operand of `random_bits`.
fn take(g: &Generator, threads: i64, rounds: i64) -> [i64; 3] {
    let mut state = g.state.lock();
    let taken = [state.seed as i64, state.drawn as i64, threads];
    state.drawn = state.drawn.wrapping_add(WORDS * rounds.max(0) as u64);
    taken
}

/// Threads of a kernel over `n` elements.
fn threads(g: &Generator, n: i64) -> Result<i64> {
    let device = device::open(g.gpu.unwrap_or(0))?;
    let p = device.properties();
    let most = i64::from(p.multiprocessors) * (i64::from(p.threads_of_multiprocessor) / BLOCK).max(1);
    Ok(BLOCK * ((n + BLOCK - 1) / BLOCK).clamp(1, most))
}

/// The state of a draw for `n` elements.
fn state(g: &Generator, stream: RandomStream, n: i64) -> Result<[i64; 3]> {
    let threads = threads(g, n)?;
    // Elements of a thread and round.
    let each = if stream == RandomStream::PhiloxPairs { 2 } else { 4 };
    let rounds = if n == 0 { 0 } else { (n - 1) / (threads * each) + 1 };
    Ok(take(g, threads, rounds))
}

/// Words of an element.
fn words_each(stream: RandomStream) -> i64 {
    match stream {
        RandomStream::PhiloxPairs | RandomStream::PhiloxTwins => 2,
        RandomStream::Mt19937 | RandomStream::Philox | RandomStream::PhiloxLanes => 1,
        RandomStream::PhiloxVectors | RandomStream::PhiloxHalves => 1,
    }
}

/// The next words of a stream of a GPU, `i32`; `shape` is that of the words.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn words(g: &Generator, b: &mut Recorder, stream: RandomStream, shape: &[i64]) -> Result<Value> {
    let n = count(shape)?;
    check_room(n, 4)?;
    let (words, _) = draw(b, stream, state(g, stream, n / words_each(stream))?, shape)?;
    Ok(words)
}

/// The words of a draw, and its state as a value.
fn draw(b: &mut Recorder, stream: RandomStream, state: [i64; 3], shape: &[i64]) -> Result<(Value, Value)> {
    let state = Node::leaf(Buffer::from_slice(&state)?, Type::fixed(DType::I64, &[3]));
    let words =
        b.op(Op::RandomBits { stream, shape: ttk_ir::shape::shape(shape) }, std::slice::from_ref(&state));
    Ok((words, state))
}

/// Words as numbers from 0 to 2^32 - 1 (`i64`).
fn unsigned(b: &mut Recorder, words: &Value) -> Value {
    let wide = b.cast(words, DType::I64);
    let mask = b.constant(Scalar::from_i64(DType::I64, 0xffff_ffff), wide.ty.shape.clone());
    b.binary(Binary::And, &wide, &mask)
}

/// `f32` numbers in `(0, 1]`, of 32 bits rounded to 24.
fn open_uniform(b: &mut Recorder, words: &Value) -> Value {
    let number = unsigned(b, words);
    let x = b.cast(&number, DType::F32);
    let x = b.scale(&x, 2f64.powi(-32));
    b.shift(&x, 2f64.powi(-33))
}

/// One of the two words of each element, words `[.., 2]`.
fn half(b: &mut Recorder, words: &Value, shape: &[i64], i: i64) -> Value {
    let part = b.narrow(words, shape.len(), Dim::Fixed(i), Dim::Fixed(1));
    b.reshape(&part, ttk_ir::shape::shape(shape))
}

fn with_pair(shape: &[i64]) -> SmallVec<[i64; 6]> {
    let mut s: SmallVec<[i64; 6]> = shape.into();
    s.push(2);
    s
}

/// `f64` numbers in `(0, 1]`, of 53 bits.
fn open_uniform_f64(b: &mut Recorder, g: &Generator, shape: &[i64]) -> Result<Value> {
    let words = words(g, b, RandomStream::PhiloxPairs, &with_pair(shape))?;
    let words = unsigned(b, &words);
    let (low, high) = (half(b, &words, shape, 0), half(b, &words, shape, 1));
    let by = b.constant(Scalar::from_i64(DType::I64, 1 << 21), low.ty.shape.clone());
    let high = b.mul(&high, &by);
    let bits = b.binary(Binary::Xor, &low, &high);
    let x = b.cast(&bits, DType::F64);
    let x = b.scale(&x, 2f64.powi(-53));
    Ok(b.shift(&x, 2f64.powi(-54)))
}

/// Numbers in `[low, high)`: what would be `high` is `low`.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn uniform(
    b: &mut Recorder,
    g: &Generator,
    dtype: DType,
    shape: &[i64],
    (low, high): (f64, f64),
) -> Result<Value> {
    let rounded = |d: DType, v: f64| Scalar::from_f64(d, v).as_f64();
    let (from, to) = (rounded(dtype, low), rounded(dtype, high));
    let value = if dtype == DType::F64 {
        let u = open_uniform_f64(b, g, shape)?;
        super::between(b, u, (from, to))
    } else {
        let words = words(g, b, RandomStream::PhiloxLanes, shape)?;
        let u = open_uniform(b, &words);
        let range = rounded(DType::F32, rounded(dtype, to - from));
        let value = if (from, range) == (0.0, 1.0) {
            u
        } else {
            // A product and a sum that are rounded once, as PyTorch's compiler makes of them.
            let wide = b.cast(&u, DType::F64);
            let wide = b.scale(&wide, range);
            let wide = b.shift(&wide, from);
            b.cast(&wide, DType::F32)
        };
        b.cast(&value, dtype)
    };
    let (lowest, highest) = (b.full_like(&value, from), b.full_like(&value, to));
    let at_end = b.cmp(Cmp::Eq, &value, &highest);
    Ok(b.select(&at_end, &lowest, &value))
}

/// Standard normal numbers of `f32` and the 16-bit types: Box and Muller's sine and cosine of two words, for elements that lie
/// as far apart as there are threads. (PyTorch's sine and cosine are the hardware's: the last bits differ.)
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn normal(b: &mut Recorder, g: &Generator, dtype: DType, shape: &[i64]) -> Result<Value> {
    let n = count(shape)?;
    check_room(n, 8)?;
    let flat = [n];
    let state = state(g, RandomStream::PhiloxTwins, n)?;
    let (words, state) = draw(b, RandomStream::PhiloxTwins, state, &with_pair(&flat))?;
    let (first, second) = (half(b, &words, &flat, 0), half(b, &words, &flat, 1));
    let u = open_uniform(b, &first);
    let number = unsigned(b, &second);
    let angle = b.cast(&number, DType::F32);
    let turn = 2.0 * std::f64::consts::PI * 2f64.powi(-32);
    let angle = b.scale(&angle, turn);
    let angle = b.shift(&angle, turn / 2.0);
    let log = b.unary(Unary::Log, &u);
    let square = b.scale(&log, -2.0);
    let radius = b.unary(Unary::Sqrt, &square);
    let (sin, cos) = (b.unary(Unary::Sin, &angle), b.unary(Unary::Cos, &angle));
    // Every other element of a thread is the cosine.
    let threads = b.narrow(&state, 0, Dim::Fixed(2), Dim::Fixed(1));
    let dims = ttk_ir::shape::shape(&flat);
    let threads = b.expand(&threads, dims.clone());
    let at = b.iota(DType::I64, dims.clone(), 0);
    let at = b.binary(Binary::Div, &at, &threads);
    let one = b.constant(Scalar::from_i64(DType::I64, 1), dims);
    let odd = b.binary(Binary::And, &at, &one);
    let is_cos = b.cmp(Cmp::Eq, &odd, &one);
    let side = b.select(&is_cos, &cos, &sin);
    let x = b.mul(&radius, &side);
    let x = b.reshape(&x, ttk_ir::shape::shape(shape));
    Ok(b.cast(&x, dtype))
}

/// Numbers in `(0, 1]`: `f64`, or `f32` for the other types.
fn open_numbers(b: &mut Recorder, g: &Generator, dtype: DType, shape: &[i64]) -> Result<Value> {
    if dtype == DType::F64 {
        return open_uniform_f64(b, g, shape);
    }
    let words = words(g, b, RandomStream::PhiloxLanes, shape)?;
    Ok(open_uniform(b, &words))
}

/// Exponential numbers: minus the logarithm of a number in `(0, 1]`, never 0, over the rate.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn exponential(
    b: &mut Recorder,
    g: &Generator,
    dtype: DType,
    shape: &[i64],
    rate: f64,
) -> Result<Value> {
    let u = open_numbers(b, g, dtype, shape)?;
    let half = if dtype == DType::F64 { f64::EPSILON } else { f32::EPSILON.into() } / 2.0;
    let (bound, least) = (b.full_like(&u, 1.0 - half), b.full_like(&u, -half));
    let near_one = b.cmp(Cmp::Le, &bound, &u);
    let log = b.unary(Unary::Log, &u);
    let log = b.select(&near_one, &least, &log);
    let x = b.scale(&log, -1.0 / rate);
    Ok(b.cast(&x, dtype))
}

/// How often is tried until the first success of probability `p`.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn geometric(
    b: &mut Recorder,
    g: &Generator,
    dtype: DType,
    shape: &[i64],
    p: f64,
) -> Result<Value> {
    let u = open_numbers(b, g, dtype, shape)?;
    let log = b.unary(Unary::Log, &u);
    let fail = b.full_like(&u, 1.0 - p);
    let fail = b.unary(Unary::Log, &fail);
    let trials = b.div(&log, &fail);
    // Upwards: the opposite of the opposite, downwards.
    let below = b.neg(&trials);
    let below = b.unary(Unary::Floor, &below);
    let trials = b.neg(&below);
    Ok(b.cast(&trials, dtype))
}

/// Which elements are 1 with probability `p`, as numbers of a type.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn bernoulli(
    b: &mut Recorder,
    g: &Generator,
    p: f64,
    dtype: DType,
    shape: &[i64],
) -> Result<Value> {
    let u = open_numbers(b, g, dtype, shape)?;
    let p = b.full_like(&u, p);
    Ok(b.cmp(Cmp::Lt, &u, &p))
}

/// Which elements are 1, each with a probability of its own, compared in the type `wide`: four neighbours a thread.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn bernoulli_each(b: &mut Recorder, g: &Generator, p: &Value, wide: DType) -> Result<Value> {
    let shape = p.dims();
    let n = count(&shape)?;
    check_room(n, 4)?;
    // The generator moves on by 10 words, in whole blocks, however many there are.
    let state = take(g, (n + 3) / 4, 3);
    let (words, _) = draw(b, RandomStream::PhiloxVectors, state, &shape)?;
    let u = open_uniform(b, &words);
    let (u, p) = (b.cast(&u, wide), b.cast(p, wide));
    Ok(b.cmp(Cmp::Le, &u, &p))
}

/// Which elements dropout keeps with probability `p`: its kernel takes neighbouring elements where their number allows.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn kept(b: &mut Recorder, g: &Generator, p: f64, shape: &[i64]) -> Result<Value> {
    let stream = match count(shape)? % 4 {
        0 => RandomStream::PhiloxVectors,
        2 => RandomStream::PhiloxHalves,
        _ => RandomStream::PhiloxLanes,
    };
    let words = words(g, b, stream, shape)?;
    let u = open_uniform(b, &words);
    let p = b.full_like(&u, p);
    Ok(b.cmp(Cmp::Lt, &u, &p))
}

/// Integers (`i64`) as `random_` draws them without bounds: from 0 to the greatest of an integer type, or to the power of two up
/// to which a floating type has all of them.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn any_integers(b: &mut Recorder, g: &Generator, dtype: DType, shape: &[i64]) -> Result<Value> {
    let range: u64 = match dtype {
        // Two words each.
        DType::I64 => return integers_from(b, g, 0, 1 << 63, shape),
        DType::F64 => return integers_from(b, g, 0, (1 << 53) + 1, shape),
        DType::F32 => (1 << 24) + 1,
        DType::F16 => (1 << 11) + 1,
        DType::BF16 => (1 << 8) + 1,
        DType::Bool => 2,
        DType::I32 => 1 << 31,
        DType::I16 => 1 << 15,
        DType::I8 => 1 << 7,
        DType::U8 => 1 << 8,
    };
    let words = words(g, b, RandomStream::PhiloxLanes, shape)?;
    let number = unsigned(b, &words);
    let range = b.constant(Scalar::from_i64(DType::I64, range as i64), number.ty.shape.clone());
    Ok(b.binary(Binary::Rem, &number, &range))
}

/// Two words for each of `n` elements, on the host.
///
/// # Errors
/// No such GPU; no memory.
pub(crate) fn host_pairs(g: &Generator, n: i64) -> Result<Vec<u32>> {
    check_room(n, 8)?;
    let state = state(g, RandomStream::PhiloxPairs, n)?;
    let mut words = vec![0; 2 * n as usize];
    random_words(RandomStream::PhiloxPairs, &state, &mut words);
    Ok(words)
}
