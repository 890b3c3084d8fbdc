// Attention of one new token per row over the keys and values of its own row, forward only: one warp per (row, head) pair. And how the
// keys and values of whole prompts get there: one block per token.
//
// A row keeps its keys as `[heads, capacity / 32, width, 32]`: 32 tokens side by side for each dimension, so that a warp reads them
// in one piece and a lane's score grows without sums across lanes. Values are `[heads, capacity, width]`.

#include "scores.cuh"

// Appends the key and value of the row's new token at position lens[row], and writes softmax(q k^T / sqrt(width)) v over the
// tokens up to it. qkv `[rows, 3 heads width]` holds the rows' new queries, keys and values; `out` is `[rows, heads width]`.
// The dynamic shared memory holds `capacity` scores and `width` query numbers for each warp.
template <typename T>
__device__ void attend_to_cache(T* out, T* keys, T* values, const T* qkv, const unsigned* lens, unsigned rows, unsigned heads,
                                unsigned width, unsigned capacity) {
    DYNAMIC_SHARED(float, shared);
    const unsigned pair = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (pair >= rows * heads) return;
    float* scores = shared + (threadIdx.x / 32) * (capacity + width);
    float* query = scores + capacity;
    const unsigned row = pair / heads, head = pair % heads, d = heads * width;
    const unsigned len = lens[row];
    const T* q = qkv + (size_t)row * 3 * d + head * width;
    keys += (size_t)pair * capacity * width;
    values += (size_t)pair * capacity * width;
    const float scale = 1.0f / sqrtf((float)width);
    for (unsigned i = lane; i < width; i += 32) {
        query[i] = to_float(q[i]) * scale;
        keys[((size_t)(len / 32) * width + i) * 32 + len % 32] = q[d + i];
        values[(size_t)len * width + i] = q[2 * d + i];
    }
    __syncwarp();
    const unsigned n = len + 1;
    float top = -INFINITY;
    for (unsigned first = 0; first < n; first += 32) {
        const T* group = keys + (size_t)first * width + lane;
        float score = 0.0f;
        for (unsigned i = 0; i < width; ++i) score = fmaf(query[i], to_float(group[i * 32]), score);
        if (first + lane < n) {
            scores[first + lane] = score;
            top = fmaxf(top, score);
        }
    }
    attend_by_scores(out + (size_t)row * d + head * width, scores, n, warp_max(top), values, width, width);
}
#define CACHED_ATTENTION(T)                                                                                             \
    (T* out, T* keys, T* values, const T* qkv, const unsigned* lens, unsigned rows, unsigned heads, unsigned width, \
     unsigned capacity)
KERNEL_TYPES(cached_attention, attend_to_cache, CACHED_ATTENTION, (out, keys, values, qkv, lens, rows, heads, width, capacity))

// Stores the keys and values of prompts, which lie in qkv `[prompts, time, 3 heads width]`: the first lens[i] tokens of prompt i become
// the first of row targets[i].
template <typename T>
__device__ void fill_cache_from(T* keys, T* values, const T* qkv, const unsigned* targets, const unsigned* lens, unsigned time,
                                unsigned heads, unsigned width, unsigned capacity) {
    const unsigned prompt = blockIdx.x / time, token = blockIdx.x % time, d = heads * width;
    if (token >= lens[prompt]) return;
    const T* from = qkv + (size_t)blockIdx.x * 3 * d;
    const size_t first_head = (size_t)targets[prompt] * heads;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        const size_t pair = (first_head + i / width) * capacity * width;
        keys[pair + ((size_t)(token / 32) * width + i % width) * 32 + token % 32] = from[d + i];
        values[pair + (size_t)token * width + i % width] = from[2 * d + i];
    }
}
#define FILL_CACHE(T)                                                                                              \
    (T* keys, T* values, const T* qkv, const unsigned* targets, const unsigned* lens, unsigned time, unsigned heads, \
     unsigned width, unsigned capacity)
KERNEL_TYPES(fill_cache, fill_cache_from, FILL_CACHE, (keys, values, qkv, targets, lens, time, heads, width, capacity))
