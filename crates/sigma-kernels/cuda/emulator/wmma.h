// Products of 16 x 16 matrices by a warp together, as nvcuda::wmma has them: f16 or bf16 factors, f32 sums. What a lane holds of a matrix
// is no more part of the real interface than it is here: each lane makes 8 of the 256 results.

#pragma once

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

template <typename Use, int M, int N, int K, typename T, typename Layout = void> struct fragment;

// The lane's row of the left factor.
template <typename T, typename Layout> struct fragment<matrix_a, 16, 16, 16, T, Layout> {
    float x[16];
};
// The lane's 8 columns of the right factor.
template <typename T, typename Layout> struct fragment<matrix_b, 16, 16, 16, T, Layout> {
    float x[16][8];
};
template <> struct fragment<accumulator, 16, 16, 16, float> {
    float x[8];
};

inline unsigned lane() { return threadIdx.x % emulator::LANES; }
inline unsigned row() { return lane() / 2; }
inline unsigned column() { return lane() % 2 * 8; }

inline float widened(__half x) { return __half2float(x); }
inline float widened(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename Layout> inline size_t at(unsigned row, unsigned column, unsigned stride) {
    return std::is_same<Layout, row_major>::value ? size_t(row) * stride + column : size_t(column) * stride + row;
}

inline void fill_fragment(fragment<accumulator, 16, 16, 16, float>& c, float value) {
    for (float& x : c.x) x = value;
}

template <typename T, typename Layout>
inline void load_matrix_sync(fragment<matrix_a, 16, 16, 16, T, Layout>& a, const T* from, unsigned stride) {
    for (unsigned k = 0; k < 16; ++k) a.x[k] = widened(from[at<Layout>(row(), k, stride)]);
}

template <typename T, typename Layout>
inline void load_matrix_sync(fragment<matrix_b, 16, 16, 16, T, Layout>& b, const T* from, unsigned stride) {
    for (unsigned k = 0; k < 16; ++k) {
        for (unsigned j = 0; j < 8; ++j) b.x[k][j] = widened(from[at<Layout>(k, column() + j, stride)]);
    }
}

template <typename A, typename B>
inline void mma_sync(fragment<accumulator, 16, 16, 16, float>& d, const A& a, const B& b,
                     const fragment<accumulator, 16, 16, 16, float>& c) {
    for (unsigned j = 0; j < 8; ++j) {
        float sum = 0.0f;
        for (unsigned k = 0; k < 16; ++k) sum += a.x[k] * b.x[k][j];
        d.x[j] = c.x[j] + sum;
    }
}

inline void store_matrix_sync(float* to, const fragment<accumulator, 16, 16, 16, float>& c, unsigned stride, layout_t layout) {
    for (unsigned j = 0; j < 8; ++j) {
        const unsigned i = column() + j;
        to[layout == mem_row_major ? size_t(row()) * stride + i : size_t(i) * stride + row()] = c.x[j];
    }
}

}  // namespace nvcuda::wmma
