//! Stable sorting of rows: chunks in shared memory by a bitonic network, then merges of neighbouring runs.
//!
//! An element is its key, made an unsigned integer whose order is the wanted one, and its position. No two are
//! equal then, so that any sorting is stable, and the place of an element in a merged run is its place in
//! its own run and the number of smaller elements in the other.

use crate::names::NAME;
use crate::program::Arguments;
use ttk_ir::program::Argsort;
use ttk_ir::{DType, Expr};

/// Elements of a chunk at most; two for each thread.
const CHUNK: i64 = 2048;
/// Threads of a block that merges.
pub(crate) const MERGE_BLOCK: i64 = 256;
/// Merges that are prepared for a row of unknown length: enough for 2^31 elements.
const MOST_PASSES: i64 = 20;

/// A function of the sort.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) text: String,
    pub(crate) block: u32,
    pub(crate) grid: Expr,
}

/// The shape of a sort.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Elements of a chunk, a power of 2.
    pub(crate) chunk: i64,
    /// Merges of runs of `chunk`, `2 * chunk` and so on; an even number where the length is not known.
    pub(crate) passes: i64,
    pub(crate) rows: Expr,
    /// The unsigned type of keys and its bytes.
    key: &'static str,
    pub(crate) key_size: i64,
}

impl Plan {
    pub(crate) fn new(sort: &Argsort, dtype: DType) -> Plan {
        let (chunk, passes) = match sort.len.as_const() {
            Some(n) => {
                let chunk = (n.max(2) as u64).next_power_of_two().clamp(64, CHUNK as u64) as i64;
                let mut passes = 0;
                while chunk << passes < n {
                    passes += 1;
                }
                (chunk, passes)
            }
            None => (CHUNK, MOST_PASSES),
        };
        let key_size = if dtype.size() == 8 { 8 } else { 4 };
        let key = if key_size == 8 { "unsigned long long" } else { "unsigned" };
        Plan { chunk, passes, rows: sort.outer.mul(&sort.inner), key, key_size }
    }

    /// Blocks of a merge of runs of `width`; none where one run is all there is.
    pub(crate) fn merge_grid(&self, len: &Expr, width: i64) -> Expr {
        let blocks = self.rows.mul(len).offset(MERGE_BLOCK - 1).floor_div(&Expr::constant(MERGE_BLOCK));
        if len.as_const().is_some() {
            return blocks;
        }
        let runs = len.offset(width - 1).floor_div(&Expr::constant(width));
        blocks.mul(&runs.offset(-1).clamp_index(&Expr::constant(2)))
    }
}

/// The key of an element as an expression of `x`: NaN is above everything, and zeros are equal.
fn key(dtype: DType, descending: bool, plan: &Plan) -> String {
    let t = plan.key;
    let (value, bits) = match dtype {
        DType::F64 => ("x", "unsigned long long"),
        DType::F16 | DType::BF16 | DType::F32 => ("tt_from(x)", "unsigned"),
        DType::Bool | DType::U8 => return maybe_not(&format!("({t})x"), descending),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            let top = if plan.key_size == 8 { "0x8000000000000000ull" } else { "0x80000000u" };
            let wide = if plan.key_size == 8 { "(long long)x" } else { "(int)x" };
            return maybe_not(&format!("(({t}){wide} ^ {top})"), descending);
        }
    };
    maybe_not(&format!("tt_sort_key<{bits}>({value})"), descending)
}

fn maybe_not(key: &str, descending: bool) -> String {
    if descending { format!("~{key}") } else { key.to_string() }
}

/// Keys of floats.
pub(crate) const HELPERS: &str = r"
// A float as an unsigned integer of the same order, with NaN above everything and zeros equal.
template <class U, class F> __device__ __forceinline__ U tt_sort_key(F x) {
  if (x != x) return ~(U)0;
  if (x == (F)0) x = (F)0;
  const U bits = tt_bit_cast<U>(x), top = (U)1 << (8 * sizeof(U) - 1);
  return bits & top ? ~bits : bits | top;
}
template <class K> __device__ __forceinline__ bool tt_sort_less(K a, int i, K b, int j) {
  return a < b || (a == b && i < j);
}
";

/// Sorts chunks. A row of one chunk goes to the output, others to keys and positions in scratch.
pub(crate) fn chunks(sort: &Argsort, plan: &Plan, dtype: DType, sizes: &mut Arguments) -> Printed {
    let (len, inner) = (sizes.number(&sort.len), sizes.number(&sort.inner));
    let (chunk, threads) = (plan.chunk, plan.chunk / 2);
    let per_row = sort.len.offset(chunk - 1).floor_div(&Expr::constant(chunk));
    let chunks = sizes.number(&per_row);
    let memory = crate::scalar::memory(dtype);
    let k = plan.key;
    let (params, store) = if plan.passes == 0 {
        (
            "long long* __restrict__ out".to_string(),
            format!("out[(row / {inner} * {len} + p) * {inner} + row % {inner}] = at[q];"),
        )
    } else {
        let store = format!("keys[row * {len} + p] = key[q], positions[row * {len} + p] = at[q];");
        (format!("{k}* __restrict__ keys, int* __restrict__ positions"), store)
    };
    let params: Vec<String> =
        [format!("const {memory}* __restrict__ in"), params].into_iter().chain(sizes.parameters()).collect();
    let key_of = key(dtype, sort.descending, plan);
    let text = format!(
        r#"// Positions that sort chunks of {chunk} elements.
extern "C" __global__ void __launch_bounds__({threads}) {NAME}({params}) {{
  __shared__ {k} key[{chunk}];
  __shared__ int at[{chunk}];
  const long long row = blockIdx.x / {chunks};
  const long long first = blockIdx.x % {chunks} * {chunk}ll;
#pragma unroll
  for (int q = (int)threadIdx.x; q < {chunk}; q += {threads}) {{
    const long long p = first + q;
    at[q] = (int)p;
    key[q] = ~({k})0;
    if (p < {len}) {{
      const {memory} x = in[(row / {inner} * {len} + p) * {inner} + row % {inner}];
      key[q] = {key_of};
    }}
  }}
  for (int size = 2; size <= {chunk}; size *= 2) {{
    for (int step = size / 2; step > 0; step /= 2) {{
      __syncthreads();
      const int t = (int)threadIdx.x;
      const int a = 2 * t - (t & (step - 1)), b = a + step;
      const bool ascending = (a & size) == 0;
      if (tt_sort_less(key[b], at[b], key[a], at[a]) == ascending) {{
        const {k} other = key[a];
        key[a] = key[b], key[b] = other;
        const int position = at[a];
        at[a] = at[b], at[b] = position;
      }}
    }}
  }}
  __syncthreads();
  for (int q = (int)threadIdx.x; q < {chunk}; q += {threads}) {{
    const long long p = first + q;
    if (p < {len}) {{
      {store}
    }}
  }}
}}
TT_KERNEL({NAME})
"#,
        params = params.join(", ")
    );
    Printed { text, block: threads as u32, grid: plan.rows.mul(&per_row) }
}

/// Merges pairs of runs; the width of a run is the first argument after the four arrays.
pub(crate) fn merge(sort: &Argsort, plan: &Plan, sizes: &mut Arguments) -> String {
    let (len, rows) = (sizes.number(&sort.len), sizes.number(&plan.rows));
    let k = plan.key;
    let params: Vec<String> = [
        format!("const {k}* __restrict__ keys"),
        "const int* __restrict__ positions".to_string(),
        format!("{k}* __restrict__ merged_keys"),
        "int* __restrict__ merged_positions".to_string(),
        "long long width".to_string(),
    ]
    .into_iter()
    .chain(sizes.parameters())
    .collect();
    format!(
        r#"// Merges pairs of sorted runs, an element a thread.
extern "C" __global__ void __launch_bounds__({MERGE_BLOCK}) {NAME}({params}) {{
  const long long thread = (long long)blockIdx.x * {MERGE_BLOCK} + (int)threadIdx.x;
  if (thread >= (long long){rows} * {len}) return;
  const long long row = thread / {len} * {len}, p = thread % {len};
  const long long run = p / width, other = run ^ 1;
  const {k} key = keys[row + p];
  const int at = positions[row + p];
  // Elements of the other run that come first.
  const long long begin = other * width;
  long long low = begin, high = begin + width;
  if (high > {len}) high = {len};
  if (low > high) low = high;
  while (low < high) {{
    const long long middle = (low + high) / 2;
    if (tt_sort_less(keys[row + middle], positions[row + middle], key, at)) low = middle + 1;
    else high = middle;
  }}
  const long long before = begin < {len} ? low - begin : 0;
  const long long to = row + run / 2 * 2 * width + (p - run * width) + before;
  merged_keys[to] = key;
  merged_positions[to] = at;
}}
TT_KERNEL({NAME})
"#,
        params = params.join(", ")
    )
}

/// Puts sorted positions where the output has them.
pub(crate) fn place(sort: &Argsort, plan: &Plan, sizes: &mut Arguments) -> String {
    let (len, inner, rows) = (sizes.number(&sort.len), sizes.number(&sort.inner), sizes.number(&plan.rows));
    let params: Vec<String> =
        ["const int* __restrict__ positions".to_string(), "long long* __restrict__ out".to_string()]
            .into_iter()
            .chain(sizes.parameters())
            .collect();
    format!(
        r#"// The positions in the order of the output.
extern "C" __global__ void __launch_bounds__({MERGE_BLOCK}) {NAME}({params}) {{
  const long long thread = (long long)blockIdx.x * {MERGE_BLOCK} + (int)threadIdx.x;
  if (thread >= (long long){rows} * {len}) return;
  const long long row = thread / {len}, p = thread % {len};
  out[(row / {inner} * {len} + p) * {inner} + row % {inner}] = positions[thread];
}}
TT_KERNEL({NAME})
"#,
        params = params.join(", ")
    )
}
