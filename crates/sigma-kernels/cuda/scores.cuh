// What a warp makes of the scores of one query: their softmax, and the values weighted by it.
#pragma once

// out[0 .. width] = sum over i < n of softmax(scores)[i] values[i * stride ..]. `top` is the largest score; lane l has written the scores
// l, l + 32, ..., which are overwritten.
template <typename T>
__device__ __forceinline__ void attend_by_scores(T* out, float* scores, unsigned n, float top, const T* values, size_t stride,
                                                 unsigned width) {
    const unsigned lane = threadIdx.x % WARP;
    float sum = 0.0f;
    for (unsigned i = lane; i < n; i += WARP) {
        const float weight = expf(scores[i] - top);
        scores[i] = weight;
        sum += weight;
    }
    const float norm = 1.0f / warp_sum(sum);
    __syncwarp();
    for (unsigned column = lane; column < width; column += WARP) {
        float total = 0.0f;
        for (unsigned i = 0; i < n; ++i) total = fmaf(scores[i], to_float(values[i * stride + column]), total);
        out[column] = from_float<T>(total * norm);
    }
}
