//! Memory in which the algorithms of libraries work: one piece for a device, all of whose work is in one order.

use super::driver::{Address, Context};
use super::error::CudaError;
use parking_lot::Mutex;
use std::sync::Arc;

/// Taken when an algorithm first wants some, and kept.
pub(super) struct Workspace {
    /// The most that an algorithm may ask for, in bytes.
    pub(super) limit: usize,
    at: Mutex<Option<Address>>,
    context: Arc<Context>,
}

impl Workspace {
    /// For a device of this compute capability.
    pub(super) fn new(context: &Arc<Context>, capability: (i32, i32)) -> Workspace {
        // What the newer devices' algorithms are made for.
        let limit = if capability.0 >= 9 { 32 << 20 } else { 4 << 20 };
        Workspace { limit, at: Mutex::new(None), context: context.clone() }
    }

    /// Where an algorithm that asks for so many bytes may work; `None` when it asks for too much, or memory is short.
    ///
    /// # Errors
    /// The driver's.
    pub(super) fn room(&self, bytes: usize) -> Result<Option<Address>, CudaError> {
        if bytes == 0 {
            return Ok(Some(0));
        }
        if bytes > self.limit {
            return Ok(None);
        }
        let mut at = self.at.lock();
        if at.is_none() {
            *at = self.context.allocate(self.limit)?;
        }
        Ok(*at)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if let Some(at) = self.at.get_mut().take() {
            // An error has nobody to go to.
            let _ = self.context.free(at);
        }
    }
}
