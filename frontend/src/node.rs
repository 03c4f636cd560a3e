//! Lazy values: what a tensor holds before, and after, it is computed.

use parking_lot::Mutex;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ttk_ir::{DType, Op, Type};
use ttk_runtime::Buffer;

use crate::device::{self, Device, Memory};
use crate::grad::{CustomFunction, GradMeta, NodeHooks};

/// A shared, lazy, immutable tensor value.
pub type Value = Arc<Node>;

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
    pub state: Mutex<NodeState>,
}

#[derive(Debug, Default)]
pub struct NodeState {
    pub inputs: SmallVec<[Value; 3]>,
    /// The elements, once computed: dense and row-major.
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
static LIVE: AtomicU64 = AtomicU64::new(0);

/// How many nodes there are: flat over a training loop, or something keeps the graph.
pub fn live_nodes() -> u64 {
    LIVE.load(Ordering::Relaxed)
}

/// The next node number.
pub fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Node {
    pub fn new(kind: Kind, ty: Type, inputs: SmallVec<[Value; 3]>, requires_grad: bool, loc: u32) -> Value {
        let device = inputs.iter().fold(None, |d, v| device::join(d, v.device));
        Node::new_on(device, kind, ty, inputs, requires_grad, loc)
    }

    /// [`Node::new`] on a device other than the inputs'.
    pub fn new_on(
        device: Option<Device>,
        kind: Kind,
        ty: Type,
        inputs: SmallVec<[Value; 3]>,
        requires_grad: bool,
        loc: u32,
    ) -> Value {
        LIVE.fetch_add(1, Ordering::Relaxed);
        let varying = matches!(kind, Kind::Op(Op::Const { .. })) && crate::record::varying();
        Arc::new(Node {
            id: next_id(),
            varying,
            kind,
            ty,
            device,
            requires_grad,
            loc,
            tape_freed: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            visited: AtomicU64::new(0),
            state: Mutex::new(NodeState { inputs, ..NodeState::default() }),
        })
    }

    /// A value whose elements are in `buffer`. What an operator on a GPU works out on the processor is the GPU's
    /// when it is used.
    pub fn leaf(buffer: Buffer, ty: Type) -> Value {
        let device = (device::place() == Device::Cpu).then_some(Device::Cpu);
        let node = Node::new_on(device, Kind::Leaf, ty, SmallVec::new(), false, 0);
        node.state.lock().buffer = Some(Memory::Host(buffer));
        node
    }

    pub fn is_computed(&self) -> bool {
        self.state.lock().buffer.is_some()
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
        if !self.requires_grad || self.tape_freed.load(Ordering::Relaxed) {
            let inputs = std::mem::take(&mut state.inputs);
            drop(state);
            drop_values(inputs);
        }
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
    let mut stack: SmallVec<[Value; 8]> = SmallVec::new();
    let mut next = values;
    loop {
        for mut value in next {
            // The last reference is kept until the node has no inputs to drop.
            if let Some(node) = Arc::get_mut(&mut value)
                && !node.state.get_mut().inputs.is_empty()
            {
                stack.push(value);
            }
        }
        let Some(mut value) = stack.pop() else { return };
        next = match Arc::get_mut(&mut value) {
            Some(node) => std::mem::take(&mut node.state.get_mut().inputs),
            None => SmallVec::new(),
        };
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
        let inputs = std::mem::take(&mut self.state.get_mut().inputs);
        if !inputs.is_empty() {
            drop_values(inputs);
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
