// Layer normalisation over rows of d numbers, forward and backward.

// y = LayerNorm(x) in the precision of products, and in f32 where `exact` is not null. `moments` gets each row's mean and
// 1 / deviation, `[rows, 2]`, where a backward pass will ask for them. One warp per row.
template <typename T>
__device__ void layer_norm_rows(T* y, float* exact, float* moments, const float* x, const float* weight, const float* bias,
                                unsigned rows, unsigned d, float eps) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (size_t)row * d;
    float sum = 0.0f;
    for (unsigned i = lane; i < d; i += 32) sum += x[i];
    const float mean = warp_sum(sum) / (float)d;
    float squares = 0.0f;
    for (unsigned i = lane; i < d; i += 32) squares += (x[i] - mean) * (x[i] - mean);
    const float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)d + eps);
    for (unsigned i = lane; i < d; i += 32) {
        const float value = fmaf((x[i] - mean) * rstd, weight[i], bias[i]);
        y[(size_t)row * d + i] = from_float<T>(value);
        if (exact) exact[(size_t)row * d + i] = value;
    }
    if (moments && lane == 0) {
        moments[2 * (size_t)row] = mean;
        moments[2 * (size_t)row + 1] = rstd;
    }
}
#define LAYER_NORM(T)                                                                                                          \
    (T* y, float* exact, float* moments, const float* x, const float* weight, const float* bias, unsigned rows, unsigned d, \
     float eps)
KERNEL_TYPES(layer_norm, layer_norm_rows, LAYER_NORM, (y, exact, moments, x, weight, bias, rows, d, eps))

// dx = (or += where `accumulate`) the gradient by the input, by the `moments` of the forward pass. What it leaves in dx also goes back
// through the dropout of the sub-block before, as in the kernel `residual_backward`: dropped = mask * dx in the precision of
// products. One block per row.
template <typename T>
__device__ void layer_norm_gradient(float* dx, T* dropped, const float* dy, const float* x, const float* moments,
                                    const float* weight, unsigned d, unsigned accumulate, const unsigned long long* key,
                                    unsigned long long threshold, float scale) {
    SHARED(float, shared, [32]);
    const size_t begin = (size_t)blockIdx.x * d;
    const float mean = moments[2 * (size_t)blockIdx.x], rstd = moments[2 * (size_t)blockIdx.x + 1];
    float sum_g = 0.0f, sum_gx = 0.0f;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        const float g = dy[begin + i] * weight[i];
        sum_g += g;
        sum_gx += g * (x[begin + i] - mean) * rstd;
    }
    const float mean_g = block_sum(sum_g, shared) / (float)d, mean_gx = block_sum(sum_gx, shared) / (float)d;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        const float gradient = rstd * (dy[begin + i] * weight[i] - mean_g - (x[begin + i] - mean) * rstd * mean_gx);
        const float total = accumulate ? dx[begin + i] + gradient : gradient;
        dx[begin + i] = total;
        dropped[begin + i] = from_float<T>(total * dropout_factor(key, threshold, scale, begin + i));
    }
}
#define LAYER_NORM_BACKWARD(T)                                                                                              \
    (float* dx, T* dropped, const float* dy, const float* x, const float* moments, const float* weight, unsigned d,         \
     unsigned accumulate, const unsigned long long* key, unsigned long long threshold, float scale)
KERNEL_TYPES(layer_norm_backward, layer_norm_gradient, LAYER_NORM_BACKWARD,
             (dx, dropped, dy, x, moments, weight, d, accumulate, key, threshold, scale))

// Gradients of weight and bias, which lie side by side: the sums over the rows of dy * x_hat, and of dy. The launch is that of `column_sums`.
KERNEL(layer_norm_parameters, (float* gradient, const float* moments, const float* dy, const float* x, unsigned rows, unsigned d),
       (gradient, moments, dy, x, rows, d)) {
    SHARED(float, shared, SUM_SPACE(float));
    const SumPlace<float> place(d, is_wide(dy) && is_wide(x));
    struct Read {
        Wide<float> dy, x;
        float mean, rstd;
    };
    constexpr unsigned COUNT = Wide<float>::COUNT;
    float weight[COUNT] = {}, bias[COUNT] = {};
    place.each_row(
        rows,
        [&](unsigned row) {
            return Read{place.read(dy, row), place.read(x, row), moments[2 * (size_t)row], moments[2 * (size_t)row + 1]};
        },
        [&](unsigned, const Read& read) {
            for (unsigned j = 0; j < COUNT; ++j) {
                weight[j] += read.dy.x[j] * (read.x.x[j] - read.mean) * read.rstd;
                bias[j] += read.dy.x[j];
            }
        });
    place.finish(gradient, weight, shared);
    place.finish(gradient + d, bias, shared);
}
