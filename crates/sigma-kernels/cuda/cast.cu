// Between f32 and the type of a model's working copy.

template <typename T>
__device__ void cast_all(T* y, const float* x, unsigned n) {
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) y[i] = from_float<T>(x[i]);
}
#define CAST(T) (T* y, const float* x, unsigned n)
KERNEL_TYPES(cast, cast_all, CAST, (y, x, n))

template <typename T>
__device__ void widen_all(float* y, const T* x, unsigned n) {
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) y[i] = to_float(x[i]);
}
#define WIDEN(T) (float* y, const T* x, unsigned n)
KERNEL_TYPES(widen, widen_all, WIDEN, (y, x, n))
