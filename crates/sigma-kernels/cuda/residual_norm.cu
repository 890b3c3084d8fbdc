// The end of a sub-block and the norm that reads what it leaves, in one pass over a row: what the kernels `residual` and `layer_norm` do
// one after the other. One block per row, whose dynamic shared memory holds the row.

// Elements of a row that a thread has under way.
#define ROW_AT_ONCE 4

// out = x + dropout(y + bias), and n = LayerNorm(out) in the precision of products. `out`, `exact` (n in f32) and `moments` (mean and
// 1 / deviation of each row) may be null where nobody asks for them; out, exact and n may lie where x does.
template <typename T>
__device__ void residual_then_norm(float* out, T* n, float* exact, float* moments, const float* x, const float* y,
                                   const float* bias, const unsigned long long* key, unsigned long long threshold, float scale,
                                   const float* weight, const float* shift, unsigned d, float eps) {
    DYNAMIC_SHARED(float, row);
    SHARED(float, shared, [32]);
    const size_t begin = (size_t)blockIdx.x * d;
    float sum = 0.0f;
    for (unsigned first = threadIdx.x; first < d; first += ROW_AT_ONCE * blockDim.x) {
        // all are asked for before the first is needed; beyond the row's end it is its last element again
        float base[ROW_AT_ONCE], added[ROW_AT_ONCE];
#pragma unroll
        for (unsigned k = 0; k < ROW_AT_ONCE; ++k) {
            const unsigned i = first + k * blockDim.x, at = i < d ? i : d - 1;
            base[k] = x[begin + at];
            added[k] = y[begin + at] + bias[at];
        }
#pragma unroll
        for (unsigned k = 0; k < ROW_AT_ONCE; ++k) {
            const unsigned i = first + k * blockDim.x;
            if (i >= d) continue;
            const float value = base[k] + added[k] * dropout_factor(key, threshold, scale, begin + i);
            row[i] = value;
            sum += value;
            if (out) out[begin + i] = value;
        }
    }
    const float mean = block_sum(sum, shared) / (float)d;
    float squares = 0.0f;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
    const float rstd = 1.0f / sqrtf(block_sum(squares, shared) / (float)d + eps);
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        const float value = fmaf((row[i] - mean) * rstd, weight[i], shift[i]);
        n[begin + i] = from_float<T>(value);
        if (exact) exact[begin + i] = value;
    }
    if (moments && threadIdx.x == 0) {
        moments[2 * (size_t)blockIdx.x] = mean;
        moments[2 * (size_t)blockIdx.x + 1] = rstd;
    }
}
#define RESIDUAL_NORM(T)                                                                                                    \
    (float* out, T* n, float* exact, float* moments, const float* x, const float* y, const float* bias,                     \
     const unsigned long long* key, unsigned long long threshold, float scale, const float* weight, const float* shift, \
     unsigned d, float eps)
KERNEL_TYPES(residual_norm, residual_then_norm, RESIDUAL_NORM,
             (out, n, exact, moments, x, y, bias, key, threshold, scale, weight, shift, d, eps))
