// What the stand-ins for NVIDIA's libraries share: numbers in a device's memory, handles, messages.
#pragma once
#include "../driver/extension.h"
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

using Address = unsigned long long;

// One lock around every function of a library.
inline std::recursive_mutex& library_lock() {
    static auto* lock = new std::recursive_mutex;
    return *lock;
}
#define LOCKED std::lock_guard<std::recursive_mutex> guard(library_lock())

// Says why a call fails; gives back `status`.
__attribute__((format(printf, 2, 3))) inline int refuse(int status, const char* format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    standin_say(text);
    return status;
}

// Objects behind the handles that a library gives out; a handle that is none of them is refused.
template <class T> class Objects {
  public:
    explicit Objects(const char* kind) : kind_(kind) {}
    T* make(T object) {
        T* made = new T(std::move(object));
        live_.insert(made);
        standin_count(kind_, 1);
        return made;
    }
    T* find(void* handle) const { return live_.count(static_cast<T*>(handle)) ? static_cast<T*>(handle) : nullptr; }
    bool destroy(void* handle) {
        if (live_.erase(static_cast<T*>(handle)) == 0) return false;
        delete static_cast<T*>(handle);
        standin_count(kind_, -1);
        return true;
    }

  private:
    const char* kind_;
    std::set<T*> live_;
};

// Types of elements.
enum class Type { F16, BF16, F32, F64 };

inline size_t size_of(Type type) { return type == Type::F64 ? 8 : type == Type::F32 ? 4 : 2; }

template <class To, class From> inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "sizes differ");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

inline float from_f16(uint16_t v) {
    uint32_t sign = (v & 0x8000u) << 16, exponent = v >> 10 & 31, fraction = v & 1023;
    if (exponent == 31) return bits<float>(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) return (sign ? -1.f : 1.f) * ldexpf(float(fraction), -24);
    return bits<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

inline uint16_t to_f16(float x) {
    auto u = bits<uint32_t>(x);
    uint32_t sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return uint16_t(sign | 0x7e00u | (u >> 13 & 1023));
    if (u >= 0x47800000u) return uint16_t(sign | 0x7c00u);
    // Below 2^-14 in steps of 2^-24.
    if (u < 0x38800000u) return uint16_t(sign | uint32_t(nearbyintf(ldexpf(bits<float>(u), 24))));
    return uint16_t(sign | (u + 0xfffu + (u >> 13 & 1) - 0x38000000u) >> 13);
}

inline uint16_t to_bf16(float x) {
    auto u = bits<uint32_t>(x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return uint16_t(u >> 16 | 0x40);
    return uint16_t((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

inline double load(Type type, Address at, int64_t index) {
    auto* p = reinterpret_cast<const char*>(at) + index * int64_t(size_of(type));
    uint16_t half;
    float single;
    double whole;
    switch (type) {
    case Type::F16: memcpy(&half, p, 2); return from_f16(half);
    case Type::BF16: memcpy(&half, p, 2); return bits<float>(uint32_t(half) << 16);
    case Type::F32: memcpy(&single, p, 4); return single;
    case Type::F64: memcpy(&whole, p, 8); return whole;
    }
    return 0;
}

// Rounds to the type in which sums are kept.
inline double rounded(Type type, double v) { return type == Type::F64 ? v : double(float(v)); }

inline void store(Type type, Address at, int64_t index, double v) {
    auto* p = reinterpret_cast<char*>(at) + index * int64_t(size_of(type));
    uint16_t half;
    auto single = float(v);
    switch (type) {
    case Type::F16: half = to_f16(single); memcpy(p, &half, 2); return;
    case Type::BF16: half = to_bf16(single); memcpy(p, &half, 2); return;
    case Type::F32: memcpy(p, &single, 4); return;
    case Type::F64: memcpy(p, &v, 8); return;
    }
}

// An operand as tensor cores take it: to the nearest of 11 bits, ties away from zero.
inline double to_tf32(double v) {
    auto u = bits<uint32_t>(float(v));
    return (u & 0x7f800000u) == 0x7f800000u ? v : double(bits<float>((u + 0x1000u) & 0xffffe000u));
}

// What an algorithm leaves in its workspace: numbers that nobody may take for something.
inline void spoil(Address at, size_t bytes) {
    if (bytes) memset(reinterpret_cast<void*>(at), 0xa5, bytes);
}
