// Attention of whole texts of different lengths in which every token sees every other, forward only. The tokens of all texts lie one after
// another in qkv `[tokens, 3 heads width]`.

#include "scores.cuh"

// out = softmax(q k^T / sqrt(width)) v per head; the tokens of token i's text are begins[i] .. ends[i]. For any width: one warp per token and
// head. The dynamic shared memory holds `longest` scores for each warp.
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

// The same in f32 for heads of whole 16 bytes and up to 64 numbers: one block of 256 threads per head (blockIdx.y) and tile of up to 64
// queries of one text, which goes once through the text's keys and values, 64 at a time. Of tile t, tiles[3 t ..] are its first query,
// and where its text begins and ends. The dynamic shared memory holds 3 matrices of short_attention.cu.
static __device__ void attend_by_tile(float* out, const float* qkv, const unsigned* tiles, unsigned heads, unsigned width) {
    DYNAMIC_SHARED(float, q);
    float *k = q + SHORT_MATRIX, *v = k + SHORT_MATRIX, *p = k;
    const unsigned first = tiles[3 * blockIdx.x], begin = tiles[3 * blockIdx.x + 1], end = tiles[3 * blockIdx.x + 2];
    const unsigned d = heads * width, queries = end - first < SHORT ? end - first : SHORT;
    const ShortPlace at = short_place();
    qkv += blockIdx.y * width;
    short_load(q, qkv + (size_t)first * 3 * d, queries, width, 3 * d);
    const float scale = 1.0f / sqrtf((float)width);
    // as far as each of the thread's rows has got: the largest score, the sum of exp(score - top), and so weighted sums of values
    float tops[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY}, sums[4] = {}, attended[4][4] = {};
    for (unsigned key = begin; key < end; key += SHORT) {
        const unsigned keys = end - key < SHORT ? end - key : SHORT;
        __syncthreads();
        short_load(k, qkv + (size_t)key * 3 * d + d, keys, width, 3 * d);
        short_load(v, qkv + (size_t)key * 3 * d + 2 * d, keys, width, 3 * d);
        __syncthreads();
        float scores[4][4] = {};
        short_scores<false>(scores, q, k, width);
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            float top = tops[i], sum = 0.0f;
#pragma unroll
            for (unsigned j = 0; j < 4; ++j) {
                scores[i][j] = at.x + 16 * j < keys ? scores[i][j] * scale : -INFINITY;
                top = fmaxf(top, scores[i][j]);
            }
            top = short_reduce<Max>(top);
            const float factor = expf(tops[i] - top);
#pragma unroll
            for (unsigned j = 0; j < 4; ++j) {
                sum += scores[i][j] = expf(scores[i][j] - top);
                attended[i][j] *= factor;
            }
            sums[i] = sums[i] * factor + short_reduce<Sum>(sum);
            tops[i] = top;
        }
        // the keys are needed no more
        __syncthreads();
        short_keep<false>(p, scores);
        __syncthreads();
        if (4 * at.x < width) short_weighted<false>(attended, p, v);
    }
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        for (unsigned j = 0; j < 4; ++j) attended[i][j] /= sums[i];
    }
    out += (size_t)first * d + blockIdx.y * width;
    short_store(out, attended, 1.0f, queries, width, d, [&](unsigned i) { return at.y + 16 * i; });
}
#define FULL_ATTENTION_TILED (float* out, const float* qkv, const unsigned* tiles, unsigned heads, unsigned width)
KERNEL(full_attention_tiled, FULL_ATTENTION_TILED, (out, qkv, tiles, heads, width)) { attend_by_tile(out, qkv, tiles, heads, width); }
