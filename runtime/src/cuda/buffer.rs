//! Memory of a device.

use super::device::Device;
use super::driver::Address;
use super::error::CudaError;
use crate::memory::{Buffer, Element};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A block of bytes in a device's memory, which clones share; typed by nothing but its length.
///
/// It goes back to the device's pool when the last clone is dropped, and what uses it next comes later in
/// the device's stream.
#[derive(Clone)]
pub struct DeviceBuffer(Arc<Block>);

struct Block {
    device: Device,
    at: Address,
    bytes: usize,
    /// Of the pool's block.
    size: usize,
}

impl DeviceBuffer {
    /// `bytes` bytes with undefined content.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; nothing is lost then.
    pub fn new(device: &Device, bytes: usize) -> Result<DeviceBuffer, CudaError> {
        let (at, size) = device.allocate(bytes)?;
        Ok(DeviceBuffer(Arc::new(Block { device: device.clone(), at, bytes, size })))
    }

    /// `bytes` zero bytes.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`].
    pub fn zeroed(device: &Device, bytes: usize) -> Result<DeviceBuffer, CudaError> {
        let new = DeviceBuffer::new(device, bytes)?;
        if bytes > 0 {
            device.stream().fill_zero(new.0.at, bytes)?;
        }
        Ok(new)
    }

    /// A copy of bytes of the host, which may change as soon as this returns.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`], and those of the copy.
    pub fn from_bytes(device: &Device, bytes: &[u8]) -> Result<DeviceBuffer, CudaError> {
        let new = DeviceBuffer::new(device, bytes.len())?;
        device.upload(bytes, new.0.at)?;
        Ok(new)
    }

    /// A copy of a buffer of the host.
    ///
    /// # Errors
    /// As [`DeviceBuffer::from_bytes`].
    pub fn from_buffer(device: &Device, buffer: &Buffer) -> Result<DeviceBuffer, CudaError> {
        DeviceBuffer::from_bytes(device, buffer.bytes())
    }

    /// A copy of `values`.
    ///
    /// # Errors
    /// As [`DeviceBuffer::from_bytes`].
    pub fn from_slice<T: Element>(device: &Device, values: &[T]) -> Result<DeviceBuffer, CudaError> {
        // SAFETY: elements are plain data without padding.
        let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) };
        DeviceBuffer::from_bytes(device, bytes)
    }

    /// A copy on the host; waits for the work that the content comes from.
    ///
    /// # Errors
    /// Exhausted memory of the host, and whatever went wrong with that work.
    pub fn to_buffer(&self) -> Result<Buffer, CudaError> {
        let mut buffer = Buffer::new(self.0.bytes)?;
        if let Some(bytes) = buffer.bytes_mut() {
            self.0.device.download(self.0.at, bytes, "copying a result to the host")?;
        }
        Ok(buffer)
    }

    /// A copy of some bytes on the host: those of one element, say. Waits as [`DeviceBuffer::to_buffer`].
    ///
    /// # Errors
    /// As there; also when the range is not within the buffer.
    pub fn read(&self, range: Range<usize>) -> Result<Vec<u8>, CudaError> {
        if range.start > range.end || range.end > self.0.bytes {
            return Err(CudaError::Range { start: range.start, end: range.end, len: self.0.bytes });
        }
        let mut bytes = vec![0; range.len()];
        self.0.device.download(self.0.at + range.start as Address, &mut bytes, "reading a result")?;
        Ok(bytes)
    }

    /// Copies the first bytes of another buffer of the same device here, as many as fit in both. Whoever
    /// shares this buffer sees them.
    ///
    /// # Errors
    /// [`CudaError::WrongDevice`], and those of the copy.
    pub fn overwrite(&self, from: &DeviceBuffer) -> Result<(), CudaError> {
        if !from.0.device.is(&self.0.device) {
            let (expected, found) = (self.0.device.ordinal(), from.0.device.ordinal());
            return Err(CudaError::WrongDevice { expected, found });
        }
        let bytes = self.0.bytes.min(from.0.bytes);
        if bytes == 0 || self.same_block(from) {
            return Ok(());
        }
        self.0.device.stream().copy(from.0.at, self.0.at, bytes)
    }

    /// A copy on a device, which may be the same.
    ///
    /// # Errors
    /// As [`DeviceBuffer::new`], and those of the copy.
    pub fn to_device(&self, device: &Device) -> Result<DeviceBuffer, CudaError> {
        let new = DeviceBuffer::new(device, self.0.bytes)?;
        if self.0.bytes == 0 {
        } else if device.is(&self.0.device) {
            device.stream().copy(self.0.at, new.0.at, self.0.bytes)?;
        } else {
            device.copy_from_peer(&self.0.device, self.0.at, new.0.at, self.0.bytes)?;
        }
        Ok(new)
    }

    /// A new block with the same content on the same device.
    ///
    /// # Errors
    /// As [`DeviceBuffer::to_device`].
    pub fn duplicate(&self) -> Result<DeviceBuffer, CudaError> {
        self.to_device(&self.0.device)
    }

    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.0.bytes == 0
    }

    /// Where the block is in the device's memory; of use to work that is given to the device's stream.
    pub fn address(&self) -> u64 {
        self.0.at
    }

    /// Whether there is no other clone, so that overwriting it changes nothing that anyone else can see.
    pub fn is_exclusive(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Whether both are the same block.
    pub fn same_block(&self, other: &DeviceBuffer) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.device.release(self.at, self.size);
    }
}

impl fmt::Debug for DeviceBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceBuffer")
            .field("device", &self.0.device.ordinal())
            .field("len", &self.len())
            .finish()
    }
}
