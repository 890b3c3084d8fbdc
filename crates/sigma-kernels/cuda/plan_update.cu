// What loss and gradients of a step lead to, decided where they are so that the device never waits for the host: whether the step
// counts, how far the update goes, and the next loss scale, as src/loss_scale.rs and src/adamw.rs have it.

// As Rust's powi: the same products in the same order.
static __device__ double power(double base, unsigned long long exponent) {
    double result = 1.0;
    for (;;) {
        if (exponent & 1) result *= base;
        exponent /= 2;
        if (exponent == 0) return result;
        base *= base;
    }
}

// One thread. `state` holds the loss scale, the good steps since it moved, and the updates made; `found` the loss and the norm of the
// gradients, which carry the scale, and `outcome` keeps both. `clip_norm` 0 means no clipping. After `growth_interval` good steps the
// scale doubles (0: it never moves). `factors` gets what the kernel `adamw` reads.
KERNEL(plan_update,
       (float* factors, double* state, double* outcome, const double* found, unsigned growth_interval, double learning_rate,
        double weight_decay, double beta1, double beta2, double epsilon, double clip_norm),
       (factors, state, outcome, found, growth_interval, learning_rate, weight_decay, beta1, beta2, epsilon, clip_norm)) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    outcome[0] = found[0];
    outcome[1] = found[1];

    const bool counts = isfinite(found[0]) && isfinite(found[1]);
    factors[9] = counts ? 1.0f : 0.0f;
    if (!counts) {
        state[1] = 0.0;
        if (growth_interval != 0) state[0] /= 2.0;
        return;
    }
    const double scale = state[0];
    double clip = 1.0;
    if (clip_norm != 0.0) {
        clip = clip_norm / (found[1] / scale + 1e-6);
        clip = clip < 1.0 ? clip : 1.0;
    }
    const unsigned long long number = (unsigned long long)state[2] + 1;
    state[2] = (double)number;
    factors[0] = (float)(clip / scale);
    factors[1] = (float)beta1;
    factors[2] = (float)beta2;
    factors[3] = (float)(1.0 - beta1);
    factors[4] = (float)(1.0 - beta2);
    factors[5] = (float)(1.0 - learning_rate * weight_decay);
    factors[6] = (float)(learning_rate / (1.0 - power(beta1, number)));
    factors[7] = (float)(1.0 / sqrt(1.0 - power(beta2, number)));
    factors[8] = (float)epsilon;

    state[1] += 1.0;
    if (growth_interval != 0 && state[1] == (double)growth_interval) {
        state[0] *= 2.0;
        state[1] = 0.0;
    }
}
