// Attention of whole texts of different lengths in which every token sees every other, forward only. One warp per token and head.

#include "scores.cuh"

// out = softmax(q k^T / sqrt(width)) v per head. The tokens of all texts lie one after another in qkv `[tokens, 3 heads width]`;
// those of token i's text are begins[i] .. ends[i]. The dynamic shared memory holds `longest` scores for each warp.
template <typename T>
__device__ void attend_to_all(T* out, const T* qkv, const unsigned* begins, const unsigned* ends, unsigned tokens, unsigned heads,
                              unsigned width, unsigned longest) {
    DYNAMIC_SHARED(float, shared);
    const unsigned pair = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (pair >= tokens * heads) return;
    float* scores = shared + (threadIdx.x / 32) * longest;
    const unsigned token = pair / heads, head = pair % heads, d = heads * width;
    const unsigned begin = begins[token], n = ends[token] - begin;
    const T* q = qkv + (size_t)token * 3 * d + head * width;
    const T* k = qkv + (size_t)begin * 3 * d + d + head * width;
    const T* v = k + d;
    const float scale = 1.0f / sqrtf((float)width);
    float top = -INFINITY;
    for (unsigned i = lane; i < n; i += 32) {
        float score = 0.0f;
        for (unsigned j = 0; j < width; ++j) score = fmaf(to_float(q[j]), to_float(k[(size_t)i * 3 * d + j]), score);
        scores[i] = score * scale;
        top = fmaxf(top, score * scale);
    }
    attend_by_scores(out + (size_t)token * d + head * width, scores, n, warp_max(top), v, 3 * d, width);
}
#define FULL_ATTENTION(T)                                                                                                   \
    (T* out, const T* qkv, const unsigned* begins, const unsigned* ends, unsigned tokens, unsigned heads, unsigned width, \
     unsigned longest)
KERNEL_TYPES(full_attention, attend_to_all, FULL_ATTENTION, (out, qkv, begins, ends, tokens, heads, width, longest))
