// The end of every sub-block in one pass: bias, dropout, and addition to the residual stream.

// out = x + dropout(y + bias). The mask is that of src/dropout.rs for the key *key; without a key (null) nothing is dropped.
// A thread handles a pair of elements, which share one draw.
KERNEL(residual, (float* out, const float* x, const float* y, const float* bias, unsigned n, unsigned d,
                  const unsigned long long* key, double p),
       (out, x, y, bias, n, d, key, p)) {
    const unsigned pair = blockIdx.x * blockDim.x + threadIdx.x;
    const DropoutPair factors = dropout_pair(key, p, pair);
    const unsigned i = 2 * pair;
    if (i < n) out[i] = x[i] + (y[i] + bias[i % d]) * factors.first;
    if (i + 1 < n) out[i + 1] = x[i + 1] + (y[i + 1] + bias[(i + 1) % d]) * factors.second;
}

// The gradient on its way back through dropout, in the precision of products: dy = mask * ds.
template <typename T>
__device__ void dropped_gradient(T* dy, const float* ds, unsigned n, const unsigned long long* key, double p) {
    const unsigned pair = blockIdx.x * blockDim.x + threadIdx.x;
    const DropoutPair factors = dropout_pair(key, p, pair);
    const unsigned i = 2 * pair;
    if (i < n) dy[i] = from_float<T>(ds[i] * factors.first);
    if (i + 1 < n) dy[i + 1] = from_float<T>(ds[i + 1] * factors.second);
}
#define DROPPED_GRADIENT(T) (T* dy, const float* ds, unsigned n, const unsigned long long* key, double p)
KERNEL_TYPES(residual_backward, dropped_gradient, DROPPED_GRADIENT, (dy, ds, n, key, p))

// y += x.
KERNEL(accumulate, (float* y, const float* x, unsigned n), (y, x, n)) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += x[i];
}
