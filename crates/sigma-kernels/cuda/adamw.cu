// One step of AdamW with decoupled weight decay over all parameters in one launch, as src/adamw.rs does it. `copy` (null for f32)
// gets the new parameters in the precision of products.

template <typename T>
__device__ void adamw_step(float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n,
                           float gradient_scale, float beta1, float beta2, float one_minus_beta1, float one_minus_beta2,
                           float keep, float rate, float root_correction, float epsilon) {
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
#define ADAMW(T)                                                                                                      \
    (float* theta, T* copy, const float* gradient, float* m, float* v, unsigned long long n, float gradient_scale,    \
     float beta1, float beta2, float one_minus_beta1, float one_minus_beta2, float keep, float rate,                  \
     float root_correction, float epsilon)
KERNEL_TYPES(adamw, adamw_step, ADAMW,
             (theta, copy, gradient, m, v, n, gradient_scale, beta1, beta2, one_minus_beta1, one_minus_beta2, keep, rate,
              root_correction, epsilon))
