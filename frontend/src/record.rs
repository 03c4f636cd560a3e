//! The recorder: operations written down as lazy values.

use crate::device::Device;
use crate::error::{Error, Exception, Result};
use crate::node::{Alias, Kind, NewType, Node, Value};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use ttk_ir::{Binary, Builder, DType, Op, Scalar, Shape, Type, infer};
use ttk_runtime::sync::{Counted, Weak};

thread_local! {
    /// What operations of this thread are recorded with.
    static MODES: Cell<Recorder> = const { Cell::new(Recorder { grad: true, loc: 0 }) };
    static VARYING: Cell<bool> = const { Cell::new(false) };
    /// The number that was last an operand, while something still holds it.
    static LAST_OPERAND: RefCell<Weak<Node>> = const { RefCell::new(Weak::new()) };
}

/// Whether operations of this thread are recorded for derivatives.
pub fn grad_enabled() -> bool {
    MODES.get().grad
}

/// Sets [`grad_enabled`] and returns what it was.
pub fn set_grad_enabled(on: bool) -> bool {
    MODES.with(|modes| {
        let before = modes.get();
        modes.set(Recorder { grad: on, ..before });
        before.grad
    })
}

/// Whether numbers that operations of this thread take are expected to be others the next time.
pub fn varying() -> bool {
    VARYING.get()
}

/// Sets [`varying`] and returns what it was. An optimizer says so of its rates: a plan takes them as inputs
/// from the first, and need not be compiled again when a second value is seen.
pub fn set_varying(on: bool) -> bool {
    VARYING.replace(on)
}

/// The source line that operations of this thread are now recorded for.
pub fn set_loc(loc: u32) {
    MODES.with(|modes| modes.set(Recorder { loc, ..modes.get() }));
}

/// Runs `f` with derivatives off.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            set_grad_enabled(self.0);
        }
    }
    let _restore = Restore(set_grad_enabled(false));
    f()
}

/// Records operations on lazy values. Cheap to make: it only remembers the thread's modes.
#[derive(Clone, Copy, Debug)]
pub struct Recorder {
    grad: bool,
    loc: u32,
}

impl Recorder {
    /// A recorder with the modes of this thread.
    pub fn new() -> Recorder {
        MODES.get()
    }

    /// A recorder that follows derivatives, or not, whatever the thread's mode.
    pub fn with_grad(grad: bool) -> Recorder {
        Recorder { grad, ..MODES.get() }
    }

    /// Records one operation.
    ///
    /// # Errors
    /// The type rule the operands break; operators check their arguments in the user's words first, so
    /// this is what is left.
    pub fn try_op(&mut self, op: Op, inputs: SmallVec<[Value; 3]>) -> Result<Value> {
        let ty = match inputs.as_slice() {
            [x] => infer(&op, &[&x.ty]),
            [x, y] => infer(&op, &[&x.ty, &y.ty]),
            [x, y, z] => infer(&op, &[&x.ty, &y.ty, &z.ty]),
            more => infer(&op, &more.iter().map(|v| &v.ty).collect::<SmallVec<[&Type; 3]>>()),
        };
        let ty = ty.map_err(|e| Error::Plain { exception: Exception::Runtime, detail: e.to_string() })?;
        let requires_grad = !matches!(op, Op::Detach) && self.follows(ty.dtype, &inputs);
        Ok(Node::new(Kind::Op(op), ty, inputs, requires_grad, self.loc))
    }

    /// Whether a derivative flows through a result of that element type.
    #[inline]
    fn follows(&self, dtype: DType, inputs: &[Value]) -> bool {
        self.grad && dtype.is_float() && inputs.iter().any(|v| v.requires_grad)
    }

    /// An elementwise operation on one value or two of one type, which is the result's too: most of what is recorded, without
    /// a type rule.
    #[inline]
    fn elementwise<const N: usize>(&self, op: Op, inputs: [Value; N]) -> Value {
        let [first, ..] = inputs.as_slice() else { unreachable!("an operation on nothing") };
        let (requires_grad, device) = (self.follows(first.ty.dtype, &inputs), Node::device_of(&inputs));
        debug_assert_eq!(infer(&op, &inputs.each_ref().map(|v| &v.ty)).as_ref(), Ok(&first.ty));
        Node::make(device, Kind::Op(op), NewType::First, inputs, requires_grad, self.loc, None)
    }

    /// `op` of two values of one type, which is the result's too.
    pub(crate) fn alike(&self, op: Binary, x: Value, y: Value) -> Value {
        self.elementwise(Op::Binary(op), [x, y])
    }

    /// The product of two matrices of one type, whose sizes fit.
    pub(crate) fn product(&self, x: Value, y: Value) -> Value {
        let op = Op::Dot { batch: SmallVec::new(), contract: SmallVec::from_iter([(1, 0)]) };
        let shape = SmallVec::from_iter([x.ty.shape[0].clone(), y.ty.shape[1].clone()]);
        let ty = Type { dtype: x.ty.dtype, shape };
        debug_assert_eq!(infer(&op, &[&x.ty, &y.ty]).as_ref(), Ok(&ty));
        let inputs = [x, y];
        let (requires_grad, device) = (self.follows(ty.dtype, &inputs), Node::device_of(&inputs));
        Node::make(device, Kind::Op(op), NewType::This(ty), inputs, requires_grad, self.loc, None)
    }

    /// The value itself, with another meaning to the derivative walk.
    pub fn alias(&self, alias: Alias, value: &Value, requires_grad: bool) -> Value {
        let inputs = SmallVec::from_iter([value.clone()]);
        Node::new(Kind::Alias(alias), value.ty.clone(), inputs, requires_grad, self.loc)
    }
}

impl Recorder {
    /// The value on a device: itself, where it is or can be computed there.
    pub fn moved(&self, value: &Value, device: Device) -> Value {
        if value.device.is_none_or(|d| d == device) { value.clone() } else { self.pinned(value, device) }
    }

    /// The value computed on a device and nowhere else: itself, if it is that already.
    pub fn moved_or_pinned(&self, value: &Value, device: Device) -> Value {
        if value.device == Some(device) { value.clone() } else { self.pinned(value, device) }
    }

    /// The value on a device, and computed nowhere else.
    fn pinned(&self, value: &Value, device: Device) -> Value {
        let requires_grad = self.grad && value.requires_grad;
        let inputs = SmallVec::from_iter([value.clone()]);
        let kind = Kind::Alias(Alias::Moved);
        Node::new_on(Some(device), kind, value.ty.clone(), inputs, requires_grad, self.loc)
    }
}

impl Default for Recorder {
    fn default() -> Recorder {
        Recorder::new()
    }
}

impl Builder for Recorder {
    type Value = Value;

    fn op(&mut self, op: Op, inputs: &[Value]) -> Value {
        if let (Op::Unary(u), [x]) = (&op, inputs)
            && u.domain().contains(x.ty.dtype)
        {
            return self.elementwise(Op::Unary(*u), [x.clone()]);
        }
        let mut operands = SmallVec::new();
        inputs.iter().for_each(|v| operands.push(v.clone()));
        self.add_op(op, operands)
    }

    fn add_op(&mut self, op: Op, mut inputs: SmallVec<[Value; 3]>) -> Value {
        if let (Op::Binary(b), [x, y]) = (&op, &inputs[..])
            && b.domain().contains(x.ty.dtype)
            && x.ty == y.ty
            && let (Some(y), Some(x)) = (inputs.pop(), inputs.pop())
        {
            return self.elementwise(Op::Binary(*b), [x, y]);
        }
        match self.try_op(op, inputs) {
            Ok(value) => value,
            Err(error) => panic!("an operator was built on operands it does not take: {error}"),
        }
    }

    /// 0 and 1 are what formulas are full of, and mean the same wherever they stand; other numbers may be a
    /// schedule's, which a plan takes as inputs one by one.
    fn operand(&mut self, value: Scalar, shape: Shape) -> Value {
        let plain = value == Scalar::zero(value.dtype) || value == Scalar::one(value.dtype);
        if !plain || varying() {
            return self.constant(value, shape);
        }
        LAST_OPERAND.with_borrow_mut(|last| {
            if let Some(node) = last.upgrade()
                && let Kind::Op(Op::Const { value: known, shape: size }) = &node.kind
                && (*known, size) == (value, &shape)
            {
                return node;
            }
            let node = self.constant(value, shape);
            *last = Counted::downgrade(&node);
            node
        })
    }

    fn ty<'a>(&'a self, value: &'a Value) -> &'a Type {
        &value.ty
    }
}
