//! PyTorch's random streams.
//!
//! A generator is a seed and a count of words drawn; an operator draws by recording a `random_bits` of
//! that place in the stream, so that compiled plans are reused and draw fresh numbers. Recipes (how
//! words become uniform or normal numbers) are PyTorch 2.15's, so that a seeded script sees its numbers;
//! those of its GPUs are in [`gpu`].

pub(crate) mod gpu;

use crate::device::{self, Device};
use crate::error::{Error, Result};
use crate::host::check_room;
use crate::node::{Node, Value};
use crate::record::Recorder;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::{Arc, LazyLock};
use ttk_ir::op::RandomStream;
use ttk_ir::random::{Mt19937, random_words};
use ttk_ir::{Binary, Builder, Cmp, DType, Dim, Op, Scalar, Type, Unary};
use ttk_runtime::Buffer;

/// A source of random numbers with PyTorch's semantics.
#[derive(Debug)]
pub struct Generator {
    state: Mutex<State>,
    /// The GPU that it draws for, as PyTorch's generator of that GPU would.
    gpu: Option<u32>,
}

#[derive(Debug)]
struct State {
    stream: RandomStream,
    seed: u64,
    drawn: u64,
    /// The stream at `drawn`, when a word was drawn on the host lately, or when the state was loaded and
    /// is that of no seed.
    host: Option<Mt19937>,
    /// Whether `host` is all there is (`seed` and `drawn` do not describe it).
    loaded: bool,
    /// The second of the last pair of normal numbers drawn one by one.
    next_normal: Option<f64>,
}

/// The seed that a new generator has in PyTorch, all but the default ones.
pub const DEFAULT_SEED: u64 = 67_280_421_310_721;

/// As in PyTorch, what is drawn without a seed differs from process to process.
static DEFAULT: LazyLock<Arc<Generator>> = LazyLock::new(|| Arc::new(Generator::new(any_seed())));

/// A seed from the operating system's randomness, another one in each child of a process too.
pub fn any_seed() -> u64 {
    // Where the system has none to give, the time will do.
    let time = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    getrandom::u64().unwrap_or_else(|_| time().map_or(DEFAULT_SEED, |t| t.as_nanos() as u64))
}

/// The generators of GPUs, by number, and the seed of those yet to come.
static OF_GPUS: Mutex<(Option<u64>, Vec<Arc<Generator>>)> = Mutex::new((None, Vec::new()));

/// The generator of operators that are given none.
pub fn default_generator() -> Arc<Generator> {
    match device::place() {
        Device::Cpu | Device::Meta => DEFAULT.clone(),
        Device::Cuda(i) => gpu_generator(i),
    }
}

/// The generator of operators on a GPU that are given none.
pub fn gpu_generator(ordinal: u32) -> Arc<Generator> {
    let (seed, all) = &mut *OF_GPUS.lock();
    while all.len() <= ordinal as usize {
        let next = all.len() as u32;
        all.push(Arc::new(Generator::of_gpu(next, *seed.get_or_insert_with(any_seed))));
    }
    all[ordinal as usize].clone()
}

/// The generators of GPUs that something was drawn from.
pub fn gpu_generators() -> Vec<Arc<Generator>> {
    OF_GPUS.lock().1.clone()
}

/// Seeds the generators of all GPUs, those too that were not used yet.
pub fn seed_gpus(seed: u64) {
    let (of_new, all) = &mut *OF_GPUS.lock();
    *of_new = Some(seed);
    all.iter().for_each(|g| g.manual_seed(seed));
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator::of(RandomStream::Mt19937, None, seed)
    }

    /// A generator of a GPU, which need not be there until something is drawn.
    pub fn of_gpu(ordinal: u32, seed: u64) -> Generator {
        Generator::of(RandomStream::Philox, Some(ordinal), seed)
    }

    fn of(stream: RandomStream, gpu: Option<u32>, seed: u64) -> Generator {
        let state = State { stream, seed, drawn: 0, host: None, loaded: false, next_normal: None };
        Generator { state: Mutex::new(state), gpu }
    }

    /// The number of the GPU whose generator it is.
    pub fn gpu(&self) -> Option<u32> {
        self.gpu
    }

    pub fn manual_seed(&self, seed: u64) {
        let mut state = self.state.lock();
        let stream = state.stream;
        *state = State { stream, seed, drawn: 0, host: None, loaded: false, next_normal: None };
    }

    pub fn initial_seed(&self) -> u64 {
        self.state.lock().seed
    }

    /// The next `n` words, on the host.
    ///
    /// # Errors
    /// No memory for them; nothing is drawn then.
    pub fn host_words(&self, n: i64) -> Result<Vec<u32>> {
        check_room(n, 4)?;
        let n = n as usize;
        let mut state = self.state.lock();
        let (seed, drawn) = (state.seed, state.drawn);
        let mut words = vec![0; n];
        if state.stream == RandomStream::Philox {
            random_words(state.stream, &[seed as i64, drawn as i64], &mut words);
            // PyTorch's offsets are whole blocks of four words.
            state.drawn += (n as u64).next_multiple_of(4);
            return Ok(words);
        }
        let fresh = || {
            let mut mt = Mt19937::new(seed);
            mt.skip(drawn);
            mt
        };
        let mut mt = match state.host.take() {
            Some(mt) if state.loaded || mt.drawn() == drawn => mt,
            _ => fresh(),
        };
        mt.fill(&mut words);
        state.drawn += n as u64;
        state.host = Some(mt);
        Ok(words)
    }

    /// The next words as a lazy `i32` value of the given shape.
    ///
    /// # Errors
    /// No memory for them, as in PyTorch at the call; nothing is drawn then.
    pub fn words(&self, b: &mut Recorder, shape: &[i64]) -> Result<Value> {
        if self.gpu.is_some() {
            return gpu::words(self, b, RandomStream::PhiloxLanes, shape);
        }
        let n = count(shape)?;
        check_room(n, 4)?;
        if self.state.lock().loaded {
            let words = self.host_words(n)?;
            return Ok(Node::leaf(Buffer::from_slice(&words)?, Type::fixed(DType::I32, shape)));
        }
        let mut state = self.state.lock();
        let place = Buffer::from_slice(&[state.seed as i64, state.drawn as i64])?;
        state.drawn += n as u64;
        let stream = state.stream;
        drop(state);
        let place = Node::leaf(place, Type::fixed(DType::I64, &[2]));
        Ok(b.op(Op::RandomBits { stream, shape: ttk_ir::shape::shape(shape) }, &[place]))
    }

    /// The next double in `[0, 1)` of 53 random bits, on the host.
    ///
    /// # Errors
    /// No memory.
    pub fn host_uniform(&self) -> Result<f64> {
        let w = self.host_words(2)?;
        Ok(uniform53(w[0], w[1]))
    }

    /// The next normal number as PyTorch draws them one by one: pairs, of which the second is kept.
    ///
    /// # Errors
    /// No memory.
    pub fn host_normal(&self) -> Result<f64> {
        if let Some(next) = self.state.lock().next_normal.take() {
            return Ok(next);
        }
        let (u1, u2) = (self.host_uniform()?, self.host_uniform()?);
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * u1;
        self.state.lock().next_normal = Some(radius * angle.sin());
        Ok(radius * angle.cos())
    }

    /// Words drawn since the seed.
    pub fn offset(&self) -> u64 {
        self.state.lock().drawn
    }

    /// Goes to a place in the stream of a seed, where the next draw begins; for generators of GPUs.
    pub fn go_to(&self, seed: u64, offset: u64) {
        let mut state = self.state.lock();
        let stream = state.stream;
        *state = State { stream, seed, drawn: offset, host: None, loaded: false, next_normal: None };
    }

    /// The whole state of a generator of the processor, to be restored by [`Generator::set_state`].
    pub fn state(&self) -> GeneratorState {
        let s = self.state.lock();
        let mt = match &s.host {
            Some(mt) if s.loaded || mt.drawn() == s.drawn => mt.clone(),
            _ => {
                let mut mt = Mt19937::new(s.seed);
                mt.skip(s.drawn);
                mt
            }
        };
        GeneratorState { seed: s.seed, drawn: (!s.loaded).then_some(s.drawn), mt, next_normal: s.next_normal }
    }

    pub fn set_state(&self, state: GeneratorState) {
        let mut own = self.state.lock();
        *own = State {
            stream: own.stream,
            seed: state.seed,
            drawn: state.drawn.unwrap_or(0),
            loaded: state.drawn.is_none(),
            host: Some(state.mt),
            next_normal: state.next_normal,
        };
    }
}

/// What a generator is at one moment.
#[derive(Clone, Debug)]
pub struct GeneratorState {
    pub seed: u64,
    /// Words drawn since the seed, if the state came about so.
    pub drawn: Option<u64>,
    pub mt: Mt19937,
    pub next_normal: Option<f64>,
}

/// How many elements a tensor of that shape has.
///
/// # Errors
/// So many that their bytes cannot be counted.
fn count(shape: &[i64]) -> Result<i64> {
    let n = shape.iter().try_fold(1i64, |n, &s| n.checked_mul(s));
    n.filter(|n| *n < i64::MAX / 16).ok_or(Error::OutOfMemory { bytes: u64::MAX })
}

fn uniform53(high: u32, low: u32) -> f64 {
    let bits = ((high as u64) << 32 | low as u64) & ((1 << 53) - 1);
    bits as f64 * 2f64.powi(-53)
}

/// 53 random bits as `i64`, from words `[.., 2]` (high word first).
fn bits53(b: &mut Recorder, words: &Value, shape: &[i64]) -> Value {
    let wide = b.cast(words, DType::I64);
    let part = |b: &mut Recorder, i: i64| {
        let last = shape.len();
        let x = b.narrow(&wide, last, Dim::Fixed(i), Dim::Fixed(1));
        b.reshape(&x, ttk_ir::shape::shape(shape))
    };
    let (high, low) = (part(b, 0), part(b, 1));
    let number =
        |b: &mut Recorder, v: i64| b.constant(Scalar::from_i64(DType::I64, v), ttk_ir::shape::shape(shape));
    // The low word was sign-extended, the high one counts with 21 bits only.
    let mask = number(b, 0xffff_ffff);
    let low = b.binary(Binary::And, &low, &mask);
    let mask = number(b, 0x1f_ffff);
    let high = b.binary(Binary::And, &high, &mask);
    let by = number(b, 1 << 32);
    let high = b.mul(&high, &by);
    b.add(&high, &low)
}

fn with_pair(shape: &[i64]) -> SmallVec<[i64; 6]> {
    let mut s: SmallVec<[i64; 6]> = shape.into();
    s.push(2);
    s
}

/// Numbers in `[0, 1)`: 24 random bits for `f32` (and the 16-bit types, rounded), 53 for `f64`.
///
/// # Errors
/// No memory for the generator's state.
pub fn uniform(b: &mut Recorder, g: &Generator, dtype: DType, shape: &[i64]) -> Result<Value> {
    if g.gpu.is_some() {
        return gpu::uniform(b, g, dtype, shape, (0.0, 1.0));
    }
    let scalar =
        |b: &mut Recorder, d: DType, v: f64| b.constant(Scalar::from_f64(d, v), ttk_ir::shape::shape(shape));
    if dtype == DType::F64 {
        let words = g.words(b, &with_pair(shape))?;
        let bits = bits53(b, &words, shape);
        let x = b.cast(&bits, DType::F64);
        let k = scalar(b, DType::F64, 2f64.powi(-53));
        return Ok(b.mul(&x, &k));
    }
    // f32 keeps 24 bits, f16 11 and bf16 8: as many as its significand holds.
    let kept: i64 = match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    let words = g.words(b, shape)?;
    let mask = b.constant(Scalar::from_i64(DType::I32, (1 << kept) - 1), ttk_ir::shape::shape(shape));
    let bits = b.binary(Binary::And, &words, &mask);
    let x = b.cast(&bits, DType::F32);
    let k = scalar(b, DType::F32, 2f64.powi(-kept as i32));
    let x = b.mul(&x, &k);
    Ok(b.cast(&x, dtype))
}

/// Numbers in `[low, high)`.
///
/// # Errors
/// No memory for the generator's state.
pub fn uniform_between(
    b: &mut Recorder,
    g: &Generator,
    dtype: DType,
    shape: &[i64],
    (low, high): (f64, f64),
) -> Result<Value> {
    if g.gpu.is_some() {
        return gpu::uniform(b, g, dtype, shape, (low, high));
    }
    let u = uniform(b, g, dtype, shape)?;
    Ok(between(b, u, (low, high)))
}

/// Numbers of the unit interval, in another one.
fn between(b: &mut Recorder, u: Value, (low, high): (f64, f64)) -> Value {
    let scaled = if high - low == 1.0 { u } else { b.scale(&u, high - low) };
    if low == 0.0 { scaled } else { b.shift(&scaled, low) }
}

/// Which elements are 1 with probability `p`: 53 bits an element, compared in integers. On a GPU the type of the
/// numbers that they become makes a difference.
///
/// # Errors
/// No memory for the generator's state.
pub fn bernoulli(b: &mut Recorder, g: &Generator, p: f64, dtype: DType, shape: &[i64]) -> Result<Value> {
    if g.gpu.is_some() {
        return gpu::bernoulli(b, g, p, dtype, shape);
    }
    let words = g.words(b, &with_pair(shape))?;
    let bits = bits53(b, &words, shape);
    // `bits * 2^-53 < p` for integers `bits`.
    let bound = (p * 2f64.powi(53)).ceil() as i64;
    let bound = b.constant(Scalar::from_i64(DType::I64, bound), ttk_ir::shape::shape(shape));
    Ok(b.cmp(Cmp::Lt, &bits, &bound))
}

/// Which elements are 1, each with a probability of its own.
///
/// # Errors
/// No memory for the generator's state.
pub fn bernoulli_each(b: &mut Recorder, g: &Generator, p: &Value) -> Result<Value> {
    let shape = p.dims();
    // In the type of the probabilities; 16-bit ones are compared as `f32`.
    let wide = if p.ty.dtype == DType::F64 { DType::F64 } else { DType::F32 };
    if g.gpu.is_some() {
        return gpu::bernoulli_each(b, g, p, wide);
    }
    let u = uniform(b, g, wide, &shape)?;
    let p = b.cast(p, wide);
    Ok(b.cmp(Cmp::Lt, &u, &p))
}

/// Standard normal numbers.
///
/// From 16 elements on: Box-Muller on blocks of 16 uniform numbers (the first 8 are radii, the last 8
/// angles); a last block that is not full is drawn again over the last 16 elements. Below that: pairs in
/// double precision.
///
/// # Errors
/// No memory.
pub fn normal(b: &mut Recorder, g: &Generator, dtype: DType, shape: &[i64]) -> Result<Value> {
    let n = count(shape)?;
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    if g.gpu.is_some() && wide == DType::F32 {
        return gpu::normal(b, g, dtype, shape);
    }
    if n < 16 {
        let values: Vec<f64> = (0..n).map(|_| g.host_normal()).collect::<Result<_>>()?;
        let leaf = match wide {
            DType::F64 => Buffer::from_slice(&values)?,
            _ => Buffer::from_slice(&values.iter().map(|&v| v as f32).collect::<Vec<_>>())?,
        };
        let x = Node::leaf(leaf, Type::fixed(wide, shape));
        return Ok(b.cast(&x, dtype));
    }
    let (blocks, rest) = (n / 16, n % 16);
    let drawn = if rest == 0 { n } else { n + 16 };
    let u = uniform(b, g, wide, &[drawn])?;
    let head = b.narrow(&u, 0, Dim::Fixed(0), Dim::Fixed(blocks * 16));
    let head = box_muller(b, &head, blocks);
    let all = if rest == 0 {
        head
    } else {
        let tail = b.narrow(&u, 0, Dim::Fixed(n), Dim::Fixed(16));
        let tail = box_muller(b, &tail, 1);
        let head = b.narrow(&head, 0, Dim::Fixed(0), Dim::Fixed(n - 16));
        b.concat(&[head, tail], 0)
    };
    let all = b.reshape(&all, ttk_ir::shape::shape(shape));
    Ok(b.cast(&all, dtype))
}

fn box_muller(b: &mut Recorder, u: &Value, blocks: i64) -> Value {
    let x = b.reshape(u, ttk_ir::shape::shape(&[blocks, 2, 8]));
    let half = |b: &mut Recorder, i: i64| b.narrow(&x, 1, Dim::Fixed(i), Dim::Fixed(1));
    let (u1, u2) = (half(b, 0), half(b, 1));
    let one = b.full_like(&u1, 1.0);
    let u1 = b.sub(&one, &u1);
    let log = b.unary(Unary::Log, &u1);
    let square = b.scale(&log, -2.0);
    let radius = b.unary(Unary::Sqrt, &square);
    let angle = b.scale(&u2, 2.0 * std::f64::consts::PI);
    let (c, s) = (b.unary(Unary::Cos, &angle), b.unary(Unary::Sin, &angle));
    let (x, y) = (b.mul(&radius, &c), b.mul(&radius, &s));
    let pair = b.concat(&[x, y], 1);
    b.reshape(&pair, ttk_ir::shape::shape(&[blocks * 16]))
}

/// Integers in `low..high`: a word (or two, from a range of 2^28 on) modulo the range.
///
/// # Errors
/// An empty range; no memory.
pub fn integers(b: &mut Recorder, g: &Generator, low: i64, high: i64, shape: &[i64]) -> Result<Value> {
    if low >= high {
        return Err(Error::runtime(format!(
            "random_ expects 'from' to be less than 'to', but got from={low} >= to={high}"
        )));
    }
    integers_from(b, g, low, high.wrapping_sub(low) as u64, shape)
}

/// `range` integers from `low` on: a word (or two, from a range of 2^28 on) modulo the range.
///
/// # Errors
/// No memory.
pub fn integers_from(b: &mut Recorder, g: &Generator, low: i64, range: u64, shape: &[i64]) -> Result<Value> {
    let dims = ttk_ir::shape::shape(shape);
    let number = |b: &mut Recorder, v: i64| b.constant(Scalar::from_i64(DType::I64, v), dims.clone());
    if range >= 1 << 28 {
        // Rare, and unsigned 64-bit arithmetic: on the host.
        let n = count(shape)?;
        check_room(n, 16)?;
        let words = match g.gpu {
            Some(_) => gpu::host_pairs(g, n)?,
            None => g.host_words(2 * n)?,
        };
        let values: Vec<i64> = words
            .chunks_exact(2)
            .map(|w| ((((w[0] as u64) << 32 | w[1] as u64) % range) as i64).wrapping_add(low))
            .collect();
        return Ok(Node::leaf(Buffer::from_slice(&values)?, Type::fixed(DType::I64, shape)));
    }
    let words = g.words(b, shape)?;
    let wide = b.cast(&words, DType::I64);
    let mask = number(b, 0xffff_ffff);
    let wide = b.binary(Binary::And, &wide, &mask);
    let by = number(b, range as i64);
    let x = b.binary(Binary::Rem, &wide, &by);
    let low = number(b, low);
    Ok(b.add(&x, &low))
}

/// A random permutation of `0..n` (`i64`): Fisher and Yates, on the host.
///
/// # Errors
/// No memory.
pub fn permutation(g: &Generator, n: i64) -> Result<Value> {
    check_room(n, 8)?;
    let words = g.host_words((n - 1).max(0))?;
    let mut order: Vec<i64> = (0..n).collect();
    for (i, &w) in words.iter().enumerate() {
        let j = i + (w as usize) % (n as usize - i);
        order.swap(i, j);
    }
    Ok(Node::leaf(Buffer::from_slice(&order)?, Type::fixed(DType::I64, &[n])))
}
