//! A program for certain sizes: every number worked out, every access of the steps checked.

use super::gathered::GatheredWork;
use super::gemm::{self, GemmWork};
use super::winograd::{FiltersWork, WinogradWork};
use crate::code::scratch_offsets;
use crate::error::{Defect, RunError};
use crate::memory::Key;
use crate::threads::Sharing;
use std::fmt::Write;
use ttk_ir::op::RandomStream;
use ttk_ir::program::{Action, Argsort, BufferId, Placement, Program};
use ttk_ir::{DType, Expr, Type};

/// Where a buffer is in a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Placed {
    Input(u32),
    /// A new block; an index into [`Bound::fresh`].
    Fresh(u32),
    /// A byte offset in the arena.
    Arena(usize),
}

#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) symbols: Box<[i64]>,
    /// Bytes of each input.
    pub(crate) inputs: Vec<usize>,
    pub(crate) places: Vec<Placed>,
    /// Bytes of each block that a run makes to hand out.
    pub(crate) fresh: Vec<usize>,
    /// Inputs whose memory is written.
    pub(crate) overwritten: Vec<u32>,
    pub(crate) outputs: Vec<Placed>,
    /// Whether the outputs are the new blocks, each once and in order.
    pub(crate) gives_fresh: bool,
    pub(crate) arena: usize,
    /// Bytes of scratch for each thread, and for all together.
    pub(crate) scratch: usize,
    pub(crate) shared: usize,
    pub(crate) steps: Vec<Work>,
    /// Arguments of all calls one after the other, and likewise their symbols.
    pub(crate) arguments: Vec<BufferId>,
    pub(crate) call_symbols: Vec<i64>,
}

#[derive(Debug)]
pub(crate) enum Work {
    Launch(Launch),
    Gemm(Box<GemmWork>),
    Gathered(Box<GatheredWork>),
    Winograd(Box<WinogradWork>),
    WinogradFilters(Box<FiltersWork>),
    Argsort(Sort),
    Random {
        stream: RandomStream,
        state: BufferId,
        output: BufferId,
        words: usize,
    },
    Copy {
        from: BufferId,
        to: BufferId,
        bytes: usize,
    },
    Custom {
        inputs: Vec<TensorRef>,
        output: TensorRef,
    },
    /// A step with nothing to do.
    Nothing,
}

impl Work {
    /// See [`super::Plan::algorithms`].
    pub(crate) fn algorithm(&self) -> Option<&'static str> {
        match self {
            Work::Winograd(_) => Some("winograd"),
            Work::WinogradFilters(_) => Some("winograd filters"),
            Work::Launch(_) | Work::Gemm(_) | Work::Gathered(_) | Work::Argsort(_) => None,
            Work::Random { .. } | Work::Copy { .. } | Work::Custom { .. } | Work::Nothing => None,
        }
    }
}

/// A kernel and where its arguments and symbols start in [`Bound`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) kernel: u32,
    pub(crate) arguments: u32,
    pub(crate) n_arguments: u32,
    pub(crate) symbols: u32,
}

/// Iterations `begin..end`, in chunks of `chunk`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Launch {
    pub(crate) call: Call,
    pub(crate) begin: i64,
    pub(crate) end: i64,
    pub(crate) chunk: i64,
    pub(crate) sharing: Sharing,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sort {
    pub(crate) input: BufferId,
    pub(crate) output: BufferId,
    pub(crate) dtype: DType,
    pub(crate) outer: usize,
    pub(crate) len: usize,
    pub(crate) inner: usize,
    /// How many positions of a row are asked for, from 1 to `len`.
    pub(crate) wanted: usize,
    pub(crate) descending: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct TensorRef {
    pub(crate) buffer: BufferId,
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<i64>,
    pub(crate) bytes: usize,
}

/// An operand that is an input which the program only reads: its packed form may be kept with it, see [`Buffer::form`].
///
/// [`Buffer::form`]: crate::memory::Buffer::form
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) input: u32,
    pub(crate) key: Key,
    /// Bytes of the form.
    pub(crate) bytes: usize,
}

/// What an operand is packed for; numbers that the form depends on follow in a [`Key`].
#[derive(Clone, Copy)]
pub(super) enum Packed {
    Product,
    Gathered,
    Winograd,
}

/// Work units (a tenth of a nanosecond) under which a second thread does not pay, if it has to be woken and if it need not.
const WORTH_WAKING: f64 = 200_000.0;
const WORTH_SHARING: f64 = 40_000.0;

/// Which threads so many work units are worth.
pub(super) fn sharing(units: f64) -> Sharing {
    if units >= WORTH_WAKING {
        Sharing::All
    } else if units >= WORTH_SHARING {
        Sharing::Awake
    } else {
        Sharing::Alone
    }
}

/// Work units of a chunk, of a launch that wakes threads and of one that does not, and how many chunks a launch has at most.
const CHUNK_WORK: f64 = 50_000.0;
const SMALL_CHUNK_WORK: f64 = 20_000.0;
const CHUNKS: i64 = 256;

pub(crate) fn bind(p: &Program, symbols: &[i64]) -> Result<Bound, RunError> {
    let mut place = String::new();
    let binder = Binder {
        p,
        symbols,
        lens: Vec::with_capacity(p.buffers.len()),
        out: Bound {
            symbols: symbols.into(),
            inputs: Vec::new(),
            places: Vec::with_capacity(p.buffers.len()),
            fresh: Vec::new(),
            overwritten: Vec::new(),
            outputs: Vec::new(),
            gives_fresh: false,
            arena: 0,
            scratch: 0,
            shared: 0,
            steps: Vec::with_capacity(p.steps.len()),
            arguments: Vec::new(),
            call_symbols: Vec::new(),
        },
    };
    binder.bind(&mut place).map_err(|defect| RunError::Malformed { program: p.name.clone(), place, defect })
}

pub(super) struct Binder<'a> {
    p: &'a Program,
    symbols: &'a [i64],
    /// Elements of each buffer.
    lens: Vec<i64>,
    pub(super) out: Bound,
}

impl Binder<'_> {
    fn bind(mut self, place: &mut String) -> Result<Bound, Defect> {
        place.push_str("buffers");
        self.memory()?;
        let p = self.p;
        for (i, step) in p.steps.iter().enumerate() {
            place.clear();
            let _ = write!(place, "step {i}");
            let work = self.step(&step.action)?;
            self.out.steps.push(work);
        }
        self.out.scratch = self.out.scratch.next_multiple_of(4096);
        Ok(self.out)
    }

    fn memory(&mut self) -> Result<(), Defect> {
        let p = self.p;
        self.out.arena = self.size("the arena", &p.arena)?;
        for ty in &p.inputs {
            let bytes = self.tensor_bytes(ty)?;
            self.out.inputs.push(bytes);
        }
        for buffer in &p.buffers {
            let len = self.size("a buffer", &buffer.len)?;
            self.lens.push(len as i64);
        }
        let bytes = |this: &Self, id: BufferId| -> Result<usize, Defect> {
            let size = p.buffers[id.0 as usize].dtype.size();
            checked("a buffer", this.lens[id.0 as usize].checked_mul(size as i64))
        };
        for i in 0..p.buffers.len() as u32 {
            let (id, own) = (BufferId(i), p.root(BufferId(i)));
            let (needed, have) = (bytes(self, id)?, bytes(self, own)?);
            let too_small = Defect::Bounds { buffer: i, len: have as i64, needed: needed as i64 };
            let place = match &p.buffers[own.0 as usize].placement {
                // A reused buffer has the very size of what it takes the place of when it is handed
                // out, and otherwise fits in it.
                Placement::Input(n) => {
                    if needed > self.out.inputs[*n as usize] {
                        return Err(too_small);
                    }
                    if id != own && !self.out.overwritten.contains(n) {
                        self.out.overwritten.push(*n);
                    }
                    Placed::Input(*n)
                }
                Placement::Output => {
                    if needed > have {
                        return Err(too_small);
                    }
                    if id == own {
                        self.out.fresh.push(have);
                        Placed::Fresh(self.out.fresh.len() as u32 - 1)
                    } else {
                        // The root may come later; places of reusers are filled in below.
                        Placed::Fresh(u32::MAX)
                    }
                }
                Placement::Arena { offset } => {
                    let offset = self.size("an arena offset", offset)?;
                    let end = offset.checked_add(have).filter(|&end| end <= self.out.arena);
                    if offset % 64 != 0 || end.is_none() {
                        return Err(Defect::Size { what: "an arena offset", value: offset as i64 });
                    }
                    if needed > have {
                        return Err(too_small);
                    }
                    Placed::Arena(offset)
                }
                Placement::Reuse(_) => return Err(Defect::ReuseCycle { buffer: i }),
            };
            self.out.places.push(place);
        }
        for i in 0..p.buffers.len() {
            if self.out.places[i] == Placed::Fresh(u32::MAX) {
                self.out.places[i] = self.out.places[p.root(BufferId(i as u32)).0 as usize];
            }
        }
        for (i, output) in p.outputs.iter().enumerate() {
            let bytes = self.tensor_bytes(&output.ty)?;
            let place = self.out.places[output.buffer.0 as usize];
            let have = match place {
                Placed::Input(n) => self.out.inputs[n as usize],
                Placed::Fresh(n) => self.out.fresh[n as usize],
                Placed::Arena(_) => return Err(Defect::Output { output: i as u32 }),
            };
            if bytes != have {
                return Err(Defect::Output { output: i as u32 });
            }
            self.out.outputs.push(place);
        }
        let (given, made) = (&self.out.outputs, self.out.fresh.len() as u32);
        self.out.gives_fresh = (0..made).map(Placed::Fresh).eq(given.iter().copied());
        Ok(())
    }

    fn step(&mut self, action: &Action) -> Result<Work, Defect> {
        match action {
            Action::Launch { kernel, buffers, symbols, work } => {
                let call = self.call(*kernel, buffers, symbols)?;
                let (begin, end) = self.range(&call);
                if begin >= end {
                    return Ok(Work::Nothing);
                }
                let each = self.eval(work).max(1) as f64;
                let iterations = end.saturating_sub(begin);
                let sharing = sharing(each * iterations as f64);
                let least = match sharing {
                    Sharing::Alone => iterations,
                    Sharing::Awake => (SMALL_CHUNK_WORK / each).ceil() as i64,
                    Sharing::All => (CHUNK_WORK / each).ceil() as i64,
                };
                let chunk = least.max(iterations.saturating_add(CHUNKS - 1) / CHUNKS);
                Ok(Work::Launch(Launch { call, begin, end, chunk, sharing }))
            }
            Action::Gemm(g) => gemm::bind(self, g),
            Action::Argsort(s) => self.sort(s),
            Action::RandomBits { stream, state, output } => {
                self.fits(*state, stream.state_len() as i64)?;
                let words = self.lens[output.0 as usize] as usize;
                Ok(Work::Random { stream: *stream, state: *state, output: *output, words })
            }
            Action::Copy { input, output } => {
                let len = self.lens[input.0 as usize];
                self.fits(*output, len)?;
                let bytes = len as usize * self.dtype(*input).size();
                Ok(Work::Copy { from: *input, to: *output, bytes })
            }
            Action::Custom { name: _, attributes: _, inputs, output } => {
                let inputs = inputs.iter().map(|(id, ty)| self.tensor(*id, ty)).collect::<Result<_, _>>()?;
                Ok(Work::Custom { inputs, output: self.tensor(output.0, &output.1)? })
            }
        }
    }

    fn sort(&mut self, s: &Argsort) -> Result<Work, Defect> {
        let (outer, len, inner) =
            (self.size("a sort", &s.outer)?, self.size("a sort", &s.len)?, self.size("a sort", &s.inner)?);
        let total = checked("a sort", (outer as i64).checked_mul(len as i64))?;
        let total = checked("a sort", (total as i64).checked_mul(inner as i64))?;
        self.fits(s.input, total as i64)?;
        self.fits(s.output, total as i64)?;
        if total == 0 {
            return Ok(Work::Nothing);
        }
        let dtype = self.dtype(s.input);
        let wanted = self.size("a sort", &s.wanted)?.clamp(1, len);
        let (input, output, descending) = (s.input, s.output, s.descending);
        let sort = Sort { input, output, dtype, outer, len, inner, wanted, descending };
        let (each, all) = crate::execute::argsort::scratch(&sort);
        self.reserve(each, all);
        Ok(Work::Argsort(sort))
    }

    fn tensor(&self, buffer: BufferId, ty: &Type) -> Result<TensorRef, Defect> {
        let bytes = self.tensor_bytes(ty)?;
        self.fits(buffer, (bytes / ty.dtype.size()) as i64)?;
        let shape = ty.shape.iter().map(|d| d.eval(self.symbols)).collect();
        Ok(TensorRef { buffer, dtype: ty.dtype, shape, bytes })
    }

    fn tensor_bytes(&self, ty: &Type) -> Result<usize, Defect> {
        let mut bytes = Some(ty.dtype.size() as i64);
        for d in &ty.shape {
            let n = d.eval(self.symbols);
            bytes = bytes.and_then(|b| b.checked_mul(n)).filter(|_| n >= 0);
        }
        checked("a tensor", bytes)
    }

    /// Writes down a call of a kernel and checks that its parameters fit in `buffers`.
    pub(super) fn call(
        &mut self,
        kernel: u32,
        buffers: &[BufferId],
        symbols: &[Expr],
    ) -> Result<Call, Defect> {
        let k = &self.p.kernels[kernel as usize];
        let implied = k.params.len() - buffers.len();
        let call = Call {
            kernel,
            arguments: self.out.arguments.len() as u32,
            n_arguments: k.params.len() as u32,
            symbols: self.out.call_symbols.len() as u32,
        };
        for e in symbols {
            let value = self.eval(e);
            if value < 1 {
                return Err(Defect::Size { what: "a kernel symbol", value });
            }
            self.out.call_symbols.push(value);
        }
        // A parameter that is implied is put in by whoever makes the call.
        self.out.arguments.extend((0..implied).map(|_| BufferId(0)));
        self.out.arguments.extend(buffers);
        let own = &self.out.call_symbols[call.symbols as usize..];
        for (param, &id) in k.params[implied..].iter().zip(buffers) {
            let needed = param.len.eval_symbols(own);
            self.fits(id, needed)?;
        }
        let sizes = k
            .locals
            .iter()
            .map(|l| checked("a local", l.len.eval_symbols(own).checked_mul(l.dtype.size() as i64)));
        let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
        let (_, total) = scratch_offsets(sizes.into_iter());
        self.reserve(total, 0);
        Ok(call)
    }

    /// Elements of parameter `index` of a call.
    pub(super) fn parameter_len(&self, call: &Call, index: usize) -> i64 {
        let own = &self.out.call_symbols[call.symbols as usize..];
        self.p.kernels[call.kernel as usize].params[index].len.eval_symbols(own)
    }

    /// Bytes of a call's locals.
    pub(super) fn locals_bytes(&self, call: &Call) -> usize {
        let own = &self.out.call_symbols[call.symbols as usize..];
        let locals = &self.p.kernels[call.kernel as usize].locals;
        scratch_offsets(locals.iter().map(|l| l.len.eval_symbols(own).max(0) as usize * l.dtype.size())).1
    }

    /// The range of a call's parallel loop; `0..1` without one.
    pub(super) fn range(&self, call: &Call) -> (i64, i64) {
        let own = &self.out.call_symbols[call.symbols as usize..];
        match self.p.kernels[call.kernel as usize].parallel_loop() {
            Some((_, begin, end, _)) => (begin.eval_symbols(own), end.eval_symbols(own)),
            None => (0, 1),
        }
    }

    /// Makes sure that a step has so much scratch, for each thread and for all together.
    pub(super) fn reserve(&mut self, each: usize, shared: usize) {
        self.out.scratch = self.out.scratch.max(each);
        self.out.shared = self.out.shared.max(shared);
    }

    /// Whether a buffer is an input that the program only reads.
    pub(super) fn is_read_only(&self, buffer: BufferId) -> bool {
        self.read_only_input(buffer).is_some()
    }

    /// The input that a buffer is, if the program only reads it.
    fn read_only_input(&self, buffer: BufferId) -> Option<u32> {
        match self.out.places[buffer.0 as usize] {
            Placed::Input(i) if !self.out.overwritten.contains(&i) => Some(i),
            Placed::Input(_) | Placed::Fresh(_) | Placed::Arena(_) => None,
        }
    }

    /// That a form of a buffer of so many bytes may be kept, if it may; `numbers` are all that the form depends on.
    pub(super) fn keep(
        &self,
        buffer: BufferId,
        bytes: usize,
        packed: Packed,
        numbers: impl IntoIterator<Item = i64>,
    ) -> Option<Keep> {
        let input = self.read_only_input(buffer)?;
        Some(Keep { input, key: [packed as i64].into_iter().chain(numbers).collect(), bytes })
    }

    /// Puts a buffer in as an argument that [`Binder::call`] left open.
    pub(super) fn set_argument(&mut self, call: &Call, index: usize, buffer: BufferId) {
        self.out.arguments[call.arguments as usize + index] = buffer;
    }

    pub(super) fn dtype(&self, id: BufferId) -> DType {
        self.p.buffers[id.0 as usize].dtype
    }

    pub(super) fn eval(&self, e: &Expr) -> i64 {
        e.eval_symbols(self.symbols)
    }

    pub(super) fn size(&self, what: &'static str, e: &Expr) -> Result<usize, Defect> {
        let value = self.eval(e);
        checked(what, Some(value))
    }

    /// `needed` elements are accessed.
    pub(super) fn fits(&self, id: BufferId, needed: i64) -> Result<(), Defect> {
        let len = self.lens[id.0 as usize];
        if (0..=len).contains(&needed) { Ok(()) } else { Err(Defect::Bounds { buffer: id.0, len, needed }) }
    }
}

/// A size or count of bytes: not negative, and far from overflow.
pub(crate) fn checked(what: &'static str, value: Option<i64>) -> Result<usize, Defect> {
    let value = value.unwrap_or(i64::MAX);
    if (0..1 << 52).contains(&value) { Ok(value as usize) } else { Err(Defect::Size { what, value }) }
}
