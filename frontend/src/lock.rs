//! The lock around what tensors, storages and nodes hold.
//!
//! Recording an operator takes several of these, each for a few instructions and hardly ever while another thread has
//! it. What such a lock costs are its read-modify-write instructions, the dearest that a processor has outside of memory: one that
//! can put threads to sleep takes one to lock and one to unlock, this one unlocks by a plain store. A thread that
//! finds it taken gives its time to others, as whoever has it may have been interrupted.
//!
//! Nothing that waits, calls Python or takes long belongs under it.

/// A lock for a few instructions.
pub type Lock<T> = spin::mutex::SpinMutex<T, spin::Yield>;
