//! Random streams as sequences of 32-bit words, equal to PyTorch's.

mod mt19937;
mod philox;

pub use mt19937::Mt19937;
pub use philox::{Philox, philox_of_threads, philox4x32_10};

use crate::op::RandomStream;

/// The next words of a stream; `state` is the operand of `random_bits`: the seed, the words drawn before, and a number of
/// threads for the streams that have one.
///
/// A negative count of words drawn is taken as 0, less than one thread as one.
pub fn random_words(stream: RandomStream, state: &[i64], out: &mut [u32]) {
    let number = |at: usize| state.get(at).copied().unwrap_or(0);
    let (seed, drawn) = (number(0), number(1).max(0) as u64);
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
        RandomStream::PhiloxLanes
        | RandomStream::PhiloxPairs
        | RandomStream::PhiloxTwins
        | RandomStream::PhiloxVectors
        | RandomStream::PhiloxHalves => {
            philox_of_threads(stream, seed as u64, drawn, number(2).max(1) as u64, out);
        }
    }
}
