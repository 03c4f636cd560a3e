//! Words of PyTorch's CUDA generator, four a thread.

use crate::names::NAME;
use ttk_ir::Expr;
use ttk_ir::op::RandomStream;

/// Philox4x32-10 (Salmon et al., 2011), as a device function.
pub(crate) const PHILOX: &str = r"
// The four words of Philox4x32-10 for a key and the two halves of a counter.
__device__ __forceinline__ void tt_philox(unsigned long long key, unsigned long long counter, unsigned long long high, unsigned words[4]) {
  unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = (unsigned)high, c3 = (unsigned)(high >> 32);
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

/// A function that fills a buffer with words, and how many threads it needs.
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) threads: Expr,
}

/// The function that fills `out` with `n` words of a stream; `state` is the operand of `random_bits`. None for a
/// stream that is no function of the place.
pub(crate) fn print(stream: RandomStream, n: &Expr) -> Option<Printed> {
    // Which words of the block of a thread and round go where; words of a round and thread.
    let (each, words) = match stream {
        RandomStream::Mt19937 => return None,
        // One thread for each counter, of which there may be one more than words make.
        RandomStream::Philox => {
            let threads = n.floor_div(&Expr::constant(4)).offset(2);
            return Some(Printed { text: sequence(), threads });
        }
        RandomStream::PhiloxLanes => (4, "put(round * 4 * threads + w * threads + thread, words[w]);"),
        RandomStream::PhiloxPairs => {
            (4, "put(2 * (round * 2 * threads + w / 2 * threads + thread) + w % 2, words[w]);")
        }
        RandomStream::PhiloxTwins => (
            8,
            "const long long at = 2 * (round * 4 * threads + w * threads + thread);\n      \
             put(at, words[w & 2]);\n      put(at + 1, words[(w & 2) + 1]);",
        ),
        RandomStream::PhiloxVectors => (4, "put(4 * (round * threads + thread) + w, words[w]);"),
        RandomStream::PhiloxHalves => {
            (4, "put(2 * ((2 * round + w / 2) * threads + thread) + w % 2, words[w]);")
        }
    };
    let name = stream.name();
    let text = format!(
        r#"// Words of the stream {name}, a block of four for each of its threads and rounds.
extern "C" __global__ void __launch_bounds__({BLOCK}) {NAME}(const long long* __restrict__ state, int* __restrict__ out, long long n) {{
  const unsigned long long drawn = state[1] > 0 ? (unsigned long long)state[1] : 0ull;
  const long long threads = state[2] > 1 ? state[2] : 1;
  const long long rounds = n / {each} / threads + 1;
  const auto put = [&](long long at, unsigned word) {{ if (at < n) out[at] = (int)word; }};
  long long number = (long long)blockIdx.x * {BLOCK} + (int)threadIdx.x;
  for (; number / threads < rounds; number += (long long)gridDim.x * {BLOCK}) {{
    const long long thread = number % threads, round = number / threads;
    unsigned words[4];
    tt_philox((unsigned long long)state[0], drawn / 4 + (unsigned long long)round, (unsigned long long)thread, words);
#pragma unroll
    for (int w = 0; w < 4; ++w) {{
      {words}
    }}
  }}
}}
TT_KERNEL({NAME})
"#
    );
    // Few elements have a thread each; of many the threads have several, and the loop goes round.
    Some(Printed { text, threads: n.clone() })
}

/// The words of one thread in their order.
fn sequence() -> String {
    format!(
        r#"// Words of the stream philox, four a thread.
extern "C" __global__ void __launch_bounds__({BLOCK}) {NAME}(const long long* __restrict__ state, int* __restrict__ out, long long n) {{
  const unsigned long long drawn = state[1] > 0 ? (unsigned long long)state[1] : 0ull;
  const long long number = (long long)blockIdx.x * {BLOCK} + (int)threadIdx.x;
  const long long first = number * 4 - (long long)(drawn % 4);
  if (first >= n) return;
  unsigned words[4];
  tt_philox((unsigned long long)state[0], drawn / 4 + (unsigned long long)number, 0, words);
#pragma unroll
  for (int w = 0; w < 4; ++w) {{
    if (first + w >= 0 && first + w < n) out[first + w] = (int)words[w];
  }}
}}
TT_KERNEL({NAME})
"#
    )
}
