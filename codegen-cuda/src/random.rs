//! Words of PyTorch's CUDA generator, four a thread.

use crate::names::NAME;

/// Philox4x32-10 (Salmon et al., 2011), as a device function.
pub(crate) const PHILOX: &str = r"
// The four words of Philox4x32-10 for a key and a counter.
__device__ __forceinline__ void tt_philox(unsigned long long key, unsigned long long counter, unsigned words[4]) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
  unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const unsigned long long p0 = (unsigned long long)c0 * 0xd2511f53u, p1 = (unsigned long long)c2 * 0xcd9e8d57u;
    c0 = (unsigned)(p1 >> 32) ^ c1 ^ k0;
    c1 = (unsigned)p1;
    c2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
    c3 = (unsigned)p0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}
";

/// Threads of a block.
pub(crate) const BLOCK: i64 = 256;

/// The function that fills `out` with `n` words; `state` is the seed and the number of words drawn before.
/// One thread for each counter, of which there may be one more than words make: `n / 4 + 2` are enough.
pub(crate) fn print() -> String {
    format!(
        r#"// Words of the stream philox, four a thread.
extern "C" __global__ void __launch_bounds__({BLOCK}) {NAME}(const long long* __restrict__ state, int* __restrict__ out, long long n) {{
  const unsigned long long drawn = state[1] > 0 ? (unsigned long long)state[1] : 0ull;
  const long long number = (long long)blockIdx.x * {BLOCK} + (int)threadIdx.x;
  const long long first = number * 4 - (long long)(drawn % 4);
  if (first >= n) return;
  unsigned words[4];
  tt_philox((unsigned long long)state[0], drawn / 4 + (unsigned long long)number, words);
#pragma unroll
  for (int w = 0; w < 4; ++w) {{
    if (first + w >= 0 && first + w < n) out[first + w] = (int)words[w];
  }}
}}
TT_KERNEL({NAME})
"#
    )
}
