// The kernels compiled for a CPU, and the functions by which Rust finds and runs them.

#include "cuda.h"

// The trials, some wrong on purpose, are compiled here alone.
namespace {
#include "../kernels.cu"
#include "trials.cu"
}  // namespace

extern "C" {

size_t sigma_emulator_kernels() { return emulator::kernels().size(); }

const char* sigma_emulator_name(size_t kernel) { return emulator::kernels()[kernel].name; }

const char* sigma_emulator_parameters(size_t kernel) { return emulator::kernels()[kernel].parameters.c_str(); }

// Runs blocks from..to, counted along x first. Returns 0, or 1 with a message that ends with a zero byte.
int sigma_emulator_run(size_t kernel, unsigned grid_x, unsigned grid_y, uint64_t from, uint64_t to, unsigned threads,
                       size_t shared_bytes, const void* const* values, char* message, size_t message_bytes) {
    using emulator::block;
    if (block == nullptr) {
        block = new emulator::Block();
        block->dynamic = nullptr;
    }
    if (block->dynamic == nullptr || block->dynamic_bytes < shared_bytes) {
        std::free(block->dynamic);
        block->dynamic = static_cast<unsigned char*>(
            std::aligned_alloc(64, (shared_bytes + emulator::GUARD_BYTES + 63) / 64 * 64));
        if (block->dynamic == nullptr) std::abort();
    }
    block->dynamic_bytes = shared_bytes;
    block->kernel = emulator::kernels()[kernel].call;
    block->arguments = values;
    block->threads = threads;
    blockDim = {threads, 1, 1};
    gridDim = {grid_x, grid_y, 1};
    for (uint64_t i = from; i < to; i++) {
        blockIdx = {unsigned(i % grid_x), unsigned(i / grid_x), 0};
        if (!emulator::run_block()) {
            snprintf(message, message_bytes, "block (%u, %u): %s", blockIdx.x, blockIdx.y, block->message);
            return 1;
        }
    }
    return 0;
}

}
