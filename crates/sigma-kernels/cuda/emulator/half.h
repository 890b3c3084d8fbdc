// The two 16-bit floating point types of CUDA, as bits. They can be stored, copied and converted, and nothing else:
// arithmetic is done in float.

#pragma once

#include <cstdint>
#include <cstring>

struct __half {
    uint16_t bits;
};

struct __nv_bfloat16 {
    uint16_t bits;
};

inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float __uint_as_float(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

inline float __half2float(__half x) {
    const uint32_t sign = uint32_t(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 0x1F, fraction = x.bits & 0x3FF;
    if (exponent == 0x1F) return __uint_as_float(sign | 0x7F800000 | fraction << 13);
    if (exponent == 0) {
        const float magnitude = float(fraction) * 0x1p-24f;
        return __uint_as_float(sign | __float_as_uint(magnitude));
    }
    return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
}

// To nearest, ties to even, of a value shifted right by `shift` bits.
inline uint32_t shift_right_rounding(uint32_t value, unsigned shift) {
    const uint32_t half = 1u << (shift - 1), rest = value & ((1u << shift) - 1), result = value >> shift;
    return result + (rest > half || (rest == half && (result & 1)) ? 1 : 0);
}

inline __half __float2half_rn(float x) {
    const uint32_t bits = __float_as_uint(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return {uint16_t(sign | 0x7FFF)};
    if (magnitude >= 0x47800000) return {uint16_t(sign | 0x7C00)};
    if (magnitude >= 0x38800000) {  // normal; a carry out of the fraction moves to the next exponent, or to infinity
        return {uint16_t(sign | shift_right_rounding(magnitude - (112u << 23), 13))};
    }
    const unsigned exponent = magnitude >> 23;
    if (exponent < 102) return {uint16_t(sign)};
    return {uint16_t(sign | shift_right_rounding((magnitude & 0x7FFFFF) | 0x800000, 126 - exponent))};
}

inline float __bfloat162float(__nv_bfloat16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }

inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    const uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return {0x7FFF};
    return {uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16)};
}

inline __half __float2half(float x) { return __float2half_rn(x); }
inline __nv_bfloat16 __float2bfloat16(float x) { return __float2bfloat16_rn(x); }
