// ---- Sine and cosine of doubles, to less than an ulp. CUDA's own keep an array on the stack for large arguments.

// The bits of 2 / pi after the point, and 64 zeros before it.
__constant__ unsigned long long tt_two_over_pi[20] = {
    0ull,                  0xa2f9836e4e441529ull, 0xfc2757d1f534ddc0ull, 0xdb6295993c439041ull, 0xfe5163abdebbc561ull,
    0xb7246e3a424dd2e0ull, 0x06492eea09d1921cull, 0xfe1deb1cb129a73eull, 0xe88235f52ebb4484ull, 0xe99c7026b45f7e41ull,
    0x3991d639835339f4ull, 0x9c845f8bbdf9283bull, 0x1ff897ffde05980full, 0xef2f118b5a0a6d1full, 0x6d367ecf27cb09b7ull,
    0x4f463f669e5fea2dull, 0x7527bac7ebe5f17bull, 0x3d0739f78a5292eaull, 0x6bfb5fb11f8d5d08ull, 0x56033046fc7b6babull};

// An angle less a multiple of pi / 2: the nearest double, what that lacks, and the multiple modulo 4.
struct tt_angle { double near, rest; int quarter; };

// Of arguments of 2^20 and more (Payne and Hanek, 1983). The product of the argument's 53 bits and those 192 bits of 2 / pi
// that neither make whole turns nor are too small to count.
__device__ __forceinline__ tt_angle tt_reduced_far(double x) {
  const unsigned long long bits = tt_bit_cast<unsigned long long>(x);
  const unsigned long long whole = (bits & 0xfffffffffffffull) | 0x10000000000000ull;
  const int first = (int)(bits >> 52 & 2047u) - 1075 - 2 + 64, word = first / 64, shift = first % 64;
  const unsigned long long w0 = tt_two_over_pi[word], w1 = tt_two_over_pi[word + 1], w2 = tt_two_over_pi[word + 2];
  const unsigned long long w3 = tt_two_over_pi[word + 3];
  const unsigned long long high = w0 << shift | w1 >> 1 >> (63 - shift), middle = w1 << shift | w2 >> 1 >> (63 - shift);
  const unsigned long long low = w2 << shift | w3 >> 1 >> (63 - shift);
  const unsigned long long p0 = low * whole, carried = __umul64hi(low, whole), p1 = middle * whole + carried;
  const unsigned long long p2 = high * whole + __umul64hi(middle, whole) + (p1 < carried);
  // Two bits of quarter turns, and a fraction of one, which is made one of -1/2 to 1/2.
  unsigned long long top = p2 << 2 | p1 >> 62, bottom = p1 << 2 | p0 >> 62;
  int quarter = (int)(p2 >> 62);
  bool minus = (bool)(bits >> 63);
  if (minus) quarter = -quarter;
  if (top >> 63) {
    quarter += minus ? -1 : 1;
    minus = !minus;
    bottom = 0ull - bottom;
    top = ~top + (bottom == 0);
  }
  const int zeros = __clzll((long long)top) & 63;
  top = top << zeros | bottom >> 1 >> (63 - zeros);
  bottom <<= zeros;
  // 53 bits of it and the 53 that follow, times pi / 2.
  const double a = (double)(top & ~2047ull), b = (double)((top & 2047u) << 42 | bottom >> 22) * 0x1p-42;
  const double product = a * 0x1.921fb54442d18p+0;
  const double rest = fma(a, 0x1.921fb54442d18p+0, -product) + (a * 0x1.1a62633145c07p-54 + b * 0x1.921fb54442d18p+0);
  const double scale = (minus ? -1.0 : 1.0) * tt_f64((unsigned long long)(1023 - 64 - zeros) << 52), near = product + rest;
  return {near * scale, ((product - near) + rest) * scale, quarter & 3};
}

__device__ __forceinline__ tt_angle tt_reduced(double x) {
  if (fabs(x) >= 0x1p20) return tt_reduced_far(x);
  // Below 2^20 a multiple of the first part of pi / 2 is subtracted without an error, that of the second with one that is kept.
  const double n = rint(x * 0.6366197723675814);
  if (n == 0.0) return {x, 0.0, 0};
  const double a = fma(-n, 0x1.921fb54442d18p+0, x), b = n * 0x1.1a62633145c07p-54;
  const double c = a - b, back = c - a;
  const double lost = (a - (c - back)) - (b + back);
  const double rest = lost - fma(n, 0x1.1a62633145c07p-54, -b) - n * -0x1.f1976b7ed8fbcp-110, near = c + rest;
  return {near, (c - near) + rest, (int)n & 3};
}

// The sine of a sum of at most pi / 4, and its cosine, by the polynomials of FreeBSD's msun.
__device__ __forceinline__ double tt_sin_of(double x, double rest) {
  const double z = x * x, v = z * x;
  double p = fma(z, 1.58969099521155010221e-10, -2.50507602534068634195e-08);
  p = fma(z, p, 2.75573137070700676789e-06);
  p = fma(z, p, -1.98412698298579493134e-04);
  p = fma(z, p, 8.33333333332248946124e-03);
  return x - ((z * (0.5 * rest - v * p) - rest) - v * -1.66666666666666324348e-01);
}
__device__ __forceinline__ double tt_cos_of(double x, double rest) {
  const double z = x * x, half = 0.5 * z, w = 1.0 - half;
  double p = fma(z, -1.13596475577881948265e-11, 2.08757232129817482790e-09);
  p = fma(z, p, -2.75573143513906633035e-07);
  p = fma(z, p, 2.48015872894767294178e-05);
  p = fma(z, p, -1.38888888888741095749e-03);
  p = fma(z, p, 4.16666666666666019037e-02);
  return w + (((1.0 - w) - half) + (z * (z * p) - x * rest));
}
__device__ __forceinline__ double tt_turned(double x, int quarters) {
  const tt_angle angle = tt_reduced(x);
  const int quarter = angle.quarter + quarters;
  const double y = quarter & 1 ? tt_cos_of(angle.near, angle.rest) : tt_sin_of(angle.near, angle.rest);
  // Of an infinity a NaN.
  return x - x == 0.0 ? (quarter & 2 ? -y : y) : x - x;
}
__device__ __forceinline__ double tt_sin(double x) { return tt_turned(x, 0); }
__device__ __forceinline__ double tt_cos(double x) { return tt_turned(x, 1); }
