// Sums over the rows of a matrix in one launch and a fixed order. A block takes as many columns as 32 bytes hold, the least that memory is
// read in; its threads share the rows.

// Columns of a block that reads numbers of type T.
template <typename T> static __device__ __forceinline__ constexpr unsigned sum_columns() { return 32 / sizeof(T); }

// The sum over all threads of the block that have the calling thread's column, known to the first of them.
static __device__ float sum_by_column(float sum, unsigned columns, float* shared) {
    shared[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half >= columns; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
    }
    sum = shared[threadIdx.x];
    __syncthreads();
    return sum;
}

// Calls add(row, load(row)) for each of the calling thread's rows, AT_ONCE of which are asked for before the first is needed. The number
// of threads is a power of two.
template <unsigned AT_ONCE, typename Load, typename Add>
static __device__ __forceinline__ void each_row_of_column(unsigned rows, unsigned columns_of_block, const Load& load, const Add& add) {
    const unsigned groups = blockDim.x / columns_of_block;
    for (unsigned first = threadIdx.x / columns_of_block; first < rows; first += AT_ONCE * groups) {
        decltype(load(0u)) loaded[AT_ONCE];
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) loaded[k] = load(first + k * groups < rows ? first + k * groups : rows - 1);
#pragma unroll
        for (unsigned k = 0; k < AT_ONCE; ++k) {
            if (first + k * groups < rows) add(first + k * groups, loaded[k]);
        }
    }
}

// total[column] = the sum of x over its rows.
template <typename T> __device__ void column_sums_of(float* total, const T* x, unsigned rows, unsigned columns) {
    SHARED(float, shared, [MAX_BLOCK]);
    constexpr unsigned WIDTH = sum_columns<T>();
    const unsigned column = blockIdx.x * WIDTH + threadIdx.x % WIDTH;
    // beyond the last column it is the last again, for nothing
    const T* own = x + (column < columns ? column : columns - 1);
    float sum = 0.0f;
    each_row_of_column<16>(
        rows, WIDTH, [&](unsigned row) { return own[(size_t)row * columns]; }, [&](unsigned, T value) { sum += to_float(value); });
    sum = sum_by_column(sum, WIDTH, shared);
    if (threadIdx.x < WIDTH && column < columns) total[column] = sum;
}
#define COLUMN_SUMS(T) (float* total, const T* x, unsigned rows, unsigned columns)
KERNEL_TYPES(column_sums, column_sums_of, COLUMN_SUMS, (total, x, rows, columns))

// Turns the gradient of the result y of ReLU into that of its input, in place (at 0 it is 0), and sums it over the rows: the gradient of
// the bias that was added before.
template <typename T> __device__ void relu_gradient(float* total, T* dy, const T* y, unsigned rows, unsigned columns) {
    SHARED(float, shared, [MAX_BLOCK]);
    constexpr unsigned WIDTH = sum_columns<T>();
    const unsigned column = blockIdx.x * WIDTH + threadIdx.x % WIDTH;
    const bool works = column < columns;
    const size_t from = works ? column : columns - 1;
    struct Both {
        T dy, y;
    };
    float sum = 0.0f;
    each_row_of_column<16>(
        rows, WIDTH,
        [&](unsigned row) {
            const size_t at = (size_t)row * columns + from;
            return Both{dy[at], y[at]};
        },
        [&](unsigned row, const Both& both) {
            if (to_float(both.y) > 0.0f) {
                sum += to_float(both.dy);
            } else if (works) {
                dy[(size_t)row * columns + from] = from_float<T>(0.0f);
            }
        });
    sum = sum_by_column(sum, WIDTH, shared);
    if (threadIdx.x < WIDTH && works) total[column] = sum;
}
#define RELU_BACKWARD(T) (float* total, T* dy, const T* y, unsigned rows, unsigned columns)
KERNEL_TYPES(relu_backward, relu_gradient, RELU_BACKWARD, (total, dy, y, rows, columns))
