//! Copies between the host and a device through pinned memory, so that a copy to the device need not be
//! waited for.

use super::driver::{Address, Context, Event, Pinned, Stream};
use super::error::CudaError;
use std::sync::Arc;

/// Two chunks that take turns: one is filled or emptied while the device copies the other.
pub(super) struct Staging {
    chunks: Vec<Chunk>,
    current: usize,
}

struct Chunk {
    memory: Pinned,
    /// Bytes given to copies that may not have been made yet.
    used: usize,
    /// After the last copy of the chunk.
    copied: Event,
}

const CHUNK: usize = 4 << 20;

/// Copies start at multiples of this.
const ALIGN: usize = 64;

impl Staging {
    pub(super) fn new() -> Staging {
        Staging { chunks: Vec::new(), current: 0 }
    }

    fn prepare(&mut self, context: &Arc<Context>) -> Result<(), CudaError> {
        while self.chunks.len() < 2 {
            let (memory, copied) = (Pinned::new(context, CHUNK)?, Event::new(context)?);
            self.chunks.push(Chunk { memory, used: 0, copied });
        }
        Ok(())
    }

    /// Copies to the device; returns when `bytes` may change again.
    pub(super) fn upload(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        mut bytes: &[u8],
        mut to: Address,
    ) -> Result<(), CudaError> {
        self.prepare(context)?;
        while !bytes.is_empty() {
            if self.chunks[self.current].used == CHUNK {
                self.current = 1 - self.current;
                let next = &mut self.chunks[self.current];
                if next.used > 0 {
                    next.copied.synchronize("copying to the device")?;
                    next.used = 0;
                }
            }
            let chunk = &mut self.chunks[self.current];
            let n = bytes.len().min(CHUNK - chunk.used);
            chunk.memory.put(chunk.used, &bytes[..n]);
            stream.upload(&chunk.memory, chunk.used, n, to)?;
            chunk.copied.record(stream)?;
            chunk.used = (chunk.used + n).next_multiple_of(ALIGN).min(CHUNK);
            bytes = &bytes[n..];
            to += n as Address;
        }
        Ok(())
    }

    /// Copies from the device and waits for it.
    pub(super) fn download(
        &mut self,
        context: &Arc<Context>,
        stream: &Stream,
        from: Address,
        bytes: &mut [u8],
        during: &str,
    ) -> Result<(), CudaError> {
        self.prepare(context)?;
        // Both chunks are to be written by the device: what it still reads there comes before, in the stream.
        let mut pieces = bytes.chunks_mut(CHUNK);
        let mut waiting: Option<(usize, &mut [u8])> = None;
        let mut at = from;
        loop {
            let next = pieces.next();
            let issued = match next {
                Some(piece) => {
                    let index = waiting.as_ref().map_or(self.current, |(i, _)| 1 - i);
                    let chunk = &mut self.chunks[index];
                    stream.download(at, &chunk.memory, piece.len())?;
                    chunk.copied.record(stream)?;
                    at += piece.len() as Address;
                    Some((index, piece))
                }
                None => None,
            };
            if let Some((index, piece)) = waiting.take() {
                self.take(index, piece, during)?;
            }
            match issued {
                Some(issued) => waiting = Some(issued),
                None => break,
            }
        }
        Ok(())
    }

    fn take(&mut self, index: usize, piece: &mut [u8], during: &str) -> Result<(), CudaError> {
        let chunk = &mut self.chunks[index];
        chunk.copied.synchronize(during)?;
        chunk.memory.get(piece);
        chunk.used = 0;
        Ok(())
    }
}
