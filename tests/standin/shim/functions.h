// Arithmetic that the device's compiler knows without a header.
#pragma once
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

namespace standin {
template <class To, class From> static inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
}  // namespace standin

static inline float __int_as_float(int v) { return standin::bits<float>(v); }
static inline float __uint_as_float(unsigned v) { return standin::bits<float>(v); }
static inline int __float_as_int(float v) { return standin::bits<int>(v); }
static inline unsigned __float_as_uint(float v) { return standin::bits<unsigned>(v); }
static inline double __longlong_as_double(long long v) { return standin::bits<double>(v); }
static inline long long __double_as_longlong(double v) { return standin::bits<long long>(v); }

// The approximations of the device are not reproduced; these are what they approximate. Macros, for
// the C library declares functions of these names.
#define __expf(x) expf(x)
#define __exp10f(x) powf(10.f, x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __powf(x, y) powf(x, y)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float rcbrtf(float x) { return 1.f / cbrtf(x); }
static inline float sinpif(float x) { return float(sin(3.14159265358979323846 * double(x))); }
static inline float cospif(float x) { return float(cos(3.14159265358979323846 * double(x))); }
static inline float erfcxf(float x) { return float(exp(double(x) * double(x)) * erfc(double(x))); }
// The device's normal distribution function and its inverse.
static inline float normcdff(float x) { return float(0.5 * erfc(-double(x) * 0.70710678118654752440)); }

// Operations with a rounding in their name are never contracted. The empty statements keep the compiler
// from seeing through to the operands.
#define STANDIN_ROUNDED(type, name, expression) \
    static inline type name(type a, type b) { \
        type r = expression; \
        __asm__("" : "+x"(r)); \
        return r; \
    }
#if !defined(__x86_64__)
#undef STANDIN_ROUNDED
#define STANDIN_ROUNDED(type, name, expression) \
    static inline type name(type a, type b) { \
        volatile type r = expression; \
        return r; \
    }
#endif
STANDIN_ROUNDED(float, __fadd_rn, a + b)
STANDIN_ROUNDED(float, __fsub_rn, a - b)
STANDIN_ROUNDED(float, __fmul_rn, a * b)
STANDIN_ROUNDED(float, __fdiv_rn, a / b)
STANDIN_ROUNDED(double, __dadd_rn, a + b)
STANDIN_ROUNDED(double, __dsub_rn, a - b)
STANDIN_ROUNDED(double, __dmul_rn, a * b)
STANDIN_ROUNDED(double, __ddiv_rn, a / b)
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
static inline float __frcp_rn(float a) { return 1.f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frsqrt_rn(float a) { return 1.f / sqrtf(a); }
static inline double __dsqrt_rn(double a) { return sqrt(a); }

static inline int __float2int_rn(float x) { return int(lrintf(x)); }
static inline int __float2int_rz(float x) { return int(x); }
static inline int __float2int_rd(float x) { return int(floorf(x)); }
static inline int __float2int_ru(float x) { return int(ceilf(x)); }
static inline float __int2float_rn(int x) { return float(x); }
static inline float __uint2float_rn(unsigned x) { return float(x); }
static inline float __double2float_rn(double x) { return float(x); }
static inline float __ll2float_rn(long long x) { return float(x); }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
    return r;
}
static inline int __mul24(int a, int b) { return int((long long)(a << 8 >> 8) * (b << 8 >> 8)); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((unsigned long long)a * b >> 32); }
static inline int __mulhi(int a, int b) { return int((long long)a * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}
static inline long long __mul64hi(long long a, long long b) { return (long long)((__int128)a * b >> 64); }
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) {
    return unsigned((((unsigned long long)hi << 32 | lo) << (s & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) {
    return unsigned(((unsigned long long)hi << 32 | lo) >> (s & 31));
}
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    unsigned long long both = (unsigned long long)b << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) r |= unsigned(both >> (s >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return r;
}

#define STANDIN_MIN_MAX(type) \
    static inline type min(type a, type b) { return b < a ? b : a; } \
    static inline type max(type a, type b) { return a < b ? b : a; }
STANDIN_MIN_MAX(int)
STANDIN_MIN_MAX(unsigned)
STANDIN_MIN_MAX(long)
STANDIN_MIN_MAX(unsigned long)
STANDIN_MIN_MAX(long long)
STANDIN_MIN_MAX(unsigned long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline int abs(int a) { return a < 0 ? -a : a; }

// C++ on the device picks a function by the type of its argument.
#define STANDIN_FLOAT1(name) static inline float name(float x) { return name##f(x); }
#define STANDIN_FLOAT2(name) static inline float name(float x, float y) { return name##f(x, y); }
STANDIN_FLOAT1(exp) STANDIN_FLOAT1(exp2) STANDIN_FLOAT1(expm1) STANDIN_FLOAT1(log) STANDIN_FLOAT1(log2)
STANDIN_FLOAT1(log10) STANDIN_FLOAT1(log1p) STANDIN_FLOAT1(sqrt) STANDIN_FLOAT1(cbrt) STANDIN_FLOAT1(sin)
STANDIN_FLOAT1(cos) STANDIN_FLOAT1(tan) STANDIN_FLOAT1(asin) STANDIN_FLOAT1(acos) STANDIN_FLOAT1(atan)
STANDIN_FLOAT1(sinh) STANDIN_FLOAT1(cosh) STANDIN_FLOAT1(tanh) STANDIN_FLOAT1(asinh) STANDIN_FLOAT1(acosh)
STANDIN_FLOAT1(atanh) STANDIN_FLOAT1(erf) STANDIN_FLOAT1(erfc) STANDIN_FLOAT1(lgamma) STANDIN_FLOAT1(tgamma)
STANDIN_FLOAT1(floor) STANDIN_FLOAT1(ceil) STANDIN_FLOAT1(trunc) STANDIN_FLOAT1(round) STANDIN_FLOAT1(rint)
STANDIN_FLOAT1(nearbyint) STANDIN_FLOAT1(fabs) STANDIN_FLOAT2(pow) STANDIN_FLOAT2(fmod) STANDIN_FLOAT2(atan2)
STANDIN_FLOAT2(fmin) STANDIN_FLOAT2(fmax) STANDIN_FLOAT2(copysign) STANDIN_FLOAT2(hypot)
STANDIN_FLOAT2(remainder) STANDIN_FLOAT2(nextafter)
static inline float fma(float a, float b, float c) { return fmaf(a, b, c); }
static inline float abs(float x) { return fabsf(x); }
static inline double abs(double x) { return fabs(x); }

// isnan and the like are functions for the device, macros for C.
#undef isnan
#undef isinf
#undef isfinite
#undef signbit
template <class T> static inline bool isnan(T x) { return __builtin_isnan(x); }
template <class T> static inline bool isinf(T x) { return __builtin_isinf(x); }
template <class T> static inline bool isfinite(T x) { return __builtin_isfinite(x); }
template <class T> static inline bool signbit(T x) { return __builtin_signbit(x); }

// Loads and stores that say how they want to be cached.
#define STANDIN_LOAD(name) template <class T> static inline T name(const T* at) { return *at; }
#define STANDIN_STORE(name) template <class T> static inline void name(T* at, T v) { *at = v; }
STANDIN_LOAD(__ldg)
STANDIN_LOAD(__ldca)
STANDIN_LOAD(__ldcg)
STANDIN_LOAD(__ldcs)
STANDIN_LOAD(__ldlu)
STANDIN_LOAD(__ldcv)
STANDIN_STORE(__stwb)
STANDIN_STORE(__stcg)
STANDIN_STORE(__stcs)
STANDIN_STORE(__stwt)
