// The softmax of causal attention between two batched products, forward and backward. One warp per row of scores; the rows
// of all (sequence, head) pairs lie one after another, `time` rows of `time` scores each, `stride` apart.

// p = softmax of each row over the keys up to the query's own; 0 for later keys.
template <typename T>
__device__ void causal_softmax_rows(T* p, const float* scores, unsigned rows, unsigned time, unsigned stride) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    scores += (size_t)row * stride;
    p += (size_t)row * stride;
    const unsigned seen = row % time + 1;
    float top = -INFINITY;
    for (unsigned i = lane; i < seen; i += 32) top = fmaxf(top, scores[i]);
    top = warp_max(top);
    float sum = 0.0f;
    for (unsigned i = lane; i < seen; i += 32) sum += expf(scores[i] - top);
    const float norm = 1.0f / warp_sum(sum);
    for (unsigned i = lane; i < time; i += 32) p[i] = from_float<T>(i < seen ? expf(scores[i] - top) * norm : 0.0f);
}
#define CAUSAL_SOFTMAX(T) (T* p, const float* scores, unsigned rows, unsigned time, unsigned stride)
KERNEL_TYPES(causal_softmax, causal_softmax_rows, CAUSAL_SOFTMAX, (p, scores, rows, time, stride))

// ds = p * (dp - sum of p * dp over the row).
template <typename T>
__device__ void causal_softmax_gradient(T* ds, const T* p, const float* dp, unsigned rows, unsigned time, unsigned stride) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    ds += (size_t)row * stride;
    p += (size_t)row * stride;
    dp += (size_t)row * stride;
    const unsigned seen = row % time + 1;
    float sum = 0.0f;
    for (unsigned i = lane; i < seen; i += 32) sum += to_float(p[i]) * dp[i];
    const float inner = warp_sum(sum);
    for (unsigned i = lane; i < time; i += 32) {
        ds[i] = from_float<T>(i < seen ? to_float(p[i]) * (dp[i] - inner) : 0.0f);
    }
}
#define CAUSAL_SOFTMAX_BACKWARD(T) (T* ds, const T* p, const float* dp, unsigned rows, unsigned time, unsigned stride)
KERNEL_TYPES(causal_softmax_backward, causal_softmax_gradient, CAUSAL_SOFTMAX_BACKWARD, (ds, p, dp, rows, time, stride))
