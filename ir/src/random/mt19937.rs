//! The Mersenne twister MT19937 (Matsumoto and Nishimura, 1998), seeded as PyTorch's CPU generator and
//! NumPy's `RandomState(seed)` seed it.

const N: usize = 624;
const M: usize = 397;

/// A generator and its place in its stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mt19937 {
    seed: u64,
    state: [u32; N],
    /// How many words of `state` are used up; `N` when the next word needs a new block.
    used: usize,
    /// Words drawn since the seed.
    drawn: u64,
}

impl Mt19937 {
    /// The stream of a seed, of which the lower 32 bits count.
    pub fn new(seed: u64) -> Mt19937 {
        let mut state = [0u32; N];
        state[0] = seed as u32;
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1812433253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Mt19937 { seed, state, used: N, drawn: 0 }
    }

    /// A generator from the parts that [`Mt19937::words`] and [`Mt19937::used`] give; for reading saved
    /// generator states. `used` above 624 is taken as 624.
    pub fn from_parts(seed: u64, words: [u32; N], used: usize) -> Mt19937 {
        Mt19937 { seed, state: words, used: used.min(N), drawn: 0 }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Words drawn since the seed.
    pub fn drawn(&self) -> u64 {
        self.drawn
    }

    /// The current block of the recurrence, before tempering.
    pub fn words(&self) -> &[u32; N] {
        &self.state
    }

    /// How many words of the block are used up.
    pub fn used(&self) -> usize {
        self.used
    }

    pub fn next_u32(&mut self) -> u32 {
        if self.used == N {
            self.twist();
        }
        let word = temper(self.state[self.used]);
        self.used += 1;
        self.drawn += 1;
        word
    }

    /// The next words of the stream, a block at a time.
    pub fn fill(&mut self, out: &mut [u32]) {
        let mut out = out;
        while !out.is_empty() {
            if self.used == N {
                self.twist();
            }
            let n = out.len().min(N - self.used);
            let (now, later) = out.split_at_mut(n);
            for (o, &s) in now.iter_mut().zip(&self.state[self.used..self.used + n]) {
                *o = temper(s);
            }
            self.used += n;
            self.drawn += n as u64;
            out = later;
        }
    }

    /// Passes over words; a block costs about a microsecond.
    pub fn skip(&mut self, count: u64) {
        let mut left = count;
        while left > 0 {
            if self.used == N {
                self.twist();
            }
            let n = left.min((N - self.used) as u64);
            self.used += n as usize;
            left -= n;
        }
        self.drawn += count;
    }

    /// The next block. Three loops without wrap-around, so that the first and the last vectorize.
    fn twist(&mut self) {
        let s = &mut self.state;
        for i in 0..N - M {
            s[i] = s[i + M] ^ mix(s[i], s[i + 1]);
        }
        for i in N - M..N - 1 {
            s[i] = s[i + M - N] ^ mix(s[i], s[i + 1]);
        }
        s[N - 1] = s[M - 1] ^ mix(s[N - 1], s[0]);
        self.used = 0;
    }
}

fn mix(upper: u32, lower: u32) -> u32 {
    let y = (upper & 0x8000_0000) | (lower & 0x7fff_ffff);
    (y >> 1) ^ (0u32.wrapping_sub(y & 1) & 0x9908_b0df)
}

fn temper(mut y: u32) -> u32 {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    y ^ (y >> 18)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_numpy() {
        // numpy.random.RandomState(seed).randint(0, 2**32, dtype=uint32)
        for (seed, want) in [
            (0u64, [2357136044u32, 2546248239, 3071714933, 3626093760, 2588848963]),
            (42, [1608637542, 3421126067, 4083286876, 787846414, 3143890026]),
            (5489, [3499211612, 581869302, 3890346734, 3586334585, 545404204]),
        ] {
            let mut got = [0; 5];
            Mt19937::new(seed).fill(&mut got);
            assert_eq!(got, want, "seed {seed}");
        }
        // The 10000th word of seed 5489 is in the C++ standard, [rand.predef].
        let mut state = Mt19937::new(5489);
        state.skip(9999);
        assert_eq!(state.next_u32(), 4123659995);
        assert_eq!(state.drawn(), 10000);
    }

    #[test]
    fn skipping_and_filling_agree_with_single_draws() {
        let mut one = Mt19937::new(7);
        let words: Vec<u32> = (0..3000).map(|_| one.next_u32()).collect();
        for start in [0, 1, 623, 624, 625, 1247, 1248, 2000] {
            for len in [0, 1, 623, 624, 700] {
                let mut state = Mt19937::new(7);
                state.skip(start as u64);
                let mut got = vec![0; len];
                state.fill(&mut got);
                assert_eq!(got, words[start..start + len]);
            }
        }
    }
}
