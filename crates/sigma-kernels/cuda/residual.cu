// The end of a sub-block where no norm follows: bias, dropout, and addition to the residual stream.

// out = x + dropout(y + bias). The mask is that of src/dropout.rs for the key *key; without a key (null) nothing is dropped.
KERNEL(residual, (float* out, const float* x, const float* y, const float* bias, unsigned n, unsigned d,
                  const unsigned long long* key, unsigned long long threshold, float scale),
       (out, x, y, bias, n, d, key, threshold, scale)) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i] + (y[i] + bias[i % d]) * dropout_factor(key, threshold, scale, i);
}

// The gradient on its way back through dropout, in the precision of products: dy = mask * ds.
template <typename T>
__device__ void dropped_gradient(T* dy, const float* ds, unsigned n, const unsigned long long* key, unsigned long long threshold,
                                 float scale) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) dy[i] = from_float<T>(ds[i] * dropout_factor(key, threshold, scale, i));
}
#define DROPPED_GRADIENT(T) \
    (T* dy, const float* ds, unsigned n, const unsigned long long* key, unsigned long long threshold, float scale)
KERNEL_TYPES(residual_backward, dropped_gradient, DROPPED_GRADIENT, (dy, ds, n, key, threshold, scale))

// y += x.
KERNEL(accumulate, (float* y, const float* x, unsigned n), (y, x, n)) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += x[i];
}
