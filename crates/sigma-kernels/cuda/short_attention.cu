// Causal attention of whole sequences of up to 64 tokens by heads of up to 64 numbers, forward and backward, without anything in memory
// between queries and results. One block of 256 threads per (sequence, head) pair: 16 x 16 threads, each of which makes 4 x 4 numbers
// of every product. In f32; short_attention_half.cu is for half precision. Longer sequences go through batched products and attention.cu.
//
// In shared memory all matrices are `[64, SHORT_STRIDE]`, zero beyond the sequence's end. What lies above the diagonal of the scores
// is skipped 16 x 16 numbers at a time.

#define SHORT 64u
#define SHORT_STRIDE 68u
#define SHORT_MATRIX (SHORT * SHORT_STRIDE)

// The calling thread's place: it has the rows (or columns) y, y + 16, y + 32, y + 48 or 4 y .. 4 y + 4 of a product, and x likewise.
struct ShortPlace {
    unsigned x, y;
};

static __device__ __forceinline__ ShortPlace short_place() { return {threadIdx.x % 16, threadIdx.x / 16}; }

// The block's (sequence, head) pair: the model's width, and where the pair's numbers begin among queries, keys and values, and among results.
struct ShortPair {
    unsigned d;
    size_t qkv, out;
};

static __device__ __forceinline__ ShortPair short_pair(unsigned heads, unsigned time, unsigned width) {
    const unsigned d = heads * width, head = blockIdx.x % heads * width;
    const size_t row = (size_t)(blockIdx.x / heads) * time;
    return {d, row * 3 * d + head, row * d + head};
}

// Copies a head's `width` columns of `time` rows, `stride` apart.
template <typename T> static __device__ void short_load(float* to, const T* from, unsigned time, unsigned width, unsigned stride) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    const unsigned pieces = width / COUNT;
    for (unsigned i = threadIdx.x; i < SHORT * pieces; i += blockDim.x) {
        const unsigned row = i / pieces, column = i % pieces * COUNT;
        float* place = to + row * SHORT_STRIDE + column;
        if (row < time) {
            const Wide<T> piece = wide(from + (size_t)row * stride + column);
            for (unsigned k = 0; k < COUNT; ++k) place[k] = to_float(piece.x[k]);
        } else {
            for (unsigned k = 0; k < COUNT; ++k) place[k] = 0.0f;
        }
    }
}

// Writes the thread's 4 x 4 numbers in the rows of `row(i)` and the columns 4 x .. 4 x + 4.
template <typename T, typename Row>
static __device__ __forceinline__ void short_store(T* to, const float (&c)[4][4], float scale, unsigned time, unsigned width,
                                                   unsigned stride, const Row& row) {
    const unsigned column = 4 * short_place().x;
    if (column >= width) return;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        if (row(i) >= time) continue;
        Four<T> four;
        for (unsigned j = 0; j < 4; ++j) four.x[j] = from_float<T>(c[i][j] * scale);
        four_at(to + (size_t)row(i) * stride + column) = four;
    }
}

// c[i][j] = the product of row y + 16 i of a and row x + 16 j of b; if CAUSAL only where j <= i.
template <bool CAUSAL = true>
static __device__ __forceinline__ void short_scores(float (&c)[4][4], const float* a, const float* b, unsigned width) {
    const ShortPlace at = short_place();
    for (unsigned k = 0; k < width; k += 4) {
        Wide<float> left[4], right[4];
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
            left[i] = wide(a + (at.y + 16 * i) * SHORT_STRIDE + k);
            right[i] = wide(b + (at.x + 16 * i) * SHORT_STRIDE + k);
        }
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
#pragma unroll
            for (unsigned j = 0; j <= (CAUSAL ? i : 3); ++j) {
#pragma unroll
                for (unsigned n = 0; n < 4; ++n) c[i][j] = fmaf(left[i].x[n], right[j].x[n], c[i][j]);
            }
        }
    }
}

// The sum or maximum over the 16 threads of a row.
template <typename Operation> static __device__ __forceinline__ float short_reduce(float value) {
    for (unsigned by = 8; by > 0; by /= 2) value = Operation()(value, __shfl_xor_sync(ALL_LANES, value, by));
    return value;
}

// Turns scores into their softmax over the keys up to the query's own; 0 beyond.
static __device__ __forceinline__ void short_softmax(float (&c)[4][4], float scale) {
    const ShortPlace at = short_place();
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        float top = -INFINITY, sum = 0.0f;
#pragma unroll
        for (unsigned j = 0; j <= i; ++j) {
            const bool seen = at.x + 16 * j <= at.y + 16 * i;
            c[i][j] = seen ? c[i][j] * scale : -INFINITY;
            top = fmaxf(top, c[i][j]);
        }
        top = short_reduce<Max>(top);
#pragma unroll
        for (unsigned j = 0; j <= i; ++j) sum += c[i][j] = expf(c[i][j] - top);
        const float norm = 1.0f / short_reduce<Sum>(sum);
#pragma unroll
        for (unsigned j = 0; j <= i; ++j) c[i][j] *= norm;
    }
}

// Puts the thread's scores into a matrix.
template <bool CAUSAL = true> static __device__ __forceinline__ void short_keep(float* to, const float (&c)[4][4]) {
    const ShortPlace at = short_place();
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
#pragma unroll
        for (unsigned j = 0; j <= (CAUSAL ? i : 3); ++j) to[(at.y + 16 * i) * SHORT_STRIDE + at.x + 16 * j] = c[i][j];
    }
}

// c[i][j] += row y + 16 i of the weights, if CAUSAL up to the diagonal's block, times column 4 x + j of b.
template <bool CAUSAL = true>
static __device__ __forceinline__ void short_weighted(float (&c)[4][4], const float* weights, const float* b) {
    const ShortPlace at = short_place();
#pragma unroll
    for (unsigned block = 0; block < 4; ++block) {
        for (unsigned k = 16 * block; k < 16 * block + 16; k += 4) {
            Wide<float> right[4];
#pragma unroll
            for (unsigned n = 0; n < 4; ++n) right[n] = wide(b + (k + n) * SHORT_STRIDE + 4 * at.x);
#pragma unroll
            for (unsigned i = CAUSAL ? block : 0; i < 4; ++i) {
                const Wide<float> left = wide(weights + (at.y + 16 * i) * SHORT_STRIDE + k);
#pragma unroll
                for (unsigned n = 0; n < 4; ++n) {
#pragma unroll
                    for (unsigned j = 0; j < 4; ++j) c[i][j] = fmaf(left.x[n], right[n].x[j], c[i][j]);
                }
            }
        }
    }
}

// c[i][j] += column 4 y + i of the weights, below the diagonal's blocks, times column 4 x + j of b.
static __device__ __forceinline__ void short_weighted_transposed(float (&c)[4][4], const float* weights, const float* b) {
    const ShortPlace at = short_place();
#pragma unroll 4
    for (unsigned row = at.y / 4 * 16; row < SHORT; ++row) {
        const Wide<float> left = wide(weights + row * SHORT_STRIDE + 4 * at.y), right = wide(b + row * SHORT_STRIDE + 4 * at.x);
#pragma unroll
        for (unsigned i = 0; i < 4; ++i) {
#pragma unroll
            for (unsigned j = 0; j < 4; ++j) c[i][j] = fmaf(left.x[i], right.x[j], c[i][j]);
        }
    }
}

// out `[sequences, time, heads width]` from qkv `[sequences, time, 3 heads width]`. The dynamic shared memory holds 3 matrices.
template <typename T>
__device__ void attend_shortly(T* out, const T* qkv, unsigned heads, unsigned time, unsigned width) {
    DYNAMIC_SHARED(float, q);
    float *k = q + SHORT_MATRIX, *v = k + SHORT_MATRIX;
    const ShortPair pair = short_pair(heads, time, width);
    const unsigned d = pair.d;
    qkv += pair.qkv;
    short_load(q, qkv, time, width, 3 * d);
    short_load(k, qkv + d, time, width, 3 * d);
    short_load(v, qkv + 2 * d, time, width, 3 * d);
    __syncthreads();
    float scores[4][4] = {}, attended[4][4] = {};
    short_scores(scores, q, k, width);
    short_softmax(scores, 1.0f / sqrtf((float)width));
    // the queries are needed no more
    __syncthreads();
    float* p = q;
    short_keep(p, scores);
    __syncthreads();
    const unsigned y = short_place().y;
    if (4 * short_place().x < width) short_weighted(attended, p, v);
    short_store(out + pair.out, attended, 1.0f, time, width, d, [&](unsigned i) { return y + 16 * i; });
}
#define SHORT_ATTENTION(T) (T* out, const T* qkv, unsigned heads, unsigned time, unsigned width)
KERNEL(short_attention_f32, SHORT_ATTENTION(float), (out, qkv, heads, time, width)) {
    attend_shortly(out, qkv, heads, time, width);
}

// dqkv from qkv and the gradient dout of the results. With P the softmax and O = P V: dV = P^T dO, dP = dO V^T,
// dS = P * (dP - rowsum(P * dP)), dQ = dS K / sqrt(width), dK = dS^T Q / sqrt(width). The dynamic shared memory holds 5 matrices.
template <typename T>
__device__ void attend_shortly_backward(T* dqkv, const T* dout, const T* qkv, unsigned heads, unsigned time, unsigned width) {
    DYNAMIC_SHARED(float, q);
    float *k = q + SHORT_MATRIX, *v = k + SHORT_MATRIX, *dattended = v + SHORT_MATRIX, *p = dattended + SHORT_MATRIX;
    const ShortPair pair = short_pair(heads, time, width);
    const unsigned d = pair.d;
    const float scale = 1.0f / sqrtf((float)width);
    qkv += pair.qkv;
    dqkv += pair.qkv;
    short_load(q, qkv, time, width, 3 * d);
    short_load(k, qkv + d, time, width, 3 * d);
    short_load(v, qkv + 2 * d, time, width, 3 * d);
    short_load(dattended, dout + pair.out, time, width, d);
    __syncthreads();
    float shares[4][4] = {}, dshares[4][4] = {};
    short_scores(shares, q, k, width);
    short_softmax(shares, scale);
    short_keep(p, shares);
    short_scores(dshares, dattended, v, width);
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        float sum = 0.0f;
#pragma unroll
        for (unsigned j = 0; j <= i; ++j) sum += shares[i][j] * dshares[i][j];
        sum = short_reduce<Sum>(sum);
#pragma unroll
        for (unsigned j = 0; j <= i; ++j) dshares[i][j] = shares[i][j] * (dshares[i][j] - sum);
    }
    // the values are needed no more
    __syncthreads();
    float* ds = v;
    short_keep(ds, dshares);
    __syncthreads();
    if (4 * short_place().x >= width) return;
    const unsigned y = short_place().y;
    const auto spread = [&](unsigned i) { return y + 16 * i; };
    const auto together = [&](unsigned i) { return 4 * y + i; };
    float dq[4][4] = {}, dk[4][4] = {}, dv[4][4] = {};
    short_weighted(dq, ds, k);
    short_store(dqkv, dq, scale, time, width, 3 * d, spread);
    short_weighted_transposed(dk, ds, q);
    short_store(dqkv + d, dk, scale, time, width, 3 * d, together);
    short_weighted_transposed(dv, p, dattended);
    short_store(dqkv + 2 * d, dv, 1.0f, time, width, 3 * d, together);
}
#define SHORT_ATTENTION_BACKWARD(T) (T* dqkv, const T* dout, const T* qkv, unsigned heads, unsigned time, unsigned width)
KERNEL(short_attention_backward_f32, SHORT_ATTENTION_BACKWARD(float), (dqkv, dout, qkv, heads, time, width)) {
    attend_shortly_backward(dqkv, dout, qkv, heads, time, width);
}
