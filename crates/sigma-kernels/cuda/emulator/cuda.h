// Stands in for nvcc and its headers where a C++ compiler reads the kernels: the part of CUDA that they use, and no more.
// Shuffles and votes wait for all lanes of their mask, barriers for all threads of the block (block.h).

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "half.h"

#include "block.h"

#include "registry.h"

#include "wmma.h"

#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __constant__ static const

#define KERNEL(name, parameters, arguments)                                                          \
    static void name parameters;                                                                     \
    [[maybe_unused]] static const bool name##_is_registered = emulator::add_kernel<name>(#name);     \
    static void name parameters

#define __shared__ static thread_local

#define SHARED(type, name, dimensions)                                                               \
    using name##_array = type dimensions;                                                            \
    static thread_local emulator::Shared name##_memory = {nullptr, 0, 0, nullptr, #name};            \
    name##_array& name = *static_cast<name##_array*>(emulator::shared_memory(name##_memory, sizeof(name##_array)))

#define DYNAMIC_SHARED(type, name) type* const name = reinterpret_cast<type*>(emulator::block->dynamic)

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline int __float_as_int(float x) { return int(__float_as_uint(x)); }
inline float __int_as_float(int x) { return __uint_as_float(uint32_t(x)); }
inline unsigned __umulhi(unsigned x, unsigned y) { return unsigned(uint64_t(x) * y >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(unsigned x) { return x == 0 ? 32 : __builtin_clz(x); }
inline int __ffs(unsigned x) { return __builtin_ffs(int(x)); }
template <typename T> inline T __ldg(const T* x) { return *x; }

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::barrier({"__syncthreads", file, line});
}

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    emulator::exchange(mask, 0, threadIdx.x % 32, {"__syncwarp", file, line});
}

inline unsigned __ballot_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(),
                              int line = __builtin_LINE()) {
    return unsigned(emulator::exchange(mask, predicate != 0, emulator::BALLOT, {"__ballot_sync", file, line}));
}

inline int __any_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return emulator::exchange(mask, predicate != 0, emulator::BALLOT, {"__any_sync", file, line}) != 0;
}

inline int __all_sync(unsigned mask, int predicate, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return emulator::exchange(mask, predicate == 0, emulator::BALLOT, {"__all_sync", file, line}) == 0;
}

namespace emulator {

template <typename V> inline V shuffle(unsigned mask, V value, unsigned source, const Place& place) {
    static_assert(std::is_same_v<V, float> || std::is_same_v<V, double> || std::is_same_v<V, int> ||
                  std::is_same_v<V, unsigned> || std::is_same_v<V, unsigned long long>, "a type that CUDA's shuffles take");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = exchange(mask, bits, source, place);
    memcpy(&value, &bits, sizeof value);
    return value;
}

}  // namespace emulator

// A lane whose source lies outside its part of `width` lanes keeps its own value.
template <typename V>
inline V __shfl_sync(unsigned mask, V value, int lane, int width = 32, const char* file = __builtin_FILE(),
                     int line = __builtin_LINE()) {
    const unsigned own = threadIdx.x % 32, part = own / width * width;
    return emulator::shuffle(mask, value, part + unsigned(lane) % width, {"__shfl_sync", file, line});
}

template <typename V>
inline V __shfl_xor_sync(unsigned mask, V value, int distance, int width = 32, const char* file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
    const unsigned own = threadIdx.x % 32, source = own ^ distance, end = own / width * width + width;
    return emulator::shuffle(mask, value, source < end ? source : own, {"__shfl_xor_sync", file, line});
}

template <typename V>
inline V __shfl_up_sync(unsigned mask, V value, unsigned distance, int width = 32, const char* file = __builtin_FILE(),
                        int line = __builtin_LINE()) {
    const unsigned own = threadIdx.x % 32;
    return emulator::shuffle(mask, value, own % width < distance ? own : own - distance, {"__shfl_up_sync", file, line});
}

template <typename V>
inline V __shfl_down_sync(unsigned mask, V value, unsigned distance, int width = 32, const char* file = __builtin_FILE(),
                          int line = __builtin_LINE()) {
    const unsigned own = threadIdx.x % 32;
    return emulator::shuffle(mask, value, own % width + distance >= unsigned(width) ? own : own + distance,
                             {"__shfl_down_sync", file, line});
}
