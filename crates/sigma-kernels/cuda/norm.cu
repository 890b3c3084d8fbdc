// The L2 norm over all gradients together, in f64, in two steps of a fixed order.

// parts[block] = the sum of squares of the block's piece of `per_block` numbers.
KERNEL(squares, (double* parts, const float* x, unsigned long long n, unsigned per_block), (parts, x, n, per_block)) {
    SHARED(double, shared, [32]);
    const size_t first = (size_t)blockIdx.x * per_block;
    const size_t last = first + per_block < n ? first + per_block : n;
    double sum = 0.0;
    const auto add = [&](float value) { sum += (double)value * (double)value; };
    // the piece's whole sixteens of bytes, and what is left of it
    const size_t fours = is_wide(x + first) ? (last - first) / 4 : 0;
#pragma unroll 4
    for (size_t i = threadIdx.x; i < fours; i += blockDim.x) {
        const Wide<float> four = wide(x + first + 4 * i);
        for (unsigned j = 0; j < 4; ++j) add(four.x[j]);
    }
    for (size_t i = first + 4 * fours + threadIdx.x; i < last; i += blockDim.x) add(x[i]);
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
