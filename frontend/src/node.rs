//! Lazy values: what a tensor holds before, and after, it is computed.

use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ttk_ir::{DType, Op, Type};
use ttk_runtime::Buffer;
use ttk_runtime::sync::{Counted, Lock, bias};

use crate::device::{self, Device, Memory};
use crate::grad::{CustomFunction, GradMeta, NodeHooks};

/// A shared, lazy, immutable tensor value.
pub type Value = Counted<Node>;

/// How a node comes to its elements.
#[derive(Debug)]
pub enum Kind {
    /// Elements were given.
    Leaf,
    /// An operation on the inputs.
    Op(Op),
    /// The input itself; says something to the derivative walk only.
    Alias(Alias),
}

/// What an alias means to the derivative walk.
#[derive(Debug)]
pub enum Alias {
    /// A leaf tensor was read: its gradient is accumulated here.
    Leaf(Arc<GradMeta>),
    /// No derivative passes.
    Detached,
    /// The elements on another device; see [`Node::device`].
    Moved,
    /// Output `index` of a user-defined function.
    Custom { function: Arc<CustomFunction>, index: usize },
}

/// One lazy value. Values form a directed acyclic graph through `inputs`, and that graph is the tape.
#[derive(Debug)]
pub struct Node {
    /// Grows with creation, so that inputs have smaller numbers than their users.
    pub id: u64,
    pub kind: Kind,
    pub ty: Type,
    /// Where it is computed; `None` if it can be anywhere.
    pub device: Option<Device>,
    /// Whether a derivative can flow through this value to something that asked for one.
    pub requires_grad: bool,
    /// Source line, interned by [`crate::source`]; 0 is unknown.
    pub loc: u32,
    /// A constant that will be another one the next time; see [`crate::record::set_varying`].
    pub varying: bool,
    /// Set when a backward pass has consumed this node and its inputs serve derivatives no more.
    pub tape_freed: AtomicBool,
    /// Whether computing it was tried, failed for its operands' sake, and was reported.
    pub failed: AtomicBool,
    /// Where the extraction of that number (the upper half) has it; see [`crate::compile::extract`].
    pub visited: AtomicU64,
    /// Whether `state` has a buffer, to be asked without the lock.
    computed: AtomicBool,
    pub state: Lock<NodeState>,
}

#[derive(Debug)]
pub struct NodeState {
    pub inputs: SmallVec<[Value; 3]>,
    /// The elements, once computed: dense and row-major. [`Node::give`] and [`Node::take`] change it.
    pub buffer: Option<Memory>,
    pub hooks: Option<Box<NodeHooks>>,
    /// Storages whose value was saved for the derivative, and their version at that time.
    pub saved: Vec<Saved>,
}

/// A tensor a derivative formula will read, and the version it must still have then.
#[derive(Clone, Debug)]
pub struct Saved {
    pub version: Arc<std::sync::atomic::AtomicU32>,
    pub expected: u32,
    pub dtype: DType,
    pub shape: SmallVec<[i64; 6]>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// How many numbers are no node's: that of none, and those of [`next_id`].
static OTHER_IDS: AtomicU64 = AtomicU64::new(1);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many nodes there are: flat over a training loop, or something keeps the graph.
pub fn live_nodes() -> u64 {
    let gone = DROPPED.load(Ordering::Relaxed) + OTHER_IDS.load(Ordering::Relaxed);
    // Another thread may drop a node whose number is not seen here yet.
    NEXT_ID.load(Ordering::Relaxed).saturating_sub(gone)
}

/// The next number in the order of nodes, for something else.
pub fn next_id() -> u64 {
    bias::add(&OTHER_IDS, 1);
    bias::add(&NEXT_ID, 1)
}

/// What the type of a new node is.
pub(crate) enum NewType {
    /// Its first input's.
    First,
    This(Type),
}

impl Node {
    #[inline(always)]
    pub fn new(kind: Kind, ty: Type, inputs: SmallVec<[Value; 3]>, requires_grad: bool, loc: u32) -> Value {
        Node::new_on(Node::device_of(&inputs), kind, ty, inputs, requires_grad, loc)
    }

    /// Where an operation on some values is computed.
    #[inline(always)]
    pub(crate) fn device_of(inputs: &[Value]) -> Option<Device> {
        inputs.iter().fold(None, |d, v| device::join(d, v.device))
    }

    /// [`Node::new`] on a device other than the inputs'.
    #[inline(always)]
    pub fn new_on(
        device: Option<Device>,
        kind: Kind,
        ty: Type,
        inputs: SmallVec<[Value; 3]>,
        requires_grad: bool,
        loc: u32,
    ) -> Value {
        Node::make(device, kind, NewType::This(ty), inputs, requires_grad, loc, None)
    }

    /// Writes each part of a new node where it stays. A structure that is moved is read in larger pieces than it was
    /// written in, and that makes a processor wait.
    #[inline(always)]
    pub(crate) fn make(
        device: Option<Device>,
        kind: Kind,
        ty: NewType,
        inputs: impl AsRef<[Value]> + IntoIterator<Item = Value>,
        requires_grad: bool,
        loc: u32,
        buffer: Option<Memory>,
    ) -> Value {
        let varying = matches!(kind, Kind::Op(Op::Const { .. })) && crate::record::varying();
        let id = bias::add(&NEXT_ID, 1);
        let computed = AtomicBool::new(buffer.is_some());
        // SAFETY: the memory is a node's and nobody else's; each field is written before anything reads it.
        let write = |node: *mut Node| unsafe {
            match ty {
                NewType::First => {
                    let first = &inputs.as_ref()[0].ty;
                    (&raw mut (*node).ty).write(Type { dtype: first.dtype, shape: SmallVec::new() });
                    let shape = &mut (*node).ty.shape;
                    first.shape.iter().for_each(|d| shape.push(d.clone()));
                }
                NewType::This(ty) => (&raw mut (*node).ty).write(ty),
            }
            (&raw mut (*node).id).write(id);
            (&raw mut (*node).kind).write(kind);
            (&raw mut (*node).device).write(device);
            (&raw mut (*node).requires_grad).write(requires_grad);
            (&raw mut (*node).loc).write(loc);
            (&raw mut (*node).varying).write(varying);
            (&raw mut (*node).tape_freed).write(AtomicBool::new(false));
            (&raw mut (*node).failed).write(AtomicBool::new(false));
            (&raw mut (*node).visited).write(AtomicU64::new(0));
            (&raw mut (*node).computed).write(computed);
            let state = NodeState { inputs: SmallVec::new(), buffer, hooks: None, saved: Vec::new() };
            (&raw mut (*node).state).write(Lock::new(state));
            let held = &mut (*node).state.get_mut().inputs;
            inputs.into_iter().for_each(|v| held.push(v));
            // All that there are; each of them is written above.
            let Node {
                ty: _,
                id: _,
                kind: _,
                device: _,
                requires_grad: _,
                loc: _,
                varying: _,
                tape_freed: _,
                failed: _,
                visited: _,
                computed: _,
                state: _,
            } = &*node;
        };
        // SAFETY: all fields are written.
        unsafe { Counted::new_in_place(write) }
    }

    /// A value whose elements are in `buffer`. What an operator on a GPU works out on the processor is the GPU's
    /// when it is used.
    pub fn leaf(buffer: Buffer, ty: Type) -> Value {
        let device = (device::place() == Device::Cpu).then_some(Device::Cpu);
        Node::leaf_on(device, Memory::Host(buffer), ty)
    }

    /// A value whose elements are in `memory`.
    pub(crate) fn leaf_on(device: Option<Device>, memory: Memory, ty: Type) -> Value {
        Node::make(device, Kind::Leaf, NewType::This(ty), [] as [Value; 0], false, 0, Some(memory))
    }

    pub fn is_computed(&self) -> bool {
        self.computed.load(Ordering::Acquire)
    }

    /// Puts the elements of a value somewhere.
    pub(crate) fn give(&self, memory: Memory) {
        let mut state = self.state.lock();
        let before = state.buffer.replace(memory);
        self.computed.store(true, Ordering::Release);
        drop(state);
        drop(before);
    }

    /// Takes the elements of a value that nobody else sees.
    pub(crate) fn take(&self) -> Option<Memory> {
        let mut state = self.state.lock();
        self.computed.store(false, Ordering::Release);
        state.buffer.take()
    }

    /// The elements, once computed.
    pub fn memory(&self) -> Option<Memory> {
        self.state.lock().buffer.clone()
    }

    /// The elements, if they are computed and the processor's.
    pub fn buffer(&self) -> Option<Buffer> {
        match &self.state.lock().buffer {
            Some(Memory::Host(buffer)) => Some(buffer.clone()),
            Some(Memory::Cuda(_)) | None => None,
        }
    }

    pub fn inputs(&self) -> SmallVec<[Value; 3]> {
        self.state.lock().inputs.clone()
    }

    /// Sizes; a recorded value has numbers only.
    pub fn dims(&self) -> SmallVec<[i64; 6]> {
        self.ty.shape.iter().map(|d| d.fixed().unwrap_or(0)).collect()
    }

    /// Hands over the elements. Inputs that serve neither computation nor derivative are let go.
    pub fn set_computed(&self, buffer: Memory) {
        let mut state = self.state.lock();
        state.buffer = Some(buffer);
        self.computed.store(true, Ordering::Release);
        if !self.is_on_tape() {
            let inputs = std::mem::take(&mut state.inputs);
            drop(state);
            drop_values(inputs);
        }
    }

    /// Whether a backward pass yet to come may flow through this value.
    pub(crate) fn is_on_tape(&self) -> bool {
        self.requires_grad && !self.tape_freed.load(Ordering::Relaxed)
    }

    /// Marks the node as consumed by a backward pass.
    pub fn free_tape(&self) {
        self.tape_freed.store(true, Ordering::Relaxed);
        let mut state = self.state.lock();
        state.saved.clear();
        if state.buffer.is_some() {
            let inputs = std::mem::take(&mut state.inputs);
            drop(state);
            drop_values(inputs);
        }
    }
}

/// Drops values without recursion: a chain of a million additions must not overflow the stack.
pub fn drop_values(values: SmallVec<[Value; 3]>) {
    if values.iter().any(is_last) {
        drop_chain(values);
    }
}

/// Whether dropping this reference drops the node. What others hold is theirs to take apart.
fn is_last(value: &Value) -> bool {
    Counted::count(value) == 1
}

fn drop_chain(values: SmallVec<[Value; 3]>) {
    let mut stack: SmallVec<[SmallVec<[Value; 3]>; 4]> = SmallVec::new();
    let mut next = values;
    loop {
        for value in next.drain(..) {
            if let Some(mut node) = Counted::last(value) {
                let inputs = std::mem::take(&mut node.state.get_mut().inputs);
                if !inputs.is_empty() {
                    stack.push(inputs);
                }
            }
        }
        let Some(inputs) = stack.pop() else { return };
        next = inputs;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        bias::add(&DROPPED, 1);
        let inputs = &mut self.state.get_mut().inputs;
        if inputs.iter().any(is_last) {
            drop_chain(std::mem::take(inputs));
        }
    }
}

impl Saved {
    /// The tensor's class as PyTorch's messages name it.
    pub fn torch_type(&self) -> &'static str {
        match self.dtype {
            DType::Bool => "torch.BoolTensor",
            DType::U8 => "torch.ByteTensor",
            DType::I8 => "torch.CharTensor",
            DType::I16 => "torch.ShortTensor",
            DType::I32 => "torch.IntTensor",
            DType::I64 => "torch.LongTensor",
            DType::F16 => "torch.HalfTensor",
            DType::BF16 => "torch.BFloat16Tensor",
            DType::F32 => "torch.FloatTensor",
            DType::F64 => "torch.DoubleTensor",
        }
    }
}
