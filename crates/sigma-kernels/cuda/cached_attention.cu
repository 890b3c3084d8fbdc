// Attention of one new token per row over the keys and values of its own row, forward only, and how the keys and values of whole
// prompts get there. A row keeps both as `[heads, capacity, width]`. Rows that are not running are left as they are.

#include "rows.cuh"
#include "scores.cuh"

// Appends the key and value of the row's new token at position lens[row], and writes softmax(q k^T / sqrt(width)) v over the
// tokens up to it. qkv `[rows, 3 heads width]` holds the rows' new queries, keys and values; `out` is `[rows, heads width]`.
// For any width: one warp per (row, head) pair, a lane per key. The dynamic shared memory holds `capacity` scores and `width` query
// numbers for each warp.
template <typename T>
__device__ void attend_to_cache(T* out, T* keys, T* values, const T* qkv, const unsigned* lens, const unsigned* states,
                                unsigned rows, unsigned heads, unsigned width, unsigned capacity) {
    DYNAMIC_SHARED(float, shared);
    const unsigned pair = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (pair >= rows * heads || states[pair / heads] != ROW_RUNNING) return;
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
        keys[(size_t)len * width + i] = q[d + i];
        values[(size_t)len * width + i] = q[2 * d + i];
    }
    __syncwarp();
    float top = -INFINITY;
    for (unsigned token = lane; token <= len; token += 32) {
        float score = 0.0f;
        for (unsigned i = 0; i < width; ++i) score = fmaf(query[i], to_float(keys[(size_t)token * width + i]), score);
        scores[token] = score;
        top = fmaxf(top, score);
    }
    attend_by_scores(out + (size_t)row * d + head * width, scores, len + 1, warp_max(top), values, width, width);
}
#define CACHED_ATTENTION(T)                                                                                             \
    (T* out, T* keys, T* values, const T* qkv, const unsigned* lens, const unsigned* states, unsigned rows, unsigned heads, \
     unsigned width, unsigned capacity)
KERNEL_TYPES(cached_attention, attend_to_cache, CACHED_ATTENTION,
             (out, keys, values, qkv, lens, states, rows, heads, width, capacity))

// More of them make a block's end longer without bringing in more of memory.
#define ATTENTION_WARPS 1
// Tokens that a lane has under way.
#define TOKENS_AT_ONCE 2

// A softmax over some of the tokens, as far as it has got: the largest score, the sum of exp(score - top), and so weighted sums of values.
template <unsigned COUNT> struct PartOfSoftmax {
    float top = -INFINITY, sum = 0.0f, totals[COUNT] = {};

    // Measures everything by `above`, which is no smaller than the top.
    __device__ __forceinline__ void raise(float above) {
        const float factor = top == above ? 1.0f : expf(top - above);
        top = above;
        sum *= factor;
        for (unsigned j = 0; j < COUNT; ++j) totals[j] *= factor;
    }
};

// The same for heads of whole 16 bytes: one block of ATTENTION_WARPS warps per (row, head) pair, in which `lanes` neighbours (a power of
// two, with 16 bytes each at least a head) read one token together, so that a warp asks for 512 bytes at a time. Each group of
// neighbours goes once through its tokens, keys and values together; what the groups found is put together at the end.
template <typename T>
__device__ void attend_to_cache_wide(T* out, T* keys, T* values, const T* qkv, const unsigned* lens, const unsigned* states,
                                     unsigned heads, unsigned width, unsigned capacity, unsigned lanes) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    SHARED(float, totals, [ATTENTION_WARPS * WARP * COUNT]);
    SHARED(float, tops, [ATTENTION_WARPS]);
    SHARED(float, sums, [ATTENTION_WARPS]);
    const unsigned row = blockIdx.x / heads, head = blockIdx.x % heads, d = heads * width, last = lens[row];
    if (states[row] != ROW_RUNNING) return;
    const unsigned group = threadIdx.x / lanes, groups = blockDim.x / lanes, mine = threadIdx.x % lanes * COUNT;
    // lanes beyond the head read its beginning again, and count for nothing
    const bool works = mine < width;
    const unsigned column = works ? mine : 0;
    const T* q = qkv + (size_t)row * 3 * d + head * width + column;
    keys += (size_t)blockIdx.x * capacity * width + column;
    values += (size_t)blockIdx.x * capacity * width + column;
    const Wide<T> asked = wide(q);
    const float scale = works ? 1.0f / sqrtf((float)width) : 0.0f;
    float query[COUNT];
    for (unsigned j = 0; j < COUNT; ++j) query[j] = to_float(asked.x[j]) * scale;
    if (group == 0 && works) {
        wide_at(keys + (size_t)last * width) = wide(q + d);
        wide_at(values + (size_t)last * width) = wide(q + 2 * d);
    }
    PartOfSoftmax<COUNT> part;
    for (unsigned first = group; first - group <= last; first += TOKENS_AT_ONCE * groups) {
        // all are asked for before the first is needed; from the last token on it is the new one, which may not lie in the cache yet
        Wide<T> key[TOKENS_AT_ONCE], value[TOKENS_AT_ONCE];
#pragma unroll
        for (unsigned k = 0; k < TOKENS_AT_ONCE; ++k) {
            const unsigned token = first + k * groups;
            key[k] = wide(token < last ? keys + (size_t)token * width : q + d);
            value[k] = wide(token < last ? values + (size_t)token * width : q + 2 * d);
        }
        float score[TOKENS_AT_ONCE], above = part.top;
#pragma unroll
        for (unsigned k = 0; k < TOKENS_AT_ONCE; ++k) {
            float product = 0.0f;
            for (unsigned j = 0; j < COUNT; ++j) product = fmaf(query[j], to_float(key[k].x[j]), product);
            for (unsigned by = lanes / 2; by > 0; by /= 2) product += __shfl_xor_sync(ALL_LANES, product, by);
            score[k] = first + k * groups <= last ? product : -INFINITY;
            above = fmaxf(above, score[k]);
        }
        part.raise(above);
#pragma unroll
        for (unsigned k = 0; k < TOKENS_AT_ONCE; ++k) {
            const float weight = first + k * groups <= last ? expf(score[k] - above) : 0.0f;
            part.sum += weight;
            for (unsigned j = 0; j < COUNT; ++j) part.totals[j] = fmaf(weight, to_float(value[k].x[j]), part.totals[j]);
        }
    }
    for (unsigned by = lanes; by < WARP; by *= 2) {
        part.raise(fmaxf(part.top, __shfl_xor_sync(ALL_LANES, part.top, by)));
        part.sum += __shfl_xor_sync(ALL_LANES, part.sum, by);
        for (unsigned j = 0; j < COUNT; ++j) part.totals[j] += __shfl_xor_sync(ALL_LANES, part.totals[j], by);
    }
    const unsigned warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP < lanes && works) {
        for (unsigned j = 0; j < COUNT; ++j) totals[warp * width + column + j] = part.totals[j];
    }
    if (threadIdx.x % WARP == 0) {
        tops[warp] = part.top;
        sums[warp] = part.sum;
    }
    __syncthreads();
    float top = tops[0];
    for (unsigned w = 1; w < ATTENTION_WARPS; ++w) top = fmaxf(top, tops[w]);
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        float total = 0.0f, sum = 0.0f;
        for (unsigned w = 0; w < ATTENTION_WARPS; ++w) {
            const float factor = tops[w] == top ? 1.0f : expf(tops[w] - top);
            total += totals[w * width + i] * factor;
            sum += sums[w] * factor;
        }
        out[(size_t)row * d + head * width + i] = from_float<T>(total / sum);
    }
}
#define CACHED_ATTENTION_WIDE(T)                                                                                         \
    (T* out, T* keys, T* values, const T* qkv, const unsigned* lens, const unsigned* states, unsigned heads, unsigned width, \
     unsigned capacity, unsigned lanes)
KERNEL_TYPES(cached_attention_wide, attend_to_cache_wide, CACHED_ATTENTION_WIDE,
             (out, keys, values, qkv, lens, states, heads, width, capacity, lanes))

// Stores the keys and values of prompts, which lie in qkv `[prompts, time, 3 heads width]`: the first lens[i] tokens of prompt i become
// the first of row targets[i]. One block per token.
template <typename T>
__device__ void fill_cache_from(T* keys, T* values, const T* qkv, const unsigned* targets, const unsigned* lens, unsigned time,
                                unsigned heads, unsigned width, unsigned capacity) {
    const unsigned prompt = blockIdx.x / time, token = blockIdx.x % time, d = heads * width;
    if (token >= lens[prompt]) return;
    const T* from = qkv + (size_t)blockIdx.x * 3 * d;
    const size_t first_head = (size_t)targets[prompt] * heads;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        const size_t at = ((first_head + i / width) * capacity + token) * width + i % width;
        keys[at] = from[d + i];
        values[at] = from[2 * d + i];
    }
}
#define FILL_CACHE(T)                                                                                              \
    (T* keys, T* values, const T* qkv, const unsigned* targets, const unsigned* lens, unsigned time, unsigned heads, \
     unsigned width, unsigned capacity)
KERNEL_TYPES(fill_cache, fill_cache_from, FILL_CACHE, (keys, values, qkv, targets, lens, time, heads, width, capacity))
