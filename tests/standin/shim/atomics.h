// Atomic operations. Threads of a grid take turns on one thread of the host, so that plain reads and
// writes are atomic; what remains is to give back the old value.
#pragma once

namespace standin {
template <class T, class F> static inline T update(T* at, F next) {
    T old = *at;
    *at = next(old);
    return old;
}
// Keeps the value's type from being deduced, as an overload set would.
template <class T> struct Same { using type = T; };
}  // namespace standin

#define STANDIN_ATOMIC(name, expression) \
    template <class T> static inline T name(T* at, typename standin::Same<T>::type v) { \
        return standin::update(at, [&](T old) -> T { return expression; }); \
    } \
    template <class T> static inline T name##_block(T* at, typename standin::Same<T>::type v) { return name(at, v); } \
    template <class T> static inline T name##_system(T* at, typename standin::Same<T>::type v) { return name(at, v); }

STANDIN_ATOMIC(atomicAdd, T(old + v))
STANDIN_ATOMIC(atomicSub, T(old - v))
STANDIN_ATOMIC(atomicExch, v)
STANDIN_ATOMIC(atomicMin, old < v ? old : v)
STANDIN_ATOMIC(atomicMax, old > v ? old : v)
STANDIN_ATOMIC(atomicAnd, T(old & v))
STANDIN_ATOMIC(atomicOr, T(old | v))
STANDIN_ATOMIC(atomicXor, T(old ^ v))
STANDIN_ATOMIC(atomicInc, old >= v ? T(0) : T(old + 1))
STANDIN_ATOMIC(atomicDec, old == 0 || old > v ? v : T(old - 1))

template <class T>
static inline T atomicCAS(T* at, typename standin::Same<T>::type expected, typename standin::Same<T>::type v) {
    return standin::update(at, [&](T old) -> T { return old == expected ? v : old; });
}
