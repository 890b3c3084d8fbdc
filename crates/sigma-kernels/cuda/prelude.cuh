// What every kernel starts from: types, conversions, reductions, and the macros that export kernels. Two compilers read
// these files: nvcc, and a C++ compiler for the emulation on a CPU (emulator/), which knows only what is in emulator/cuda.h.
//
// One kernel, with the name by which Gpu::launch finds it. A parameter is a pointer, unsigned, unsigned long long, float or
// double; the parameters' names are repeated as arguments:
//
//     KERNEL(scale, (float* y, float factor, unsigned n), (y, factor, n)) {
//         const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
//         if (i < n) y[i] *= factor;
//     }
//
// Three kernels from one body, add_f32, add_f16 and add_bf16, where T is float, __half or __nv_bfloat16:
//
//     template <typename T>
//     __device__ void add_to(T* y, const T* x, unsigned n) {
//         const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
//         if (i < n) y[i] = from_float<T>(to_float(y[i]) + to_float(x[i]));
//     }
//     #define ADD(T) (T* y, const T* x, unsigned n)
//     KERNEL_TYPES(add, add_to, ADD, (y, x, n))
//
// Shared memory of a block:  SHARED(float, tile, [32][33]);  and  DYNAMIC_SHARED(float, row);  for the bytes that the
// launch asked for. The emulator fills both with NaNs before each block and finds writes past their ends; a plain
// `__shared__ float tile[32][33];` it takes too, without these checks.
//
// A block has at most MAX_BLOCK threads, in whole warps wherever warp_* or block_* functions are used; all threads of the
// block must call a block_* function, and all lanes of a warp a warp_* function.

#pragma once

#define MAX_BLOCK 512

#ifdef SIGMA_EMULATOR
#include "emulator/cuda.h"
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#define KERNEL(name, parameters, arguments) extern "C" __global__ void __launch_bounds__(MAX_BLOCK) name parameters
#define SHARED(type, name, dimensions) __shared__ type name dimensions
#define DYNAMIC_SHARED(type, name)                              \
    extern __shared__ __align__(128) unsigned char dynamic_shared[]; \
    type* const name = reinterpret_cast<type*>(dynamic_shared)
#endif

#define KERNEL_TYPES(name, body, parameters, arguments)                               \
    KERNEL(name##_f32, parameters(float), arguments) { body<float> arguments; }       \
    KERNEL(name##_f16, parameters(__half), arguments) { body<__half> arguments; }     \
    KERNEL(name##_bf16, parameters(__nv_bfloat16), arguments) { body<__nv_bfloat16> arguments; }

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// To the nearest value of T, ties to even.
template <typename T> __device__ __forceinline__ T from_float(float x);
template <> __device__ __forceinline__ float from_float<float>(float x) { return x; }
template <> __device__ __forceinline__ __half from_float<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

// 16 bytes of T, read and written at once where an address is a multiple of 16.
template <typename T> struct alignas(16) Wide {
    static constexpr unsigned COUNT = 16 / sizeof(T);
    T x[COUNT];
};
template <typename T> __device__ __forceinline__ Wide<T> wide(const T* x) { return *reinterpret_cast<const Wide<T>*>(x); }
template <typename T> __device__ __forceinline__ Wide<T>& wide_at(T* x) { return *reinterpret_cast<Wide<T>*>(x); }
// Four numbers of T beside 16 bytes of f32.
template <typename T> struct alignas(4 * sizeof(T)) Four {
    T x[4];
};
template <typename T> __device__ __forceinline__ Four<T>& four_at(T* x) { return *reinterpret_cast<Four<T>*>(x); }
__device__ __forceinline__ bool is_wide(const void* x) { return reinterpret_cast<size_t>(x) % 16 == 0; }

#define WARP 32
#define ALL_LANES 0xFFFFFFFFu

struct Sum {
    template <typename V> __device__ __forceinline__ V operator()(V a, V b) const { return a + b; }
    template <typename V> __device__ __forceinline__ static V identity() { return V(0); }
};

struct Max {
    template <typename V> __device__ __forceinline__ V operator()(V a, V b) const { return a > b ? a : b; }
    template <typename V> __device__ __forceinline__ static V identity() { return V(-INFINITY); }
};

// The result of all lanes, in every lane. The order of additions is fixed.
template <typename Operation, typename V> __device__ __forceinline__ V warp_reduce(V value) {
    for (unsigned distance = WARP / 2; distance > 0; distance /= 2) {
        value = Operation()(value, __shfl_xor_sync(ALL_LANES, value, distance));
    }
    return value;
}

// The result of all threads of the block, in every thread. `shared` holds one value per warp (MAX_BLOCK / WARP are
// always enough); no thread may still be using it at the call, and it is free again after the return.
template <typename Operation, typename V> __device__ __forceinline__ V block_reduce(V value, V* shared) {
    const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    value = warp_reduce<Operation>(value);
    if (lane == 0) shared[warp] = value;
    __syncthreads();
    value = warp_reduce<Operation>(lane < warps ? shared[lane] : Operation::template identity<V>());
    __syncthreads();
    return value;
}

__device__ __forceinline__ float warp_sum(float value) { return warp_reduce<Sum>(value); }
__device__ __forceinline__ double warp_sum(double value) { return warp_reduce<Sum>(value); }
// NaNs may be lost in a maximum.
__device__ __forceinline__ float warp_max(float value) { return warp_reduce<Max>(value); }
__device__ __forceinline__ float block_sum(float value, float* shared) { return block_reduce<Sum>(value, shared); }
__device__ __forceinline__ double block_sum(double value, double* shared) { return block_reduce<Sum>(value, shared); }
__device__ __forceinline__ float block_max(float value, float* shared) { return block_reduce<Max>(value, shared); }
