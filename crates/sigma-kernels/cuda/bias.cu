// What follows a product in place: the bias, and after the first feed-forward product ReLU. A thread handles 16 bytes of y.

// y = f(y + bias) for the thread's elements of y, which has rows of d.
template <typename T, typename F>
static __device__ __forceinline__ void after_product(T* y, const float* bias, unsigned n, unsigned d, const F& f) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    const unsigned first = (blockIdx.x * blockDim.x + threadIdx.x) * COUNT, column = first % d;
    if (d % COUNT == 0 && is_wide(y) && is_wide(bias)) {
        if (first >= n) return;
        Wide<T> values = wide(y + first);
#pragma unroll
        for (unsigned k = 0; k < COUNT; k += Wide<float>::COUNT) {
            const Wide<float> added = wide(bias + column + k);
            for (unsigned j = 0; j < Wide<float>::COUNT; ++j) {
                values.x[k + j] = from_float<T>(f(to_float(values.x[k + j]) + added.x[j]));
            }
        }
        wide_at(y + first) = values;
        return;
    }
    for (unsigned i = first; i < n && i < first + COUNT; ++i) y[i] = from_float<T>(f(to_float(y[i]) + bias[i % d]));
}

#define ADD_BIAS(T) (T* y, const float* bias, unsigned n, unsigned d)

template <typename T> __device__ void add_bias(T* y, const float* bias, unsigned n, unsigned d) {
    after_product(y, bias, n, d, [](float x) { return x; });
}
KERNEL_TYPES(bias, add_bias, ADD_BIAS, (y, bias, n, d))

// NaN stays NaN.
template <typename T> __device__ void add_bias_relu(T* y, const float* bias, unsigned n, unsigned d) {
    after_product(y, bias, n, d, [](float x) { return x < 0.0f ? 0.0f : x; });
}
KERNEL_TYPES(bias_relu, add_bias_relu, ADD_BIAS, (y, bias, n, d))

// GELU by the error function, as BERT's `gelu`.
template <typename T> __device__ void add_bias_gelu(T* y, const float* bias, unsigned n, unsigned d) {
    after_product(y, bias, n, d, [](float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); });
}
KERNEL_TYPES(bias_gelu, add_bias_gelu, ADD_BIAS, (y, bias, n, d))
