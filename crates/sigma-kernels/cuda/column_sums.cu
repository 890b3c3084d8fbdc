// Sums over the rows of a matrix in two steps of a fixed order: pieces of rows first, then the pieces.

template <typename T>
__device__ void column_sums_pieces(float* parts, const T* x, unsigned rows, unsigned columns, unsigned rows_per_piece) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    const unsigned first = blockIdx.y * rows_per_piece;
    const unsigned last = first + rows_per_piece < rows ? first + rows_per_piece : rows;
    float sum = 0.0f;
    for (unsigned row = first; row < last; ++row) sum += to_float(x[(size_t)row * columns + column]);
    parts[(size_t)blockIdx.y * columns + column] = sum;
}
#define COLUMN_SUMS(T) (float* parts, const T* x, unsigned rows, unsigned columns, unsigned rows_per_piece)
KERNEL_TYPES(column_sums, column_sums_pieces, COLUMN_SUMS, (parts, x, rows, columns, rows_per_piece))

// total[column] = the sum of parts[piece, column] over the pieces.
KERNEL(column_sums_finish, (float* total, const float* parts, unsigned pieces, unsigned columns),
       (total, parts, pieces, columns)) {
    const unsigned column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= columns) return;
    float sum = 0.0f;
    for (unsigned piece = 0; piece < pieces; ++piece) sum += parts[(size_t)piece * columns + column];
    total[column] = sum;
}
