// Cross-entropy of rows of logits and its gradient. One block per row.

// losses[row] = -log softmax(logits)[label]; gradient = (softmax - one_hot(label)) * *scale / count in the precision of products:
// that of the mean over `count` rows, times the loss scale. Where only the losses are asked for, gradient and scale are null.
template <typename T>
__device__ void cross_entropy_rows(float* losses, T* gradient, const float* logits, const unsigned* labels, const double* scale,
                                   unsigned count, unsigned vocabulary) {
    SHARED(float, shared, [32]);
    const size_t row = blockIdx.x;
    logits += row * vocabulary;
    float top = -INFINITY;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) top = fmaxf(top, logits[i]);
    top = block_max(top, shared);
    float sum = 0.0f;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) sum += expf(logits[i] - top);
    // a NaN logit may hide from the maximum but not from the sum
    const float total = block_sum(sum, shared);
    const unsigned label = labels[row];
    if (threadIdx.x == 0) losses[row] = top + logf(total) - logits[label];
    if (!gradient) return;
    gradient += row * vocabulary;
    const float factor = (float)(*scale / (double)count), norm = factor / total;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < vocabulary; i += blockDim.x) {
        const float share = expf(logits[i] - top) * norm;
        gradient[i] = from_float<T>(i == label ? share - factor : share);
    }
}
#define CROSS_ENTROPY(T) \
    (float* losses, T* gradient, const float* logits, const unsigned* labels, const double* scale, unsigned count, \
     unsigned vocabulary)
KERNEL_TYPES(cross_entropy, cross_entropy_rows, CROSS_ENTROPY, (losses, gradient, logits, labels, scale, count, vocabulary))

// *mean = the mean of n numbers, added in f64 in a fixed order by one block.
KERNEL(mean, (double* mean, const float* x, unsigned n), (mean, x, n)) {
    SHARED(double, shared, [32]);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += (double)x[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *mean = sum / (double)n;
}
