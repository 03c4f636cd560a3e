//! Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", 2011).

use crate::op::RandomStream;

/// A generator and its place in its stream. Word `4*i + j` is the `j`-th word of the block with counter
/// `i` (subsequence 0 of PyTorch's CUDA generator).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Philox {
    seed: u64,
    drawn: u64,
}

impl Philox {
    pub fn new(seed: u64) -> Philox {
        Philox { seed, drawn: 0 }
    }

    /// Words drawn since the seed.
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    pub fn skip(&mut self, count: u64) {
        self.drawn = self.drawn.wrapping_add(count);
    }

    pub fn fill(&mut self, out: &mut [u32]) {
        let mut block = philox4x32_10(self.seed, u128::from(self.drawn / 4));
        for o in out {
            let lane = (self.drawn % 4) as usize;
            *o = block[lane];
            self.drawn += 1;
            if lane == 3 {
                block = philox4x32_10(self.seed, u128::from(self.drawn / 4));
            }
        }
    }
}

/// The words that `threads` threads draw, in the order of the elements that they are for.
///
/// The streams are those of [`RandomStream`] with a number of threads. Thread `i` has the blocks with `i` in the upper half of
/// the counter, from `drawn / 4` on, one for each round.
pub fn philox_of_threads(stream: RandomStream, seed: u64, drawn: u64, threads: u64, out: &mut [u32]) {
    // The block that was made last serves its neighbours.
    let mut last = None;
    for (i, o) in out.iter_mut().enumerate() {
        let (thread, round, word) = place(stream, i as u64, threads);
        let block = match last {
            Some((at, block)) if at == (thread, round) => block,
            _ => {
                let low = u128::from((drawn / 4).wrapping_add(round));
                let block = philox4x32_10(seed, u128::from(thread) << 64 | low);
                last = Some(((thread, round), block));
                block
            }
        };
        *o = block[word as usize];
    }
}

/// Thread, round and word in the block of a word's place among all.
fn place(stream: RandomStream, i: u64, threads: u64) -> (u64, u64, u64) {
    let pair = i / 2;
    match stream {
        RandomStream::PhiloxLanes => (i % threads, i / threads / 4, i / threads % 4),
        RandomStream::PhiloxPairs => (pair % threads, pair / threads / 2, pair / threads % 2 * 2 + i % 2),
        RandomStream::PhiloxTwins => {
            (pair % threads, pair / threads / 4, (pair / threads % 4 / 2 * 2) + i % 2)
        }
        RandomStream::PhiloxVectors => (i / 4 % threads, i / 4 / threads, i % 4),
        RandomStream::PhiloxHalves => (pair % threads, pair / threads / 2, pair / threads % 2 * 2 + i % 2),
        // One thread that takes all.
        RandomStream::Mt19937 | RandomStream::Philox => (0, i / 4, i % 4),
    }
}

/// The four words for a key and a counter.
pub fn philox4x32_10(key: u64, counter: u128) -> [u32; 4] {
    let mut c = [counter as u32, (counter >> 32) as u32, (counter >> 64) as u32, (counter >> 96) as u32];
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    for _ in 0..10 {
        let p0 = u64::from(c[0]) * 0xd251_1f53;
        let p1 = u64::from(c[2]) * 0xcd9e_8d57;
        c = [(p1 >> 32) as u32 ^ c[1] ^ k0, p1 as u32, (p0 >> 32) as u32 ^ c[3] ^ k1, p0 as u32];
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // kat_vectors of the authors' Random123, philox4x32 10.
        assert_eq!(philox4x32_10(0, 0), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
        assert_eq!(philox4x32_10(u64::MAX, u128::MAX), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    }

    #[test]
    fn words_come_in_counter_order() {
        let (mut all, mut tail) = ([0; 9], [0; 4]);
        Philox::new(3).fill(&mut all);
        let mut state = Philox::new(3);
        state.skip(5);
        state.fill(&mut tail);
        assert_eq!(tail, all[5..]);
        assert_eq!(all[4..8], philox4x32_10(3, 1));
    }
}
