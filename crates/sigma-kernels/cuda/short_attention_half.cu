// The same as short_attention.cu in f16 and bf16, by tensor cores: factors in half precision, sums and softmax in f32. One block of four
// warps per (sequence, head) pair, each of which makes 16 rows of every product.
//
// Matrices of factors are `[64, TILE_STRIDE]` in shared memory, zero beyond the sequence's end and up to the next 16 columns beyond the
// head's width. What a warp makes of products passes through its 16 rows of `[64, SHORT_STRIDE]` numbers of f32.

// Elements from one row to the next: 16 bytes more than the row, so that the rows of a tile lie in different banks.
#define TILE_STRIDE 72u
#define TILE_MATRIX (SHORT * TILE_STRIDE)
#define TILE_BLOCK 128u

template <typename T> using LeftTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, T, nvcuda::wmma::row_major>;
template <typename T> using TurnedLeftTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, T, nvcuda::wmma::col_major>;
template <typename T> using RightTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, T, nvcuda::wmma::row_major>;
template <typename T> using TurnedRightTile = nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, T, nvcuda::wmma::col_major>;
using SumTile = nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float>;

// Copies a head's `width` columns of `time` rows, `stride` apart.
template <typename T> static __device__ __forceinline__ void tile_load(T* to, const T* from, unsigned time, unsigned width, unsigned stride) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    const unsigned pieces = (width + 15) / 16 * (16 / COUNT);
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < SHORT * pieces; i += TILE_BLOCK) {
        const unsigned row = i / pieces, column = i % pieces * COUNT;
        Wide<T> piece = {};
        if (row < time && column < width) piece = wide(from + (size_t)row * stride + column);
        wide_at(to + row * TILE_STRIDE + column) = piece;
    }
}

// The warp's rows of the scores a b^T, up to the diagonal, in `space`; and of these the calling lane's: half a row, 32 columns.
template <typename T>
static __device__ __forceinline__ void tile_scores(float (&mine)[32], float* space, const T* a, const T* b, unsigned width) {
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    float* rows = space + 16 * warp * SHORT_STRIDE;
    for (unsigned j = 0; j <= warp; ++j) {
        SumTile sum;
        nvcuda::wmma::fill_fragment(sum, 0.0f);
        for (unsigned k = 0; k < width; k += 16) {
            LeftTile<T> left;
            TurnedRightTile<T> right;
            nvcuda::wmma::load_matrix_sync(left, a + 16 * warp * TILE_STRIDE + k, TILE_STRIDE);
            nvcuda::wmma::load_matrix_sync(right, b + 16 * j * TILE_STRIDE + k, TILE_STRIDE);
            nvcuda::wmma::mma_sync(sum, left, right, sum);
        }
        nvcuda::wmma::store_matrix_sync(rows + 16 * j, sum, SHORT_STRIDE, nvcuda::wmma::mem_row_major);
    }
    __syncwarp();
    const float* own = rows + lane / 2 * SHORT_STRIDE + lane % 2 * 32;
#pragma unroll
    for (unsigned i = 0; i < 32; i += 4) {
        // beyond the diagonal's tiles nothing was written
        const bool written = lane % 2 * 32 + i < 16 * warp + 16;
        const Wide<float> four = written ? wide(own + i) : Wide<float>{};
        for (unsigned j = 0; j < 4; ++j) mine[i + j] = four.x[j];
    }
    __syncwarp();
}

// The softmax of the lane's half of a row of scores, over the keys up to the query's own; 0 beyond.
static __device__ __forceinline__ void tile_softmax(float (&mine)[32], float scale) {
    const unsigned lane = threadIdx.x % WARP, row = threadIdx.x / 2, first = lane % 2 * 32;
    float top = -INFINITY, sum = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < 32; ++i) {
        mine[i] = first + i <= row ? mine[i] * scale : -INFINITY;
        top = fmaxf(top, mine[i]);
    }
    top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
#pragma unroll
    for (unsigned i = 0; i < 32; ++i) sum += mine[i] = expf(mine[i] - top);
    const float norm = 1.0f / (sum + __shfl_xor_sync(ALL_LANES, sum, 1));
#pragma unroll
    for (unsigned i = 0; i < 32; ++i) mine[i] *= norm;
}

// The lane's half of a row, as factors.
template <typename T> static __device__ __forceinline__ void tile_keep(T* to, const float (&mine)[32]) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    T* own = to + threadIdx.x / 2 * TILE_STRIDE + threadIdx.x % 2 * 32;
#pragma unroll
    for (unsigned i = 0; i < 32; i += COUNT) {
        Wide<T> piece;
        for (unsigned j = 0; j < COUNT; ++j) piece.x[j] = from_float<T>(mine[i + j]);
        wide_at(own + i) = piece;
    }
}

// The warp's rows of weights b: over the tiles up to the diagonal, or, where the weights are TURNED, from the diagonal on; through `space` to
// the rows of a head's columns in memory.
template <bool TURNED, typename T>
static __device__ __forceinline__ void tile_weighted(T* to, float* space, const T* weights, const T* b, float scale, unsigned time,
                                                     unsigned width, unsigned stride) {
    constexpr unsigned COUNT = Wide<T>::COUNT;
    const unsigned warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    float* rows = space + 16 * warp * SHORT_STRIDE;
    SumTile sums[4];
#pragma unroll
    for (unsigned n = 0; n < 4; ++n) nvcuda::wmma::fill_fragment(sums[n], 0.0f);
    for (unsigned k = TURNED ? warp : 0; k <= (TURNED ? 3 : warp); ++k) {
        LeftTile<T> left;
        TurnedLeftTile<T> turned;
        if (TURNED) {
            nvcuda::wmma::load_matrix_sync(turned, weights + 16 * k * TILE_STRIDE + 16 * warp, TILE_STRIDE);
        } else {
            nvcuda::wmma::load_matrix_sync(left, weights + 16 * warp * TILE_STRIDE + 16 * k, TILE_STRIDE);
        }
#pragma unroll
        for (unsigned n = 0; n < 4; ++n) {
            if (16 * n >= width) continue;
            RightTile<T> right;
            nvcuda::wmma::load_matrix_sync(right, b + 16 * k * TILE_STRIDE + 16 * n, TILE_STRIDE);
            if (TURNED) {
                nvcuda::wmma::mma_sync(sums[n], turned, right, sums[n]);
            } else {
                nvcuda::wmma::mma_sync(sums[n], left, right, sums[n]);
            }
        }
    }
#pragma unroll
    for (unsigned n = 0; n < 4; ++n) {
        if (16 * n < width) nvcuda::wmma::store_matrix_sync(rows + 16 * n, sums[n], SHORT_STRIDE, nvcuda::wmma::mem_row_major);
    }
    __syncwarp();
    const unsigned pieces = width / COUNT;
    for (unsigned i = lane; i < 16 * pieces; i += WARP) {
        const unsigned row = i / pieces, column = i % pieces * COUNT;
        if (16 * warp + row >= time) break;
        Wide<T> piece;
        for (unsigned j = 0; j < COUNT; ++j) piece.x[j] = from_float<T>(rows[row * SHORT_STRIDE + column + j] * scale);
        wide_at(to + (size_t)(16 * warp + row) * stride + column) = piece;
    }
    __syncwarp();
}

// The dynamic shared memory holds 3 matrices of factors and one of f32.
template <typename T>
static __device__ __forceinline__ void attend_by_tiles(T* out, const T* qkv, unsigned heads, unsigned time, unsigned width) {
    DYNAMIC_SHARED(float, space);
    T *q = reinterpret_cast<T*>(space + SHORT_MATRIX), *k = q + TILE_MATRIX, *v = k + TILE_MATRIX;
    const ShortPair pair = short_pair(heads, time, width);
    const unsigned d = pair.d;
    qkv += pair.qkv;
    tile_load(q, qkv, time, width, 3 * d);
    tile_load(k, qkv + d, time, width, 3 * d);
    tile_load(v, qkv + 2 * d, time, width, 3 * d);
    __syncthreads();
    float mine[32];
    tile_scores(mine, space, q, k, width);
    tile_softmax(mine, 1.0f / sqrtf((float)width));
    // the warp's queries are needed no more, and nobody else reads them
    T* p = q;
    tile_keep(p, mine);
    __syncwarp();
    tile_weighted<false>(out + pair.out, space, p, v, 1.0f, time, width, d);
}
KERNEL(short_attention_f16, SHORT_ATTENTION(__half), (out, qkv, heads, time, width)) {
    attend_by_tiles(out, qkv, heads, time, width);
}
KERNEL(short_attention_bf16, SHORT_ATTENTION(__nv_bfloat16), (out, qkv, heads, time, width)) {
    attend_by_tiles(out, qkv, heads, time, width);
}

// The dynamic shared memory holds 6 matrices of factors and one of f32.
template <typename T>
static __device__ __forceinline__ void attend_by_tiles_backward(T* dqkv, const T* dout, const T* qkv, unsigned heads, unsigned time,
                                                                unsigned width) {
    DYNAMIC_SHARED(float, space);
    T *q = reinterpret_cast<T*>(space + SHORT_MATRIX), *k = q + TILE_MATRIX, *v = k + TILE_MATRIX;
    T *dattended = v + TILE_MATRIX, *p = dattended + TILE_MATRIX, *ds = p + TILE_MATRIX;
    const ShortPair pair = short_pair(heads, time, width);
    const unsigned d = pair.d;
    const float scale = 1.0f / sqrtf((float)width);
    qkv += pair.qkv;
    dqkv += pair.qkv;
    tile_load(q, qkv, time, width, 3 * d);
    tile_load(k, qkv + d, time, width, 3 * d);
    tile_load(v, qkv + 2 * d, time, width, 3 * d);
    tile_load(dattended, dout + pair.out, time, width, d);
    __syncthreads();
    float shares[32], dshares[32];
    tile_scores(shares, space, q, k, width);
    tile_softmax(shares, scale);
    tile_keep(p, shares);
    tile_scores(dshares, space, dattended, v, width);
    float sum = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < 32; ++i) sum += shares[i] * dshares[i];
    sum += __shfl_xor_sync(ALL_LANES, sum, 1);
#pragma unroll
    for (unsigned i = 0; i < 32; ++i) dshares[i] = shares[i] * (dshares[i] - sum);
    tile_keep(ds, dshares);
    __syncthreads();
    tile_weighted<false>(dqkv, space, ds, k, scale, time, width, 3 * d);
    tile_weighted<true>(dqkv + d, space, ds, q, scale, time, width, 3 * d);
    tile_weighted<true>(dqkv + 2 * d, space, p, dattended, 1.0f, time, width, 3 * d);
}
KERNEL(short_attention_backward_f16, SHORT_ATTENTION_BACKWARD(__half), (dqkv, dout, qkv, heads, time, width)) {
    attend_by_tiles_backward(dqkv, dout, qkv, heads, time, width);
}
KERNEL(short_attention_backward_bf16, SHORT_ATTENTION_BACKWARD(__nv_bfloat16), (dqkv, dout, qkv, heads, time, width)) {
    attend_by_tiles_backward(dqkv, dout, qkv, heads, time, width);
}
