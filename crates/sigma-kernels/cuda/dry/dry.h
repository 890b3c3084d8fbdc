// What the stand-ins for the driver and for cuBLAS share: streams whose work waits, and the memory of the device.

#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

namespace dry {

using Work = std::function<int()>;

enum Result {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_FOUND = 500,
    ILLEGAL_ADDRESS = 700,
    CAPTURE_UNSUPPORTED = 900,
};

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    std::deque<Work> work;
    Graph* recording = nullptr;
    int failed = SUCCESS;
};

extern std::recursive_mutex mutex;

// Says on stderr what is wrong, and returns `result`.
int complain(int result, const char* format, ...);
bool has_context();
// Whether these bytes are memory of the device, in one allocation.
bool lives(uint64_t address, size_t bytes);
// Puts work at the end of a stream, or of the graph that it records.
int submit(void* stream, Work work);

}  // namespace dry

#define LOCK std::lock_guard<std::recursive_mutex> guard(dry::mutex)
#define WITH_CONTEXT \
    LOCK;            \
    if (!dry::has_context()) return dry::complain(dry::INVALID_CONTEXT, "%s without a context", __func__)
