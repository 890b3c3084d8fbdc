// One step of AdamW with decoupled weight decay over all parameters in one launch, as src/adamw.rs does it, if the step counts.
// `factors` come from plan_update.cu; `copy` (null for f32) gets the new parameters in the precision of products.

template <typename T>
__device__ void adamw_step(float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n,
                           const float* factors) {
    if (factors[9] == 0.0f) return;
    const float gradient_scale = factors[0], beta1 = factors[1], beta2 = factors[2], one_minus_beta1 = factors[3];
    const float one_minus_beta2 = factors[4], keep = factors[5], rate = factors[6], root_correction = factors[7];
    const float epsilon = factors[8];
    const auto update = [&](float g, float& first, float& second, float& value) {
        g *= gradient_scale;
        first = beta1 * first + one_minus_beta1 * g;
        second = beta2 * second + one_minus_beta2 * g * g;
        value = keep * value - rate * first / (sqrtf(second) * root_correction + epsilon);
    };
    const size_t thread = (size_t)blockIdx.x * blockDim.x + threadIdx.x, threads = (size_t)gridDim.x * blockDim.x;
    // all of them begin where buffers do
    const size_t fours = n / 4;
    for (size_t i = thread; i < fours; i += threads) {
        const Wide<float> g = wide(gradient + 4 * i);
        Wide<float> first = wide(m + 4 * i), second = wide(v + 4 * i), value = wide(theta + 4 * i);
        Four<T> rounded;
        for (unsigned j = 0; j < 4; ++j) {
            update(g.x[j], first.x[j], second.x[j], value.x[j]);
            rounded.x[j] = from_float<T>(value.x[j]);
        }
        wide_at(m + 4 * i) = first;
        wide_at(v + 4 * i) = second;
        wide_at(theta + 4 * i) = value;
        if (copy) four_at(copy + 4 * i) = rounded;
    }
    for (size_t i = 4 * fours + thread; i < n; i += threads) {
        update(gradient[i], m[i], v[i], theta[i]);
        if (copy) copy[i] = from_float<T>(theta[i]);
    }
}
#define ADAMW(T) \
    (float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n, const float* factors)
KERNEL_TYPES(adamw, adamw_step, ADAMW, (theta, copy, gradient, m, v, n, factors))
