// Bias and GELU (by the error function, as BERT's `gelu`) in one pass, in place.

template <typename T>
__device__ void add_bias_gelu(T* y, const float* bias, unsigned n, unsigned d) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = to_float(y[i]) + bias[i % d];
    y[i] = from_float<T>(0.5f * x * (1.0f + erff(x * 0.70710678118654752f)));
}
KERNEL_TYPES(bias_gelu, add_bias_gelu, ADD_BIAS, (y, bias, n, d))
