// Sums over the rows of a matrix in one launch and a fixed order. A block takes the columns that four lanes read with 16 bytes each, and its
// threads share the rows.

#define SUM_LANES 4

// The calling thread's columns, and its rows: `group`, `group` + `groups`, ...
template <typename T> struct SumPlace {
    static constexpr unsigned COUNT = Wide<T>::COUNT, COLUMNS = SUM_LANES * COUNT;
    unsigned column, columns, group, groups;
    bool whole;

    // `whole`: whether all rows of all matrices begin at multiples of 16 bytes.
    __device__ __forceinline__ SumPlace(unsigned columns, bool whole)
        : column(blockIdx.x * COLUMNS + threadIdx.x % SUM_LANES * COUNT), columns(columns), group(threadIdx.x / SUM_LANES),
          groups(blockDim.x / SUM_LANES), whole(whole && columns % COUNT == 0) {}

    // The thread's columns of a row; zeros beyond the last column.
    __device__ __forceinline__ Wide<T> read(const T* x, unsigned row) const {
        const T* from = x + (size_t)row * columns;
        Wide<T> piece = {};
        if (whole) {
            if (column < columns) piece = wide(from + column);
        } else {
            for (unsigned j = 0; j < COUNT; ++j) {
                if (column + j < columns) piece.x[j] = from[column + j];
            }
        }
        return piece;
    }

    __device__ __forceinline__ void write(T* x, unsigned row, const Wide<T>& piece) const {
        T* to = x + (size_t)row * columns;
        if (whole) {
            if (column < columns) wide_at(to + column) = piece;
        } else {
            for (unsigned j = 0; j < COUNT; ++j) {
                if (column + j < columns) to[column + j] = piece.x[j];
            }
        }
    }

    // Calls add(row, load(row)) for each of the thread's rows, four of which are asked for before the first is needed.
    template <typename Load, typename Add>
    __device__ __forceinline__ void each_row(unsigned rows, const Load& load, const Add& add) const {
        constexpr unsigned ROWS = 4;
        for (unsigned first = group; first < rows; first += ROWS * groups) {
            decltype(load(0u)) loaded[ROWS];
#pragma unroll
            for (unsigned k = 0; k < ROWS; ++k) loaded[k] = load(first + k * groups < rows ? first + k * groups : rows - 1);
#pragma unroll
            for (unsigned k = 0; k < ROWS; ++k) {
                if (first + k * groups < rows) add(first + k * groups, loaded[k]);
            }
        }
    }

    // total[column] = the sums of all threads of the block that share the column.
    __device__ __forceinline__ void finish(float* total, float (&sums)[COUNT], float* shared) const {
        const unsigned lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
#pragma unroll
        for (unsigned j = 0; j < COUNT; ++j) {
            for (unsigned by = WARP / 2; by >= SUM_LANES; by /= 2) sums[j] += __shfl_xor_sync(ALL_LANES, sums[j], by);
            if (lane < SUM_LANES) shared[warp * COLUMNS + lane * COUNT + j] = sums[j];
        }
        __syncthreads();
        const unsigned own = blockIdx.x * COLUMNS + threadIdx.x;
        if (threadIdx.x < COLUMNS && own < columns) {
            float sum = 0.0f;
            for (unsigned w = 0; w < blockDim.x / WARP; ++w) sum += shared[w * COLUMNS + threadIdx.x];
            total[own] = sum;
        }
        __syncthreads();
    }
};

// Space for SumPlace::finish.
#define SUM_SPACE(T) [MAX_BLOCK / WARP * SumPlace<T>::COLUMNS]

// total[column] = the sum of x over its rows.
template <typename T> __device__ void column_sums_of(float* total, const T* x, unsigned rows, unsigned columns) {
    SHARED(float, shared, SUM_SPACE(T));
    const SumPlace<T> place(columns, is_wide(x));
    float sums[Wide<T>::COUNT] = {};
    place.each_row(
        rows, [&](unsigned row) { return place.read(x, row); },
        [&](unsigned, const Wide<T>& piece) {
            for (unsigned j = 0; j < Wide<T>::COUNT; ++j) sums[j] += to_float(piece.x[j]);
        });
    place.finish(total, sums, shared);
}
#define COLUMN_SUMS(T) (float* total, const T* x, unsigned rows, unsigned columns)
KERNEL_TYPES(column_sums, column_sums_of, COLUMN_SUMS, (total, x, rows, columns))

// Turns the gradient of the result y of ReLU into that of its input, in place (at 0 it is 0), and sums it over the rows: the gradient of
// the bias that was added before.
template <typename T> __device__ void relu_gradient(float* total, T* dy, const T* y, unsigned rows, unsigned columns) {
    SHARED(float, shared, SUM_SPACE(T));
    const SumPlace<T> place(columns, is_wide(dy) && is_wide(y));
    struct Both {
        Wide<T> dy, y;
    };
    float sums[Wide<T>::COUNT] = {};
    place.each_row(
        rows, [&](unsigned row) { return Both{place.read(dy, row), place.read(y, row)}; },
        [&](unsigned row, Both both) {
            for (unsigned j = 0; j < Wide<T>::COUNT; ++j) {
                if (!(to_float(both.y.x[j]) > 0.0f)) both.dy.x[j] = from_float<T>(0.0f);
                sums[j] += to_float(both.dy.x[j]);
            }
            place.write(dy, row, both.dy);
        });
    place.finish(total, sums, shared);
}
#define RELU_BACKWARD(T) (float* total, T* dy, const T* y, unsigned rows, unsigned columns)
KERNEL_TYPES(relu_backward, relu_gradient, RELU_BACKWARD, (total, dy, y, rows, columns))
