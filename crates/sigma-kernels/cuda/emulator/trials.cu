// Kernels for the tests of the emulator itself: what it must compute as a GPU does, and faults that it must find.

// Threads from n on end before the barriers of the others.
KERNEL(test_neighbours, (unsigned* y, unsigned n), (y, n)) {
    DYNAMIC_SHARED(unsigned, row);
    if (threadIdx.x >= n) return;
    for (unsigned round = 0; round < 3; round++) {
        row[threadIdx.x] = threadIdx.x * 10 + round;
        __syncthreads();
        y[round * n + threadIdx.x] = row[(threadIdx.x + 1) % n];
        __syncthreads();
    }
}

KERNEL(test_shuffles, (float* floats, double* doubles, unsigned* integers, unsigned long long* longs),
       (floats, doubles, integers, longs)) {
    const unsigned i = threadIdx.x, n = blockDim.x;
    floats[i] = __shfl_xor_sync(ALL_LANES, float(i), 5);
    floats[n + i] = __shfl_up_sync(ALL_LANES, float(i), 3);
    floats[2 * n + i] = __shfl_down_sync(ALL_LANES, float(i), 3, 8);
    doubles[i] = __shfl_sync(ALL_LANES, double(i) + 0.5, 7);
    integers[i] = __ballot_sync(ALL_LANES, i % 3 == 0);
    integers[n + i] = unsigned(__any_sync(ALL_LANES, i == 40)) * 2 + unsigned(__all_sync(ALL_LANES, i < 32));
    longs[i] = __shfl_sync(ALL_LANES, (unsigned long long)i << 40, 1, 16);
    // half of a warp by itself
    if (i % WARP < 16) integers[i] += unsigned(__shfl_xor_sync(0xFFFFu, int(i), 1)) << 8;
    __syncwarp();
}

KERNEL(test_block_sum, (float* y, const float* x), (y, x)) {
    SHARED(float, partial, [MAX_BLOCK / WARP]);
    const float sum = block_sum(x[threadIdx.x], partial), largest = block_max(x[threadIdx.x], partial);
    y[threadIdx.x] = sum + 1000.0f * largest;
}

KERNEL(test_indices, (unsigned* y), (y)) {
    const unsigned block = blockIdx.y * gridDim.x + blockIdx.x;
    y[block * blockDim.x + threadIdx.x] = block * 1000 + threadIdx.x;
}

KERNEL(test_unwritten_shared, (float* y), (y)) {
    SHARED(float, never, [4]);
    DYNAMIC_SHARED(float, neither);
    y[threadIdx.x] = threadIdx.x % 2 == 0 ? never[threadIdx.x % 4] : neither[threadIdx.x % 4];
    __syncthreads();
    never[threadIdx.x % 4] = neither[threadIdx.x % 4] = 1.0f;
}

// A barrier is missing: what a thread reads depends on who came first.
KERNEL(test_race, (unsigned* y), (y)) {
    SHARED(unsigned, row, [64]);
    row[threadIdx.x] = threadIdx.x;
    y[blockIdx.x * blockDim.x + threadIdx.x] = row[threadIdx.x ^ 1];
}

KERNEL(test_write, (float* y, unsigned long long at), (y, at)) { y[at] = 1.0f; }

KERNEL(test_arguments, (double* y, unsigned a, unsigned long long b, float c, double d), (y, a, b, c, d)) {
    y[0] = a;
    y[1] = double(b);
    y[2] = c;
    y[3] = d;
}

KERNEL(fault_two_barriers, (), ()) {
    if (threadIdx.x < 40) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}

KERNEL(fault_barrier_and_shuffle, (float* y), (y)) {
    if (threadIdx.x == 0) {
        __syncthreads();
    } else {
        y[threadIdx.x] = __shfl_xor_sync(ALL_LANES, y[threadIdx.x], 1);
    }
}

KERNEL(fault_two_shuffles, (float* y), (y)) {
    if (threadIdx.x % 2 == 0) {
        y[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1.0f, 1);
    } else {
        y[threadIdx.x] = __shfl_down_sync(ALL_LANES, 1.0f, 1);
    }
}

KERNEL(fault_lane_that_ended, (float* y), (y)) {
    if (threadIdx.x == 3) return;
    y[threadIdx.x] = __shfl_xor_sync(ALL_LANES, 1.0f, 1);
}

KERNEL(fault_shared_end, (), ()) {
    SHARED(float, small, [8]);
    small[threadIdx.x] = 0.0f;
}

KERNEL(fault_dynamic_end, (), ()) {
    DYNAMIC_SHARED(float, row);
    row[threadIdx.x] = 0.0f;
}
