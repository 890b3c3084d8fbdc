// Layer normalisation over rows of d numbers, forward and backward. One warp per row: its sums need no shared memory.

// Mean and reciprocal standard deviation of a row, known to every lane.
static __device__ void row_moments(const float* x, unsigned d, float eps, float& mean, float& rstd) {
    const unsigned lane = threadIdx.x % 32;
    float sum = 0.0f;
    for (unsigned i = lane; i < d; i += 32) sum += x[i];
    mean = warp_sum(sum) / (float)d;
    float squares = 0.0f;
    for (unsigned i = lane; i < d; i += 32) squares += (x[i] - mean) * (x[i] - mean);
    rstd = 1.0f / sqrtf(warp_sum(squares) / (float)d + eps);
}

// y = LayerNorm(x) in the precision of products, and in f32 where `exact` is not null.
template <typename T>
__device__ void layer_norm_rows(T* y, float* exact, const float* x, const float* weight, const float* bias, unsigned rows,
                                unsigned d, float eps) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    x += (size_t)row * d;
    float mean, rstd;
    row_moments(x, d, eps, mean, rstd);
    for (unsigned i = threadIdx.x % 32; i < d; i += 32) {
        const float value = fmaf((x[i] - mean) * rstd, weight[i], bias[i]);
        y[(size_t)row * d + i] = from_float<T>(value);
        if (exact) exact[(size_t)row * d + i] = value;
    }
}
#define LAYER_NORM(T) \
    (T* y, float* exact, const float* x, const float* weight, const float* bias, unsigned rows, unsigned d, float eps)
KERNEL_TYPES(layer_norm, layer_norm_rows, LAYER_NORM, (y, exact, x, weight, bias, rows, d, eps))

// dx = (or += where `accumulate`) the gradient by the input; also leaves each row's mean and 1 / deviation in `moments`
// `[rows, 2]` for layer_norm_parameters.
KERNEL(layer_norm_backward, (float* dx, float* moments, const float* dy, const float* x, const float* weight, unsigned rows,
                             unsigned d, float eps, unsigned accumulate),
       (dx, moments, dy, x, weight, rows, d, eps, accumulate)) {
    const unsigned row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += (size_t)row * d;
    dy += (size_t)row * d;
    dx += (size_t)row * d;
    float mean, rstd;
    row_moments(x, d, eps, mean, rstd);
    float sum_g = 0.0f, sum_gx = 0.0f;
    for (unsigned i = lane; i < d; i += 32) {
        const float g = dy[i] * weight[i];
        sum_g += g;
        sum_gx += g * (x[i] - mean) * rstd;
    }
    const float mean_g = warp_sum(sum_g) / (float)d, mean_gx = warp_sum(sum_gx) / (float)d;
    for (unsigned i = lane; i < d; i += 32) {
        const float gradient = rstd * (dy[i] * weight[i] - mean_g - (x[i] - mean) * rstd * mean_gx);
        dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
    if (lane == 0) {
        moments[2 * (size_t)row] = mean;
        moments[2 * (size_t)row + 1] = rstd;
    }
}

// Sums of dy * x_hat and of dy over the rows of one piece, by column, side by side: `parts` is `[pieces, 2 d]`.
// A thread per column, a row of blocks per piece; column_sums_finish adds the pieces.
KERNEL(layer_norm_parameters, (float* parts, const float* moments, const float* dy, const float* x, unsigned rows, unsigned d,
                               unsigned rows_per_piece),
       (parts, moments, dy, x, rows, d, rows_per_piece)) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= d) return;
    const unsigned first = blockIdx.y * rows_per_piece;
    const unsigned last = first + rows_per_piece < rows ? first + rows_per_piece : rows;
    float weight = 0.0f, bias = 0.0f;
    for (unsigned row = first; row < last; ++row) {
        const float g = dy[(size_t)row * d + column];
        weight += g * (x[(size_t)row * d + column] - moments[2 * (size_t)row]) * moments[2 * (size_t)row + 1];
        bias += g;
    }
    parts += (size_t)blockIdx.y * 2 * d + column;
    parts[0] = weight;
    parts[d] = bias;
}
