// Vector types with the sizes and alignments of the device's.
#pragma once

#define STANDIN_VECTOR2(name, type, align) \
    struct alignas(align) name##2 { type x, y; }; \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }
#define STANDIN_VECTOR3(name, type) \
    struct name##3 { type x, y, z; }; \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }
#define STANDIN_VECTOR4(name, type, align) \
    struct alignas(align) name##4 { type x, y, z, w; }; \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
#define STANDIN_VECTORS(name, type, align2, align4) \
    STANDIN_VECTOR2(name, type, align2) STANDIN_VECTOR3(name, type) STANDIN_VECTOR4(name, type, align4)

STANDIN_VECTORS(char, signed char, 2, 4)
STANDIN_VECTORS(uchar, unsigned char, 2, 4)
STANDIN_VECTORS(short, short, 4, 8)
STANDIN_VECTORS(ushort, unsigned short, 4, 8)
STANDIN_VECTORS(int, int, 8, 16)
STANDIN_VECTORS(uint, unsigned, 8, 16)
STANDIN_VECTORS(long, long, 16, 16)
STANDIN_VECTORS(ulong, unsigned long, 16, 16)
STANDIN_VECTORS(longlong, long long, 16, 16)
STANDIN_VECTORS(ulonglong, unsigned long long, 16, 16)
STANDIN_VECTORS(float, float, 8, 16)
STANDIN_VECTORS(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
