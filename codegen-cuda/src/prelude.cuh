// ---- What every program starts with: types of 16 bits, integer arithmetic that wraps, packs of 16 bytes,
// ---- reductions over a group of threads, and the report of an index out of range.

// Stands after every kernel, for compilers that must be told their names.
#ifndef TT_KERNEL
#define TT_KERNEL(name)
#endif

template <class To, class From> __device__ __forceinline__ To tt_bit_cast(From x) {
  static_assert(sizeof(To) == sizeof(From), "the same number of bits");
  union { From from; To to; } bits = {x};
  return bits.to;
}

__device__ __forceinline__ float tt_f32(unsigned bits) { return tt_bit_cast<float>(bits); }
__device__ __forceinline__ double tt_f64(unsigned long long bits) { return tt_bit_cast<double>(bits); }

// Floats of 16 bits live in memory only; in registers they are floats, rounded after every operation.
struct tt_f16 { unsigned short bits; };
struct tt_bf16 { unsigned short bits; };

__device__ __forceinline__ float tt_from(tt_bf16 x) { return tt_f32((unsigned)x.bits << 16); }

#ifndef TT_STANDIN
__device__ __forceinline__ float tt_from(tt_f16 x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
}
__device__ __forceinline__ tt_f16 tt_to_f16(float x) {
  tt_f16 y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
__device__ __forceinline__ tt_bf16 tt_to_bf16(float x) {
  tt_bf16 y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
}
#else
__device__ __forceinline__ float tt_from(tt_f16 x) {
  unsigned sign = (x.bits & 0x8000u) << 16, e = (x.bits >> 10) & 31u, m = x.bits & 1023u;
  if (e == 31u) return tt_f32(sign | 0x7f800000u | m << 13);
  // A denormal is a whole number of 2^-24.
  if (e == 0u) return tt_f32(sign | tt_bit_cast<unsigned>((float)m * 5.9604644775390625e-8f));
  return tt_f32(sign | (e + 112u) << 23 | m << 13);
}
__device__ __forceinline__ tt_f16 tt_to_f16(float x) {
  unsigned u = tt_bit_cast<unsigned>(x), sign = u >> 16 & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return tt_f16{(unsigned short)(sign | 0x7e00u | (a >> 13 & 0x3ffu))};
  if (a >= 0x47800000u) return tt_f16{(unsigned short)(sign | 0x7c00u)};
  if (a < 0x38800000u) {
    // Adding 2^-1 leaves the last bit of the sum at 2^-24, the unit of denormals.
    float r = tt_f32(a) + 0.5f;
    return tt_f16{(unsigned short)(sign | (tt_bit_cast<unsigned>(r) - 0x3f000000u))};
  }
  a += 0xfffu + (a >> 13 & 1u);
  return tt_f16{(unsigned short)(sign | ((a >> 13) - (112u << 10)))};
}
__device__ __forceinline__ tt_bf16 tt_to_bf16(float x) {
  unsigned u = tt_bit_cast<unsigned>(x);
  if ((u & 0x7fffffffu) > 0x7f800000u) return tt_bf16{(unsigned short)(u >> 16 | 0x40u)};
  return tt_bf16{(unsigned short)((u + 0x7fffu + (u >> 16 & 1u)) >> 16)};
}
#endif
__device__ __forceinline__ float tt_round_f16(float x) { return tt_from(tt_to_f16(x)); }
__device__ __forceinline__ float tt_round_bf16(float x) { return tt_from(tt_to_bf16(x)); }

// From memory to registers and back.
template <class T> __device__ __forceinline__ T tt_from(T x) { return x; }
template <class M> struct tt_into { template <class T> static __device__ __forceinline__ M of(T x) { return (M)x; } };
template <> struct tt_into<tt_f16> { static __device__ __forceinline__ tt_f16 of(float x) { return tt_to_f16(x); } };
template <> struct tt_into<tt_bf16> { static __device__ __forceinline__ tt_bf16 of(float x) { return tt_to_bf16(x); } };

// Integers wrap. Division by 0 gives 0, a shift by more than the width moves every bit out.
template <class T> __device__ __forceinline__ T tt_add(T a, T b) { return (T)((unsigned long long)a + (unsigned long long)b); }
template <class T> __device__ __forceinline__ T tt_sub(T a, T b) { return (T)((unsigned long long)a - (unsigned long long)b); }
template <class T> __device__ __forceinline__ T tt_mul(T a, T b) { return (T)((unsigned long long)a * (unsigned long long)b); }
template <class T> __device__ __forceinline__ T tt_neg(T a) { return (T)(0ull - (unsigned long long)a); }
template <class T> __device__ __forceinline__ T tt_abs(T a) { return a < 0 ? tt_neg(a) : a; }
template <class T> __device__ __forceinline__ T tt_div(T a, T b) {
  return b == 0 ? (T)0 : (T)-1 < (T)0 && b == (T)-1 ? tt_neg(a) : (T)(a / b);
}
template <class T> __device__ __forceinline__ T tt_rem(T a, T b) {
  return b == 0 || ((T)-1 < (T)0 && b == (T)-1) ? (T)0 : (T)(a % b);
}
template <class T> __device__ __forceinline__ T tt_shl(T a, T n) {
  return n < 0 || n >= (T)(8 * sizeof(T)) ? (T)0 : (T)((unsigned long long)a << n);
}
template <class T> __device__ __forceinline__ T tt_shr(T a, T n) {
  return n < 0 || n >= (T)(8 * sizeof(T)) ? (T)(a < 0 ? -1 : 0) : (T)(a >> n);
}
template <class T> __device__ __forceinline__ T tt_pow(T base, T exponent) {
  if (exponent < 0) return base == 1 ? (T)1 : base == (T)-1 ? (T)(exponent & 1 ? -1 : 1) : (T)0;
  unsigned long long result = 1, square = (unsigned long long)base, e = (unsigned long long)exponent;
  for (; e > 0; e >>= 1, square *= square) if (e & 1) result *= square;
  return (T)result;
}

// 1 / (1 + exp(-x)) by the exponential that does not overflow.
__device__ __forceinline__ float tt_sigmoid(float x) {
  const float t = expf(-fabsf(x));
  return (x < 0.0f ? t : 1.0f) / (1.0f + t);
}
__device__ __forceinline__ double tt_sigmoid(double x) {
  const double t = exp(-fabs(x));
  return (x < 0.0 ? t : 1.0) / (1.0 + t);
}

// The larger and the smaller: NaN wins, and -0 is less than 0.
template <class T> __device__ __forceinline__ T tt_max(T a, T b) { return a > b ? a : b; }
template <class T> __device__ __forceinline__ T tt_min(T a, T b) { return a < b ? a : b; }
#ifndef TT_STANDIN
template <> __device__ __forceinline__ float tt_max(float a, float b) {
  float y;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}
template <> __device__ __forceinline__ float tt_min(float a, float b) {
  float y;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}
#else
template <> __device__ __forceinline__ float tt_max(float a, float b) {
  return a != a || b != b ? tt_f32(0x7fc00000u) : a > b || (a == b && (tt_bit_cast<unsigned>(b) >> 31)) ? a : b;
}
template <> __device__ __forceinline__ float tt_min(float a, float b) {
  return a != a || b != b ? tt_f32(0x7fc00000u) : a < b || (a == b && (tt_bit_cast<unsigned>(a) >> 31)) ? a : b;
}
#endif
template <> __device__ __forceinline__ double tt_max(double a, double b) {
  return a != a || b != b ? tt_f64(0x7ff8000000000000ull)
                          : a > b || (a == b && (tt_bit_cast<unsigned long long>(b) >> 63)) ? a : b;
}
template <> __device__ __forceinline__ double tt_min(double a, double b) {
  return a != a || b != b ? tt_f64(0x7ff8000000000000ull)
                          : a < b || (a == b && (tt_bit_cast<unsigned long long>(a) >> 63)) ? a : b;
}

// A float as an integer: toward zero, saturating, NaN as 0.
template <class T> struct tt_range;
template <> struct tt_range<unsigned char> { static constexpr long long low = 0, high = 255; };
template <> struct tt_range<signed char> { static constexpr long long low = -128, high = 127; };
template <> struct tt_range<short> { static constexpr long long low = -32768, high = 32767; };
template <> struct tt_range<int> { static constexpr long long low = -2147483648ll, high = 2147483647ll; };
template <> struct tt_range<long long> { static constexpr long long low = -9223372036854775807ll - 1, high = 9223372036854775807ll; };
template <class T, class F> __device__ __forceinline__ T tt_to_int(F x) {
  return x != x ? (T)0 : x <= (F)tt_range<T>::low ? (T)tt_range<T>::low
       : x >= (F)tt_range<T>::high ? (T)tt_range<T>::high : (T)x;
}

// Division that rounds down; divisors are positive.
__device__ __forceinline__ int tt_floordiv_i32(int a, int b) { int q = a / b; return q * b > a ? q - 1 : q; }
__device__ __forceinline__ long long tt_floordiv_i64(long long a, long long b) { long long q = a / b; return q * b > a ? q - 1 : q; }
__device__ __forceinline__ int tt_mod_i32(int a, int b) { int r = a % b; return r < 0 ? r + b : r; }
__device__ __forceinline__ long long tt_mod_i64(long long a, long long b) { long long r = a % b; return r < 0 ? r + b : r; }
__device__ __forceinline__ int tt_clamp_i32(int a, int b) { int c = a < b ? a : b - 1; return c < 0 ? 0 : c; }
__device__ __forceinline__ long long tt_clamp_i64(long long a, long long b) { long long c = a < b ? a : b - 1; return c < 0 ? 0 : c; }

// `index` if it lies in 0..extent. If not, 0; the first to meet one reports it.
__device__ __forceinline__ long long tt_checked(long long* fault, long long index, long long extent) {
  if (index >= 0 && index < extent) return index;
  if (atomicCAS((unsigned long long*)fault, 0ull, 1ull) == 0ull) {
    fault[1] = index;
    fault[2] = extent;
  }
  return 0;
}

// N elements that are loaded and stored at once, 16 bytes at a time.
template <class T, int N> struct tt_pack {
  static constexpr int bytes = (int)sizeof(T) * N;
  union {
    T at[N];
    uint4 quads[bytes >= 16 ? bytes / 16 : 1];
    unsigned long long pair;
    unsigned word;
    unsigned short half;
  };
};
template <int N, class T> __device__ __forceinline__ tt_pack<T, N> tt_load(const T* p) {
  tt_pack<T, N> x;
  constexpr int bytes = tt_pack<T, N>::bytes;
  if constexpr (bytes >= 16) {
#pragma unroll
    for (int q = 0; q < bytes / 16; ++q) x.quads[q] = ((const uint4*)p)[q];
  } else if constexpr (bytes == 8) {
    x.pair = *(const unsigned long long*)p;
  } else if constexpr (bytes == 4) {
    x.word = *(const unsigned*)p;
  } else {
    x.half = *(const unsigned short*)p;
  }
  return x;
}
// Loads a pack from memory that the kernel does not write.
template <int N, class T> __device__ __forceinline__ tt_pack<T, N> tt_load_const(const T* p) {
  tt_pack<T, N> x;
  constexpr int bytes = tt_pack<T, N>::bytes;
  if constexpr (bytes >= 16) {
#pragma unroll
    for (int q = 0; q < bytes / 16; ++q) x.quads[q] = __ldg((const uint4*)p + q);
  } else if constexpr (bytes == 8) {
    const uint2 v = __ldg((const uint2*)p);
    x.pair = (unsigned long long)v.y << 32 | v.x;
  } else if constexpr (bytes == 4) {
    x.word = __ldg((const unsigned*)p);
  } else {
    x.half = __ldg((const unsigned short*)p);
  }
  return x;
}
// Stores a pack. The compiler would often make four stores of one of 16 bytes; it cannot here.
template <int N, class T> __device__ __forceinline__ void tt_store(T* p, const tt_pack<T, N>& x) {
  constexpr int bytes = tt_pack<T, N>::bytes;
  if constexpr (bytes >= 16) {
#pragma unroll
    for (int q = 0; q < bytes / 16; ++q) __stwb((uint4*)p + q, x.quads[q]);
  } else if constexpr (bytes == 8) {
    __stwb((unsigned long long*)p, x.pair);
  } else if constexpr (bytes == 4) {
    *(unsigned*)p = x.word;
  } else {
    *(unsigned short*)p = x.half;
  }
}
// Stores a pack to memory that the kernel touches nowhere else: loads that follow need not wait for it.
template <int N, class T> __device__ __forceinline__ void tt_store_only(T* p, const tt_pack<T, N>& x) {
#ifndef TT_STANDIN
  constexpr int bytes = tt_pack<T, N>::bytes;
  if constexpr (bytes >= 16) {
#pragma unroll
    for (int q = 0; q < bytes / 16; ++q) {
      const uint4 v = x.quads[q];
      asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"((uint4*)p + q), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w));
    }
    return;
  } else if constexpr (bytes == 8) {
    asm volatile("st.global.u64 [%0], %1;" ::"l"(p), "l"(x.pair));
    return;
  }
#endif
  tt_store(p, x);
}

// How partial results of a reduction are joined. Those of 16 bits are rounded in between.
struct tt_sum { template <class T> static __device__ __forceinline__ T join(T a, T b) { return tt_add(a, b); } };
template <> __device__ __forceinline__ float tt_add(float a, float b) { return a + b; }
template <> __device__ __forceinline__ double tt_add(double a, double b) { return a + b; }
struct tt_prod { template <class T> static __device__ __forceinline__ T join(T a, T b) { return tt_mul(a, b); } };
template <> __device__ __forceinline__ float tt_mul(float a, float b) { return a * b; }
template <> __device__ __forceinline__ double tt_mul(double a, double b) { return a * b; }
struct tt_larger { template <class T> static __device__ __forceinline__ T join(T a, T b) { return tt_max(a, b); } };
struct tt_smaller { template <class T> static __device__ __forceinline__ T join(T a, T b) { return tt_min(a, b); } };
template <class Op> struct tt_in_f16 {
  static __device__ __forceinline__ float join(float a, float b) { return tt_round_f16(Op::join(a, b)); }
};
template <class Op> struct tt_in_bf16 {
  static __device__ __forceinline__ float join(float a, float b) { return tt_round_bf16(Op::join(a, b)); }
};

// The joined value of the 32 lanes of a warp, in all of them. The order is that of a balanced tree.
template <class Op, class T> __device__ __forceinline__ T tt_warp_all(T x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x = Op::join(x, (T)__shfl_xor_sync(0xffffffffu, x, step));
  return x;
}
// The joined value of all threads of a block of THREADS, in all of them; `parts` is shared.
template <class Op, int THREADS, class T> __device__ __forceinline__ T tt_block_all(T x, T* parts) {
  x = tt_warp_all<Op>(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  x = parts[0];
#pragma unroll
  for (int w = 1; w < THREADS / 32; ++w) x = Op::join(x, parts[w]);
  return x;
}
// For each of ACROSS lanes, the joined values of PARTS threads, in all of them.
template <class Op, int PARTS, int ACROSS, class T, int N>
__device__ __forceinline__ void tt_parts_all(T (&x)[N], T (*parts)[ACROSS]) {
  const int lane = (int)threadIdx.x % ACROSS;
#pragma unroll
  for (int n = 0; n < N; ++n) {
    __syncthreads();
    parts[threadIdx.x / ACROSS][lane] = x[n];
    __syncthreads();
    T total = parts[0][lane];
#pragma unroll 8
    for (int p = 1; p < PARTS; ++p) total = Op::join(total, parts[p][lane]);
    x[n] = total;
  }
}
