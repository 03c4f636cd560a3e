
// Products of a warp on tensor cores: d = a * b + c, the fragments those of `mma.sync`.
#ifndef TT_STANDIN
#define TT_MMA(name, shape, type) \
  __device__ __forceinline__ void name(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4]) { \
    asm("mma.sync.aligned." shape ".row.col.f32." type "." type ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};" \
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3]) \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3])); \
  }
TT_MMA(tt_mma_m16n8k16_f16, "m16n8k16", "f16")
TT_MMA(tt_mma_m16n8k16_bf16, "m16n8k16", "bf16")
TT_MMA(tt_mma_m16n8k8_tf32, "m16n8k8", "tf32")
__device__ __forceinline__ unsigned tt_to_tf32(float x) {
  unsigned y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}
#else
// To the nearest of 11 bits, ties away from zero.
__device__ __forceinline__ unsigned tt_to_tf32(float x) {
  const unsigned u = tt_bit_cast<unsigned>(x);
  return (u & 0x7f800000u) == 0x7f800000u ? u : (u + 0x1000u) & 0xffffe000u;
}
#endif
// The bits of an element as tensor cores take it.
__device__ __forceinline__ unsigned short tt_mma_bits(tt_f16 x) { return x.bits; }
__device__ __forceinline__ unsigned short tt_mma_bits(tt_bf16 x) { return x.bits; }
__device__ __forceinline__ unsigned tt_mma_bits(float x) { return tt_to_tf32(x); }
