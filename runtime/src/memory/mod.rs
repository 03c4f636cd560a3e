//! Memory of tensors: reference-counted dense blocks and the allocator they come from.

mod allocator;
mod forms;
mod system;

pub use allocator::{MemoryStats, empty_cache, reset_peak, set_cache_limit, set_memory_limit, stats};
pub(crate) use forms::{Form, Key};

use crate::error::OutOfMemory;
use crate::sync::Counted;
use std::any::Any;
use std::fmt;
use std::mem::size_of;
use std::ptr::NonNull;

/// Alignment in bytes of every block that the allocator makes. Foreign memory promises only that of its
/// element type.
pub const ALIGNMENT: usize = 64;

/// A block of bytes that clones share; typed by nothing but its length.
///
/// Memory is either *owned* (from the caching allocator, to which it returns when the last clone goes)
/// or *foreign* (a NumPy array, a mapped file; its owner is dropped with the last clone). Only owned
/// memory without another clone is ever written in place by [`crate::Plan::run`].
#[derive(Clone)]
pub struct Buffer(Counted<Block>);

struct Block {
    ptr: NonNull<u8>,
    len: usize,
    origin: Origin,
    forms: forms::Forms,
}

enum Origin {
    /// The allocator's size class.
    Owned { class: u16 },
    /// Held for its destructor alone.
    Foreign(#[expect(dead_code)] Box<dyn Any + Send + Sync>),
}

// SAFETY: a block is plain memory that no thread owns. Writes happen through `&mut Buffer` while it is
// the only clone, or through raw pointers whose users promise that there is no race.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Buffer {
    fn of(ptr: NonNull<u8>, len: usize, origin: Origin) -> Buffer {
        Buffer(Counted::new(Block { ptr, len, origin, forms: forms::Forms::default() }))
    }

    /// `len` bytes with undefined content.
    ///
    /// # Errors
    /// When the machine cannot give that much; nothing is lost then.
    pub fn new(len: usize) -> Result<Buffer, OutOfMemory> {
        let (ptr, class) = allocator::allocate(len)?;
        Ok(Buffer::of(ptr, len, Origin::Owned { class }))
    }

    /// `len` zero bytes.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn zeroed(len: usize) -> Result<Buffer, OutOfMemory> {
        let buffer = Buffer::new(len)?;
        // SAFETY: the block is new, `len` bytes long and ours alone.
        unsafe { buffer.as_ptr().write_bytes(0, len) };
        Ok(buffer)
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn from_slice<T: Element>(values: &[T]) -> Result<Buffer, OutOfMemory> {
        let len = size_of_val(values);
        let buffer = Buffer::new(len)?;
        // SAFETY: the block is new and `len` bytes long; elements are plain data.
        unsafe { buffer.as_ptr().copy_from_nonoverlapping(values.as_ptr().cast(), len) };
        Ok(buffer)
    }

    /// Memory of someone else. `owner` keeps it alive and is dropped after the last clone's use.
    ///
    /// # Safety
    /// `ptr` must be valid for reads of `len` bytes until `owner` is dropped, and aligned for the type
    /// of element it will be used as. Whoever writes to it meanwhile must not do so while it is read.
    pub unsafe fn from_foreign(ptr: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> Buffer {
        Buffer::of(ptr, len, Origin::Foreign(owner))
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len
    }

    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The first byte. Writing through it is the caller's own risk: see [`Buffer::is_exclusive`] and, for memory that is
    /// not new, [`Buffer::lend`].
    pub fn as_ptr(&self) -> *mut u8 {
        self.0.ptr.as_ptr()
    }

    /// The first byte, for someone outside who may write there as long as the memory lives.
    pub fn lend(&self) -> *mut u8 {
        self.0.forms.lend();
        self.as_ptr()
    }

    /// Another form of the content, if it is kept; see [`Buffer::keep`].
    pub(crate) fn form(&self, key: &Key, bytes: usize) -> Form {
        if self.is_owned() { self.0.forms.find(key, bytes) } else { Form::Unknown }
    }

    /// Keeps a form that was [wanted](Form::Wanted), until the content changes.
    pub(crate) fn keep(&self, key: &Key, form: Buffer) {
        self.0.forms.keep(key, form);
    }

    /// Says that the content is about to change. To be called before whatever writes to a block that others may have
    /// read before.
    pub(crate) fn changes(&self) {
        self.0.forms.clear();
    }

    /// Whether the memory is the allocator's (and not foreign).
    pub fn is_owned(&self) -> bool {
        matches!(self.0.origin, Origin::Owned { .. })
    }

    /// Whether this is owned memory and there is no other clone, so that overwriting it changes
    /// nothing that anyone else can see.
    pub fn is_exclusive(&self) -> bool {
        self.is_owned() && Counted::count(&self.0) == 1
    }

    /// Whether both are the same block.
    pub fn same_block(&self, other: &Buffer) -> bool {
        Counted::ptr_eq(&self.0, &other.0)
    }

    /// The bytes. Foreign memory that someone else writes meanwhile must not be read this way; use
    /// [`Buffer::to_vec`] then.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: valid for `len` bytes while `self` lives. Owned memory is written only while no
        // other clone exists; the giver of foreign memory promised that no write meets a read.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.0.len) }
    }

    /// The bytes for writing, if the memory [is exclusive](Buffer::is_exclusive).
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        if !self.is_exclusive() {
            return None;
        }
        self.changes();
        // SAFETY: this is the only clone, borrowed mutably.
        Some(unsafe { std::slice::from_raw_parts_mut(self.as_ptr(), self.0.len) })
    }

    /// A copy of the content as elements; a remainder shorter than one element is left out.
    pub fn to_vec<T: Element>(&self) -> Vec<T> {
        let n = self.0.len / size_of::<T>();
        let mut out: Vec<T> = Vec::with_capacity(n);
        // SAFETY: `n` elements fit in both; elements are plain data, and any bits are a valid element.
        unsafe {
            out.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(self.as_ptr(), n * size_of::<T>());
            out.set_len(n);
        }
        out
    }

    /// Copies another buffer's content over this one's, which others may share; the shorter length counts.
    ///
    /// # Safety
    /// Nobody may read or write this memory meanwhile.
    pub unsafe fn overwrite(&self, from: &Buffer) {
        self.changes();
        let len = self.0.len.min(from.len());
        // SAFETY: both blocks are at least that long; the caller promises that there is no race.
        unsafe { self.as_ptr().copy_from(from.as_ptr(), len) };
    }

    /// A new owned block with the same content.
    ///
    /// # Errors
    /// As [`Buffer::new`].
    pub fn duplicate(&self) -> Result<Buffer, OutOfMemory> {
        let copy = Buffer::new(self.0.len)?;
        // SAFETY: two different blocks, both of that length.
        unsafe { copy.as_ptr().copy_from_nonoverlapping(self.as_ptr(), self.0.len) };
        Ok(copy)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match &self.origin {
            // SAFETY: the block came from `allocate` with this class, and the last clone is gone.
            Origin::Owned { class } => unsafe { allocator::release(self.ptr, *class) },
            Origin::Foreign(_) => {}
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len()).field("owned", &self.is_owned()).finish()
    }
}

/// Plain numbers for which any bits are a value.
///
/// # Safety
/// No padding, no invalid bit pattern, no pointer.
pub unsafe trait Element: Copy + 'static {}

macro_rules! elements {
    ($($t:ty)*) => { $(
        // SAFETY: a primitive number (or a transparent wrapper of one).
        unsafe impl Element for $t {}
    )* };
}
elements! { u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 half::f16 half::bf16 }

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn clones_share_and_only_a_sole_owner_may_write() {
        let mut a = Buffer::from_slice(&[1.0f32, 2.0]).unwrap();
        assert_eq!(a.as_ptr() as usize % ALIGNMENT, 0);
        let b = a.clone();
        assert!(a.bytes_mut().is_none());
        drop(b);
        a.bytes_mut().unwrap()[..4].copy_from_slice(&7.0f32.to_ne_bytes());
        assert_eq!(a.to_vec::<f32>(), [7.0, 2.0]);
        assert_eq!(a.duplicate().unwrap().to_vec::<f32>(), [7.0, 2.0]);
    }

    #[test]
    fn foreign_memory_is_kept_and_then_let_go() {
        static DROPS: AtomicU32 = AtomicU32::new(0);
        struct Owner(Vec<u8>);
        impl Drop for Owner {
            fn drop(&mut self) {
                DROPS.fetch_add(1, Ordering::Relaxed);
            }
        }
        let owner = Owner(vec![3; 10]);
        let ptr = NonNull::new(owner.0.as_ptr().cast_mut()).unwrap();
        // SAFETY: the vector's memory does not move with its owner.
        let mut a = unsafe { Buffer::from_foreign(ptr, 10, Box::new(owner)) };
        assert!(!a.is_exclusive() && a.bytes_mut().is_none());
        let b = a.clone();
        drop(a);
        assert_eq!((b.bytes(), DROPS.load(Ordering::Relaxed)), ([3; 10].as_slice(), 0));
        drop(b);
        assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_empty_buffer_is_a_buffer() {
        let b = Buffer::zeroed(0).unwrap();
        assert!(b.is_empty() && b.bytes().is_empty());
    }
}
