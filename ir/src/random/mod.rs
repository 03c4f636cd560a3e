//! Random streams as sequences of 32-bit words, equal to PyTorch's.

mod mt19937;
mod philox;

pub use mt19937::Mt19937;
pub use philox::{Philox, philox4x32_10};

use crate::op::RandomStream;

/// Words `drawn..drawn + out.len()` of the stream with the given seed.
///
/// A negative count of words drawn is taken as 0.
pub fn random_words(stream: RandomStream, seed: i64, drawn: i64, out: &mut [u32]) {
    let drawn = drawn.max(0) as u64;
    match stream {
        RandomStream::Mt19937 => {
            let mut state = Mt19937::new(seed as u64);
            state.skip(drawn);
            state.fill(out);
        }
        RandomStream::Philox => {
            let mut state = Philox::new(seed as u64);
            state.skip(drawn);
            state.fill(out);
        }
    }
}
