// One step of AdamW with decoupled weight decay over all parameters in one launch, as src/adamw.rs does it, if the step counts.
// `factors` come from plan_update.cu; `copy` (null for f32) gets the new parameters in the precision of products.

template <typename T>
__device__ void adamw_step(float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n,
                           const float* factors) {
    if (factors[9] == 0.0f) return;
    const float gradient_scale = factors[0], beta1 = factors[1], beta2 = factors[2], one_minus_beta1 = factors[3];
    const float one_minus_beta2 = factors[4], keep = factors[5], rate = factors[6], root_correction = factors[7];
    const float epsilon = factors[8];
    const size_t step = (size_t)gridDim.x * blockDim.x;
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const float g = gradient[i] * gradient_scale;
        const float first = beta1 * m[i] + one_minus_beta1 * g;
        const float second = beta2 * v[i] + one_minus_beta2 * g * g;
        const float value = keep * theta[i] - rate * first / (sqrtf(second) * root_correction + epsilon);
        m[i] = first;
        v[i] = second;
        theta[i] = value;
        if (copy) copy[i] = from_float<T>(value);
    }
}
#define ADAMW(T) \
    (float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n, const float* factors)
KERNEL_TYPES(adamw, adamw_step, ADAMW, (theta, copy, gradient, m, v, n, factors))
