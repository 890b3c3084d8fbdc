// The L2 norm over all gradients together, in f64, in two steps of a fixed order.

// parts[block] = the sum of squares of the block's piece of `per_block` numbers.
KERNEL(squares, (double* parts, const float* x, unsigned long long n, unsigned per_block), (parts, x, n, per_block)) {
    SHARED(double, shared, [32]);
    const size_t first = (size_t)blockIdx.x * per_block;
    const size_t last = first + per_block < n ? first + per_block : n;
    double sum = 0.0;
#pragma unroll 4
    for (size_t i = first + threadIdx.x; i < last; i += blockDim.x) sum += (double)x[i] * (double)x[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) parts[blockIdx.x] = sum;
}

// *norm = the square root of the sum of the parts, by one block.
KERNEL(norm_finish, (double* norm, const double* parts, unsigned n), (norm, parts, n)) {
    SHARED(double, shared, [32]);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < n; i += blockDim.x) sum += parts[i];
    sum = block_sum(sum, shared);
    if (threadIdx.x == 0) *norm = sqrt(sum);
}
