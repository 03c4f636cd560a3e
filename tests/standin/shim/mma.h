// Matrix products of a warp, with the fragments of the device's instructions `mma.sync`: which lane holds
// which elements is the layout that the instruction set documents for each shape.
//
// A lane's registers: `g = lane / 4` and `t = lane % 4` number its row and column group.
#pragma once
#include "functions.h"
#include "warp.h"

namespace standin {

static inline float from_bf16(unsigned short v) { return bits<float>(unsigned(v) << 16); }

static inline float from_f16(unsigned short v) {
    unsigned sign = (v & 0x8000u) << 16, exponent = v >> 10 & 31, fraction = v & 1023;
    if (exponent == 31) return bits<float>(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) return (sign ? -1.f : 1.f) * ldexpf(float(fraction), -24);
    return bits<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline float from_tf32(unsigned v) { return bits<float>(v & 0xffffe000u); }

enum class Format { F16, BF16 };

template <Format F> static inline float half_of(unsigned pair, unsigned which) {
    unsigned short v = (unsigned short)(pair >> 16 * which);
    return F == Format::F16 ? from_f16(v) : from_bf16(v);
}

// d = a * b + c with a: 16 x 16, b: 16 x 8, and c, d: 16 x 8 in f32.
template <Format F>
static inline void mma_16x8x16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4],
                               unsigned line) {
    struct Fragment {
        unsigned a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const Exchange& e = hand_in(0xffffffffu, mine, line);
    unsigned g = standin_machine->lane / 4, t = standin_machine->lane % 4;
    float result[4];
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = g + (i / 2) * 8, column = t * 2 + i % 2;
        float sum = c[i];
        for (unsigned k = 0; k < 16; k++) {
            // a's register: lower or upper half of the rows, then of the columns.
            Fragment fa = from_lane<Fragment>(e, row % 8 * 4 + k % 8 / 2, line);
            Fragment fb = from_lane<Fragment>(e, column * 4 + k % 8 / 2, line);
            sum += half_of<F>(fa.a[row / 8 + k / 8 * 2], k % 2) * half_of<F>(fb.b[k / 8], k % 2);
        }
        result[i] = sum;
    }
    for (unsigned i = 0; i < 4; i++) d[i] = result[i];
}

// d = a * b + c with a: 16 x 8, b: 8 x 8 in tf32, and c, d: 16 x 8 in f32.
static inline void mma_16x8x8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                   const float (&c)[4], unsigned line) {
    struct Fragment {
        unsigned a[4], b[2];
    } mine = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    const Exchange& e = hand_in(0xffffffffu, mine, line);
    unsigned g = standin_machine->lane / 4, t = standin_machine->lane % 4;
    float result[4];
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = g + (i / 2) * 8, column = t * 2 + i % 2;
        float sum = c[i];
        for (unsigned k = 0; k < 8; k++) {
            Fragment fa = from_lane<Fragment>(e, row % 8 * 4 + k % 4, line);
            Fragment fb = from_lane<Fragment>(e, column * 4 + k % 4, line);
            sum += from_tf32(fa.a[row / 8 + k / 4 * 2]) * from_tf32(fb.b[k / 4]);
        }
        result[i] = sum;
    }
    for (unsigned i = 0; i < 4; i++) d[i] = result[i];
}

}  // namespace standin

#define tt_mma_m16n8k16_f16(d, a, b, c) standin::mma_16x8x16<standin::Format::F16>(d, a, b, c, __LINE__)
#define tt_mma_m16n8k16_bf16(d, a, b, c) standin::mma_16x8x16<standin::Format::BF16>(d, a, b, c, __LINE__)
#define tt_mma_m16n8k8_tf32(d, a, b, c) standin::mma_16x8x8_tf32(d, a, b, c, __LINE__)
