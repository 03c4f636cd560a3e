//! Other forms of a block's content, kept with it until that changes: the packed operand of a product, say.
//!
//! A form is kept from the second time on that it is asked for. So what changes in each turn of a loop, as the weights
//! in training do, costs no memory, and what stays is packed twice.

use super::Buffer;
use super::allocator::memory_limit;
use crate::sync::Lock;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What tells a form from all others of a block.
pub(crate) type Key = Arc<[i64]>;

/// The answer to [`Buffer::form`].
pub(crate) enum Form {
    /// It was made before.
    Made(Buffer),
    /// Memory for it, to be filled and handed to [`Buffer::keep`].
    Wanted(Buffer),
    /// It is not to be kept.
    Unknown,
}

/// The forms of a block.
#[derive(Default)]
pub(super) struct Forms(Lock<State>);

#[derive(Default)]
struct State {
    /// Without memory: asked for once.
    known: Vec<(Key, Option<Kept>)>,
    /// Whether someone outside may write the block at any time.
    lent: bool,
}

/// So many forms of a block are kept at most.
const MOST: usize = 8;

/// All forms together take at most this part of the memory that there is.
const PART: usize = 8;

static BYTES: AtomicUsize = AtomicUsize::new(0);

/// A form's memory, counted.
struct Kept(Buffer);

impl Kept {
    fn new(memory: Buffer) -> Kept {
        BYTES.fetch_add(memory.len(), Ordering::Relaxed);
        Kept(memory)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        BYTES.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

impl Forms {
    pub(super) fn find(&self, key: &Key, bytes: usize) -> Form {
        let mut state = self.0.lock();
        if state.lent {
            return Form::Unknown;
        }
        match state.known.iter().find(|(known, _)| Arc::ptr_eq(known, key) || known == key) {
            Some((_, Some(kept))) => return Form::Made(kept.0.clone()),
            Some((_, None)) => {}
            None => {
                if state.known.len() < MOST {
                    state.known.push((key.clone(), None));
                }
                return Form::Unknown;
            }
        }
        drop(state);
        if BYTES.load(Ordering::Relaxed).saturating_add(bytes) > memory_limit() / PART {
            return Form::Unknown;
        }
        Buffer::new(bytes).map_or(Form::Unknown, Form::Wanted)
    }

    pub(super) fn keep(&self, key: &Key, form: Buffer) {
        let mut state = self.0.lock();
        // Since it was asked for, the block may have been lent, or another thread have been quicker.
        if let Some((_, kept @ None)) = state.known.iter_mut().find(|(known, _)| known == key) {
            *kept = Some(Kept::new(form));
        }
    }

    /// Forgets all forms: the content changes.
    pub(super) fn clear(&self) {
        let forgotten = std::mem::take(&mut self.0.lock().known);
        drop(forgotten);
    }

    /// Forgets all forms, for good.
    pub(super) fn lend(&self) {
        self.0.lock().lent = true;
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(buffer: &Buffer, key: &Key) -> Option<Vec<u8>> {
        match buffer.form(key, 1) {
            Form::Made(form) => Some(form.to_vec()),
            Form::Wanted(_) | Form::Unknown => None,
        }
    }

    #[test]
    fn a_form_is_kept_from_the_second_time_on_until_the_content_changes() {
        let mut block = Buffer::from_slice(&[1u8, 2, 3]).unwrap();
        let key: Key = [1, 2].into();
        let keep = |block: &Buffer, number: u8| {
            assert!(matches!(block.form(&key, 1), Form::Unknown));
            let Form::Wanted(mut form) = block.form(&key, 1) else { panic!("not wanted") };
            form.bytes_mut().unwrap()[0] = number;
            block.keep(&key, form);
        };
        keep(&block, 7);
        assert_eq!(made(&block, &key), Some(vec![7]));
        assert_eq!(made(&block.clone(), &key), Some(vec![7]));
        assert_eq!(made(&block, &[1, 3].into()), None);
        block.bytes_mut().unwrap()[0] = 5;
        keep(&block, 8);
        assert_eq!(made(&block, &key), Some(vec![8]));
        block.lend();
        (0..3).for_each(|_| assert!(matches!(block.form(&key, 1), Form::Unknown)));
    }

    #[test]
    fn forms_go_with_their_block() {
        let block = Buffer::from_slice(&[1u8, 2, 3]).unwrap();
        let key: Key = [1].into();
        assert!(matches!(block.form(&key, 1), Form::Unknown));
        let Form::Wanted(form) = block.form(&key, 1) else { panic!("not wanted") };
        block.keep(&key, form.clone());
        assert!(!form.is_exclusive());
        drop(block);
        assert!(form.is_exclusive());
    }

    #[test]
    fn foreign_memory_has_no_forms() {
        let memory = Box::new([1u8; 4]);
        // SAFETY: the box is kept until the buffer goes, and nobody writes.
        let block = unsafe { Buffer::from_foreign(std::ptr::NonNull::from(&memory[0]), 4, Box::new(())) };
        let key: Key = [1].into();
        (0..3).for_each(|_| assert!(matches!(block.form(&key, 1), Form::Unknown)));
    }
}
