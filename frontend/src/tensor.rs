//! Tensors: a view of a storage that holds a lazy value.
//!
//! Reading a tensor applies its view to the storage's current value; writing replaces the storage's
//! value. Aliases see the write, derivatives stay right, and the recorded graph stays pure.

use crate::device::{self, Device, Memory};
use crate::error::{Error, Result};
use crate::grad::GradMeta;
use crate::node::{Alias, Node, Saved, Value};
use crate::record::{Recorder, grad_enabled};
use crate::storage::{Shared, Storage, Version};
use crate::view::{Dims, View};
use crate::{capture, materialize, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use ttk_ir::{DType, Op, Type};
use ttk_runtime::Buffer;
use ttk_runtime::sync::{Counted, Lock};

/// Where on the way from storage to tensor derivatives stop.
#[derive(Clone, Debug)]
pub enum Stop {
    /// `detach()`.
    Detach,
    /// A leaf that collects its gradient.
    Leaf(Arc<GradMeta>),
}

#[derive(Clone, Debug)]
pub struct Body {
    pub storage: Counted<Storage>,
    /// Where in the storage; `None` is all of it.
    view: Option<Box<View>>,
    /// After how many view steps derivatives stop, and how.
    pub stop: Option<(usize, Stop)>,
    /// The value last read, and the storage's version then.
    cache: Option<(u32, Value)>,
    /// PyTorch's name of the operation that made this tensor, for `grad_fn`.
    pub made_by: Option<&'static str>,
    /// The gradient kept for a tensor that is no leaf (`retain_grad`).
    pub retained: Option<Arc<GradMeta>>,
}

/// A reference to a tensor. Clones are the same tensor.
#[derive(Clone, Debug)]
pub struct Tensor(Counted<Inner>);

#[derive(Debug)]
struct Inner {
    body: Lock<Body>,
    /// The object that stands for this tensor in another language, if there is one; see
    /// [`Tensor::handle`].
    handle: AtomicPtr<()>,
}

impl Tensor {
    /// A new tensor with a storage of its own.
    ///
    /// A value that can be computed anywhere is on the device of the operator that is called.
    pub fn from_value(value: Value) -> Tensor {
        Tensor::made(value, None)
    }

    /// [`Tensor::from_value`], made by the operation of that name.
    pub(crate) fn made_by(value: Value, name: &'static str) -> Tensor {
        Tensor::made(value, Some(name))
    }

    fn made(value: Value, made_by: Option<&'static str>) -> Tensor {
        let device = value.device.unwrap_or_else(device::place);
        let value =
            if device == Device::Cpu { value } else { Recorder::new().moved_or_pinned(&value, device) };
        let computed = value.is_computed();
        // An operator may hand back an operand as it is; with derivatives off it carries none.
        let detached = value.requires_grad && !grad_enabled();
        // Written as one, of values that are there: a structure that is moved is read in larger pieces than it was
        // written in, and that makes a processor wait.
        let storage = Counted::new(Storage {
            device,
            version: Version::new(),
            shared: Shared::new(),
            place: pending::Place::new(),
            past: Lock::new(None),
            value: Lock::new(value),
        });
        if !computed {
            pending::add(&storage);
        }
        capture::made(&storage);
        let body = Body {
            view: None,
            stop: if detached { Some((0, Stop::Detach)) } else { None },
            cache: None,
            made_by,
            retained: None,
            storage,
        };
        Tensor(Counted::new(Inner { body: Lock::new(body), handle: AtomicPtr::new(std::ptr::null_mut()) }))
    }

    /// A tensor over given elements, dense and row-major.
    pub fn from_buffer(buffer: Buffer, dtype: DType, sizes: &[i64]) -> Tensor {
        Tensor::from_value(Node::leaf(buffer, Type::fixed(dtype, sizes)))
    }

    /// A flat tensor over memory that someone else sees too, of `n` elements.
    pub fn sharing(buffer: Buffer, dtype: DType, n: i64) -> Tensor {
        let t = device::with_place(Device::Cpu, || Tensor::from_buffer(buffer.clone(), dtype, &[n]));
        let storage = t.storage();
        storage.shared.set(&mut storage.shared.lock(), Some(buffer));
        t
    }

    /// The whole storage as a flat tensor that shares it.
    pub fn whole_storage(&self) -> Tensor {
        let storage = self.storage();
        let base = storage.value.lock().dims();
        let n: i64 = base.iter().product();
        let view = View::whole(base);
        let view = view.reshape(&[n]).unwrap_or(view);
        let at = view.steps.len();
        Tensor::from_body(storage, view, Some((at, Stop::Detach)))
    }

    /// The storage's elements under any sizes and strides.
    ///
    /// Where strides nest (each a multiple of the next) the result is a view; otherwise it is a copy.
    ///
    /// # Errors
    /// Elements outside the storage.
    pub fn as_strided(&self, sizes: &[i64], strides: &[i64], offset: i64) -> Result<Tensor> {
        let storage = self.storage();
        let base = storage.value.lock().dims();
        match crate::view::strided(&base, sizes, strides, offset)? {
            Some(view) => {
                let stop = self.0.body.lock().stop.as_ref().map(|_| (view.steps.len(), Stop::Detach));
                Ok(Tensor::from_body(storage, view, stop))
            }
            None => {
                let mut b = Recorder::new();
                let flat = self.whole_storage().value();
                Ok(Tensor::from_value(crate::view::strided_copy(&mut b, &flat, sizes, strides, offset)))
            }
        }
    }

    fn from_body(storage: Counted<Storage>, view: View, stop: Option<(usize, Stop)>) -> Tensor {
        let view = Some(Box::new(view));
        Tensor::of_body(Body { storage, view, stop, cache: None, made_by: None, retained: None })
    }

    #[inline]
    fn of_body(body: Body) -> Tensor {
        Tensor(Counted::new(Inner { body: Lock::new(body), handle: AtomicPtr::default() }))
    }

    /// Whether both are the same tensor object.
    pub fn is(&self, other: &Tensor) -> bool {
        self.key() == other.key()
    }

    /// A number that is the same for clones of one tensor.
    pub fn key(&self) -> usize {
        Counted::as_ptr(&self.0) as usize
    }

    /// A place for the one object that stands for this tensor in another language, so that a tensor read
    /// twice is the same object. Its owner clears it when the object dies.
    pub fn handle(&self) -> &AtomicPtr<()> {
        &self.0.handle
    }

    pub fn with_body<T>(&self, f: impl FnOnce(&mut Body) -> T) -> T {
        f(&mut self.0.body.lock())
    }

    pub fn sizes(&self) -> Dims {
        self.0.body.lock().sizes()
    }

    pub fn strides(&self) -> Dims {
        self.view().strides()
    }

    pub fn rank(&self) -> usize {
        self.rank_and_dtype().0
    }

    pub fn numel(&self) -> i64 {
        crate::view::numel(&self.sizes())
    }

    pub fn dtype(&self) -> DType {
        let body = self.0.body.lock();
        let value = body.storage.value.lock();
        value.ty.dtype
    }

    pub fn device(&self) -> Device {
        self.0.body.lock().storage.device
    }

    /// The tensor on a device: itself if it is there, else a copy that derivatives flow through.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn to_device(&self, device: Device) -> Result<Tensor> {
        if self.device() == device {
            return Ok(self.clone());
        }
        device::check(device)?;
        let moved = Recorder::new().moved(&self.value(), device);
        Ok(device::with_place(device, || Tensor::from_value(moved)))
    }

    /// [`Tensor::rank`] and [`Tensor::dtype`] at once.
    pub fn rank_and_dtype(&self) -> (usize, DType) {
        let body = self.0.body.lock();
        let value = body.storage.value.lock();
        let rank = body.view.as_ref().map_or(value.ty.shape.len(), |view| view.sizes.len());
        (rank, value.ty.dtype)
    }

    pub fn view(&self) -> View {
        self.0.body.lock().view()
    }

    pub fn storage(&self) -> Counted<Storage> {
        self.0.body.lock().storage.clone()
    }

    pub fn version(&self) -> u32 {
        self.0.body.lock().storage.version.get()
    }

    /// The value as it is now, for recording.
    pub fn value(&self) -> Value {
        let mut body = self.0.body.lock();
        if body.storage.shared.is_some() {
            // Copying takes its time.
            let copy = body.clone();
            drop(body);
            return copy.read_shared();
        }
        body.read()
    }

    /// Remembers that a derivative formula will read this tensor.
    pub fn saved(&self) -> Saved {
        let body = self.0.body.lock();
        let version = body.storage.version.watch().clone();
        let expected = version.load(Ordering::Relaxed);
        let dtype = body.storage.value.lock().ty.dtype;
        Saved { version, expected, dtype, shape: body.sizes() }
    }

    /// A view of this tensor. One of a leaf is none, even where it shows the leaf as it is.
    pub fn with_view(&self, mut view: View) -> Tensor {
        let body = self.0.body.lock();
        if grad_enabled() && matches!(&body.stop, Some((at, Stop::Leaf(_))) if *at == view.steps.len()) {
            view.steps.push(Op::Reshape(ttk_ir::shape::shape(&view.sizes)));
        }
        // A view made while derivatives are off carries none.
        let stop = if grad_enabled() { body.stop.clone() } else { Some((view.steps.len(), Stop::Detach)) };
        Tensor::from_body(body.storage.clone(), view, stop)
    }

    /// The same memory, through which no derivative flows.
    pub fn detach(&self) -> Tensor {
        let body = self.0.body.lock();
        let at = body.steps().len();
        let stop = Some((at, Stop::Detach));
        let (storage, view) = (body.storage.clone(), body.view.clone());
        Tensor::of_body(Body { storage, view, stop, cache: None, made_by: None, retained: None })
    }

    /// Writes `new`, a value of this tensor's sizes and element type, in place.
    ///
    /// # Errors
    /// A leaf that requires a gradient, or a view of one, while derivatives are recorded; an expanded
    /// view; a failure to compute, where the memory is shared with NumPy.
    pub fn write(&self, new: Value) -> Result<()> {
        let mut body = self.0.body.lock();
        if grad_enabled()
            && let Some((at, Stop::Leaf(_))) = &body.stop
        {
            let whole = *at == body.steps().len();
            return Err(if whole { Error::InPlaceLeaf } else { Error::InPlaceLeafView });
        }
        let storage = body.storage.clone();
        let old = storage.value.lock().clone();
        capture::written(&storage, &old);
        let new = if device::used() { Recorder::new().moved(&new, storage.device) } else { new };
        let replaced = View::put(body.steps(), &mut Recorder::new(), &old, new.clone())?;
        let computed = replaced.is_computed();
        *storage.value.lock() = replaced.clone();
        let version = storage.version.bump();
        let cache = if body.stop.is_none() { Some((version, new)) } else { None };
        let read_before = std::mem::replace(&mut body.cache, cache);
        drop(body);
        drop(read_before);
        if storage.shared.is_some() {
            let result = materialize::write_through(&storage);
            if result.is_err() {
                *storage.value.lock() = old;
                storage.version.bump();
            }
            return result;
        }
        if computed {
            storage.forget_past();
        } else {
            storage.remember(old, &replaced);
            pending::add(&storage);
        }
        Ok(())
    }

    /// Makes this tensor another one's equal, as `x.data = y` and `Module.to` do: storage and view.
    pub fn set_data(&self, other: &Tensor) {
        let (storage, view, at) = other.with_body(|b| (b.storage.clone(), b.view.clone(), b.steps().len()));
        let mut body = self.0.body.lock();
        body.stop = match body.stop.take() {
            Some((own, Stop::Leaf(meta))) if own == body.steps().len() => Some((at, Stop::Leaf(meta))),
            _ => Some((at, Stop::Detach)),
        };
        body.view = view;
        let before = (std::mem::replace(&mut body.storage, storage), body.cache.take());
        drop(body);
        drop(before);
    }

    /// Whether a gradient can flow to or through this tensor.
    pub fn requires_grad(&self) -> bool {
        self.0.body.lock().requires_grad()
    }

    pub fn is_leaf(&self) -> bool {
        let body = self.0.body.lock();
        match &body.stop {
            Some((at, Stop::Leaf(_))) => *at == body.steps().len(),
            Some((_, Stop::Detach)) => true,
            None => !body.storage.value.lock().requires_grad,
        }
    }

    /// Makes the tensor a leaf that collects its gradient, or one that does not.
    ///
    /// # Errors
    /// A tensor that is no leaf, or one of integers.
    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        if on && !self.dtype().is_float() {
            return Err(Error::GradDtype);
        }
        if !self.is_leaf() {
            if on {
                return Ok(());
            }
            return Err(Error::runtime(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach().",
            ));
        }
        let mut body = self.0.body.lock();
        let at = body.steps().len();
        match (&body.stop, on) {
            (Some((_, Stop::Leaf(_))), true) => {}
            (_, true) => {
                body.stop = Some((at, Stop::Leaf(Arc::new(GradMeta::default()))));
                body.cache = None;
            }
            (Some((_, Stop::Leaf(_))), false) => {
                body.stop = Some((at, Stop::Detach));
                body.cache = None;
            }
            (_, false) => {}
        }
        Ok(())
    }

    /// Where this tensor's gradient is kept, if it keeps one.
    pub fn grad_meta(&self) -> Option<Arc<GradMeta>> {
        let body = self.0.body.lock();
        match &body.stop {
            Some((at, Stop::Leaf(meta))) if *at == body.steps().len() => Some(meta.clone()),
            _ => body.retained.clone(),
        }
    }

    pub fn grad(&self) -> Option<Tensor> {
        self.grad_meta().and_then(|m| m.grad.lock().clone())
    }

    /// Sets or clears the gradient.
    pub fn set_grad(&self, grad: Option<Tensor>) {
        match self.grad_meta() {
            Some(meta) => *meta.grad.lock() = grad,
            // A tensor that does not require a gradient may be given one; it is kept all the same.
            None => {
                let meta = Arc::new(GradMeta::default());
                *meta.grad.lock() = grad;
                self.0.body.lock().retained = Some(meta);
            }
        }
    }

    /// The elements in memory, if they are computed: buffer, and this tensor's place in it.
    pub fn in_memory(&self) -> Option<(Memory, View)> {
        let body = self.0.body.lock();
        let memory = body.storage.value.lock().memory()?;
        Some((memory, body.view()))
    }
}

impl Body {
    /// [`Tensor::requires_grad`]
    pub fn requires_grad(&self) -> bool {
        match &self.stop {
            Some((_, Stop::Leaf(_))) => true,
            Some((_, Stop::Detach)) => false,
            None => self.storage.value.lock().requires_grad,
        }
    }

    /// Makes the tensor another view of its storage.
    pub fn set_view(&mut self, view: View) {
        self.view = Some(Box::new(view));
        self.cache = None;
    }

    fn view(&self) -> View {
        match &self.view {
            Some(view) => View::clone(view),
            None => View::whole(self.storage.value.lock().dims()),
        }
    }

    fn sizes(&self) -> Dims {
        match &self.view {
            Some(view) => Dims::from_slice(&view.sizes),
            None => self.storage.value.lock().dims(),
        }
    }

    /// From the storage's value to the tensor's.
    fn steps(&self) -> &[Op] {
        self.view.as_ref().map_or(&[], |view| &view.steps)
    }

    fn read(&mut self) -> Value {
        let base = self.storage.value.lock().clone();
        let captured = capture::read(&self.storage, &base);
        if self.steps().is_empty() && self.stop.is_none() {
            return base;
        }
        let version = self.storage.version.get();
        // What was read before a capture may be a copy that a later write to the storage does not reach.
        if let Some((at, value)) = &self.cache
            && *at == version
            && !captured
        {
            return value.clone();
        }
        let mut b = Recorder::with_grad(true);
        let value = match &self.stop {
            None => View::apply(self.steps(), &mut b, &base),
            Some((at, stop)) => {
                let mut no_grad = Recorder::with_grad(false);
                let (before, after) = self.steps().split_at(*at);
                let below = View::apply(before, &mut no_grad, &base);
                let stopped = match stop {
                    Stop::Leaf(meta) => b.alias(Alias::Leaf(meta.clone()), &below, true),
                    Stop::Detach if below.requires_grad => b.alias(Alias::Detached, &below, false),
                    Stop::Detach => below,
                };
                View::apply(after, &mut b, &stopped)
            }
        };
        self.cache = Some((version, value.clone()));
        value
    }

    /// A read of memory that others may change at any time: what is there now is copied.
    fn read_shared(&self) -> Value {
        let base = self.storage.value.lock().clone();
        let Some((at, Stop::Leaf(meta))) = &self.stop else {
            return materialize::dense_copy(&base, &self.view());
        };
        let mut b = Recorder::with_grad(true);
        let (before, after) = self.steps().split_at(*at);
        if after.is_empty() {
            return b.alias(Alias::Leaf(meta.clone()), &materialize::dense_copy(&base, &self.view()), true);
        }
        // A view of a leaf: the copy is of the whole, so that the derivative finds the leaf on its way.
        let whole = materialize::dense_copy(&base, &View::whole(base.dims()));
        let leaf = View::apply(before, &mut b, &whole);
        let leaf = b.alias(Alias::Leaf(meta.clone()), &leaf, true);
        View::apply(after, &mut b, &leaf)
    }
}
