// Shuffles, votes and reductions among the lanes of a warp.
#pragma once
#include "qualifiers.h"
#include <string.h>

namespace standin {

// The value of another lane. Reading from a lane that does not take part has no result on a device.
template <class T> static inline T from_lane(const Exchange& e, unsigned lane, unsigned line) {
    if (!(e.lanes >> lane & 1))
        standin_machine->violation(Violation::Divergence, "a shuffle reads from a lane that does not take part",
                                   "kernel", line);
    T value;
    memcpy(&value, e.slot[lane], sizeof value);
    return value;
}

template <class T> static inline const Exchange& hand_in(unsigned mask, const T& value, unsigned line) {
    static_assert(sizeof(T) <= kSlotBytes, "too large for a warp operation");
    return standin_machine->warp(mask, &value, sizeof value, line);
}

enum class Shuffle { Index, Up, Down, Xor };

template <class T>
static inline T shuffle(unsigned mask, T value, Shuffle how, int by, int width, unsigned line) {
    const Exchange& e = hand_in(mask, value, line);
    int lane = int(standin_machine->lane), first = lane / width * width, from = lane;
    switch (how) {
        case Shuffle::Index: from = first + (by & (width - 1)); break;
        case Shuffle::Up: from = lane - by >= first ? lane - by : lane; break;
        case Shuffle::Down: from = lane + by < first + width ? lane + by : lane; break;
        case Shuffle::Xor: from = (lane ^ by) < first + width ? lane ^ by : lane; break;
    }
    return from_lane<T>(e, unsigned(from) & 31, line);
}

static inline unsigned ballot(unsigned mask, int predicate, unsigned line) {
    const Exchange& e = hand_in(mask, predicate, line);
    unsigned result = 0;
    for (unsigned i = 0; i < 32; i++)
        if (e.lanes >> i & 1 && from_lane<int>(e, i, line)) result |= 1u << i;
    return result;
}

static inline bool all_of(unsigned mask, int predicate, unsigned line) {
    const Exchange& e = hand_in(mask, predicate, line);
    for (unsigned i = 0; i < 32; i++)
        if (e.lanes >> i & 1 && !from_lane<int>(e, i, line)) return false;
    return true;
}

template <class T> static inline unsigned match_any(unsigned mask, T value, unsigned line) {
    const Exchange& e = hand_in(mask, value, line);
    unsigned result = 0;
    for (unsigned i = 0; i < 32; i++)
        if (e.lanes >> i & 1 && from_lane<T>(e, i, line) == value) result |= 1u << i;
    return result;
}

template <class T, class F> static inline T reduce(unsigned mask, T value, unsigned line, F join) {
    const Exchange& e = hand_in(mask, value, line);
    bool first = true;
    T result = value;
    for (unsigned i = 0; i < 32; i++) {
        if (!(e.lanes >> i & 1)) continue;
        T other = from_lane<T>(e, i, line);
        result = first ? other : join(result, other);
        first = false;
    }
    return result;
}

static inline int width_or(int width) { return width; }
static inline int width_or() { return 32; }

}  // namespace standin

#define STANDIN_SHUFFLE(how, mask, value, by, ...) \
    standin::shuffle((mask), (value), standin::Shuffle::how, (int)(by), standin::width_or(__VA_ARGS__), __LINE__)
#define __shfl_sync(mask, value, by, ...) STANDIN_SHUFFLE(Index, mask, value, by, ##__VA_ARGS__)
#define __shfl_up_sync(mask, value, by, ...) STANDIN_SHUFFLE(Up, mask, value, by, ##__VA_ARGS__)
#define __shfl_down_sync(mask, value, by, ...) STANDIN_SHUFFLE(Down, mask, value, by, ##__VA_ARGS__)
#define __shfl_xor_sync(mask, value, by, ...) STANDIN_SHUFFLE(Xor, mask, value, by, ##__VA_ARGS__)

#define STANDIN_SYNCWARP(mask, ...) ((void)standin_machine->warp((mask), nullptr, 0, __LINE__))
#define __syncwarp(...) STANDIN_SYNCWARP(__VA_ARGS__ __VA_OPT__(,) 0xffffffffu)
#define __ballot_sync(mask, p) standin::ballot((mask), (p) != 0, __LINE__)
#define __any_sync(mask, p) (standin::ballot((mask), (p) != 0, __LINE__) != 0)
#define __all_sync(mask, p) standin::all_of((mask), (p) != 0, __LINE__)
#define __match_any_sync(mask, value) standin::match_any((mask), (value), __LINE__)
#define __activemask() (standin_machine->live_lanes())
#define STANDIN_REDUCE(mask, value, expression) \
    standin::reduce((mask), (value), __LINE__, [](auto a, auto b) { return expression; })
#define __reduce_add_sync(mask, v) STANDIN_REDUCE(mask, v, a + b)
#define __reduce_min_sync(mask, v) STANDIN_REDUCE(mask, v, a < b ? a : b)
#define __reduce_max_sync(mask, v) STANDIN_REDUCE(mask, v, a > b ? a : b)
#define __reduce_and_sync(mask, v) STANDIN_REDUCE(mask, v, a & b)
#define __reduce_or_sync(mask, v) STANDIN_REDUCE(mask, v, a | b)
#define __reduce_xor_sync(mask, v) STANDIN_REDUCE(mask, v, a ^ b)
