// The mean of each text's states, 0 for a text without any. One block per text.

// pooled[text, :] = the mean of the rows starts[text] .. starts[text + 1] of states.
KERNEL(mean_pool, (float* pooled, const float* states, const unsigned* starts, unsigned d), (pooled, states, starts, d)) {
    const unsigned begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    const float count = end > begin ? (float)(end - begin) : 1.0f;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        float sum = 0.0f;
        for (unsigned row = begin; row < end; ++row) sum += states[(size_t)row * d + i];
        pooled[(size_t)blockIdx.x * d + i] = sum / count;
    }
}
