// Rows of embedding tables by id, and their gradients. No atomics: each row of a table is summed by one block, in order.

// stream[r, i] (+)= tokens[ids[r], i] + positions[positions_of[r] + offset, i]. Without `tokens` (null) the stream already holds
// the token embeddings. One block per row.
KERNEL(embed, (float* stream, const float* tokens, const float* positions, const unsigned* ids, const unsigned* positions_of,
               unsigned offset, unsigned d),
       (stream, tokens, positions, ids, positions_of, offset, d)) {
    const size_t row = blockIdx.x;
    const float* position = positions + (size_t)(positions_of[row] + offset) * d;
    const float* token = tokens ? tokens + (size_t)ids[row] * d : stream + row * d;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        stream[row * d + i] = token[i] + position[i];
    }
}

// y[r, :] = table[ids[r], :] in the precision of products. One block per row.
template <typename T>
__device__ void gather_rows(T* y, const float* table, const unsigned* ids, unsigned width) {
    const size_t row = blockIdx.x;
    const float* from = table + (size_t)ids[row] * width;
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        y[row * width + i] = from_float<T>(from[i]);
    }
}
#define GATHER_ROWS(T) (T* y, const float* table, const unsigned* ids, unsigned width)
KERNEL_TYPES(gather, gather_rows, GATHER_ROWS, (y, table, ids, width))

// table_gradient[ids[s], :] += sum of the rows order[starts[s] .. starts[s + 1]] of dy, for each of the *count distinct ids.
// One block per distinct id; blocks beyond *count do nothing, so that a captured launch serves every batch.
KERNEL(embedding_backward, (float* table_gradient, const float* dy, const unsigned* ids, const unsigned* starts,
                            const unsigned* order, const unsigned* count, unsigned width),
       (table_gradient, dy, ids, starts, order, count, width)) {
    if (blockIdx.x >= *count) return;
    float* gradient = table_gradient + (size_t)ids[blockIdx.x] * width;
    const unsigned begin = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    for (unsigned i = threadIdx.x; i < width; i += blockDim.x) {
        float sum = 0.0f;
        for (unsigned at = begin; at < end; ++at) sum += dy[(size_t)order[at] * width + i];
        gradient[i] += sum;
    }
}

// gradient[t + offset, :] = sum over the batch of dy[b * time + t, :]: every row of the batch has the positions 0 .. time.
// One block per position.
KERNEL(position_backward, (float* gradient, const float* dy, unsigned batch, unsigned time, unsigned offset, unsigned d),
       (gradient, dy, batch, time, offset, d)) {
    const unsigned t = blockIdx.x;
    for (unsigned i = threadIdx.x; i < d; i += blockDim.x) {
        float sum = 0.0f;
        for (unsigned b = 0; b < batch; ++b) sum += dy[((size_t)b * time + t) * d + i];
        gradient[(size_t)(t + offset) * d + i] = sum;
    }
}
