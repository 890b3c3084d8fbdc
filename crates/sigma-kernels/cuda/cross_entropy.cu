// Cross-entropy of rows of logits and its gradient. One block per row.

// The four logits from 4 * i on, -infinity beyond the end.
static __device__ __forceinline__ Wide<float> four_logits(const float* logits, unsigned i, unsigned vocabulary, bool whole) {
    if (whole) return wide(logits + 4 * i);
    Wide<float> four;
    for (unsigned j = 0; j < 4; ++j) four.x[j] = 4 * i + j < vocabulary ? logits[4 * i + j] : -INFINITY;
    return four;
}

// losses[row] = -log softmax(logits)[label]; gradient = (softmax - one_hot(label)) * *scale / count in the precision of products:
// that of the mean over `count` rows, times the loss scale. Where only the losses are asked for, gradient and scale are null.
template <typename T>
__device__ void cross_entropy_rows(float* losses, T* gradient, const float* logits, const unsigned* labels, const double* scale,
                                   unsigned count, unsigned vocabulary) {
    SHARED(float, shared, [32]);
    const size_t row = blockIdx.x;
    const unsigned fours = (vocabulary + 3) / 4;
    logits += row * vocabulary;
    const bool whole = vocabulary % 4 == 0 && is_wide(logits);
    // the sum of exp(logit - own_top), where own_top is the largest of the thread's logits so far
    float own_top = -INFINITY, sum = 0.0f;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < fours; i += blockDim.x) {
        const Wide<float> x = four_logits(logits, i, vocabulary, whole);
        const float above = fmaxf(fmaxf(x.x[0], x.x[1]), fmaxf(x.x[2], x.x[3]));
        if (above > own_top) {
            sum *= expf(own_top - above);
            own_top = above;
        }
        // a NaN hides from the maximum but not from the sum
        const float base = own_top == -INFINITY ? 0.0f : own_top;
        for (unsigned j = 0; j < 4; ++j) sum += expf(x.x[j] - base);
    }
    const float top = block_max(own_top, shared);
    const float total = block_sum(sum * expf(own_top - top), shared);
    const unsigned label = labels[row];
    if (threadIdx.x == 0) losses[row] = top + logf(total) - logits[label];
    if (!gradient) return;
    gradient += row * vocabulary;
    const float factor = (float)(*scale / (double)count), norm = factor / total;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < fours; i += blockDim.x) {
        const Wide<float> x = four_logits(logits, i, vocabulary, whole);
        Four<T> four;
        for (unsigned j = 0; j < 4; ++j) {
            const float share = expf(x.x[j] - top) * norm;
            four.x[j] = from_float<T>(4 * i + j == label ? share - factor : share);
        }
        if (whole) {
            four_at(gradient + 4 * i) = four;
        } else {
            for (unsigned j = 0; j < 4 && 4 * i + j < vocabulary; ++j) gradient[4 * i + j] = four.x[j];
        }
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
