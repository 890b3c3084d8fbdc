// From f32 to the precision of products.

template <typename T>
__device__ void cast_all(T* y, const float* x, unsigned long long n) {
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) y[i] = from_float<T>(x[i]);
}
#define CAST(T) (T* y, const float* x, unsigned long long n)
KERNEL_TYPES(cast, cast_all, CAST, (y, x, n))
