// A stand-in for libcuda, and with cublas.cpp for libcublas, on a machine without a GPU: to run the host's side of the CUDA
// device, and see which functions it calls, in which order and with what. Work waits until its stream is synchronized, memory is
// the host's, kernels are the emulator's. It is strict: what the driver would leave undefined is an error with a message.
// scripts/cuda_dry_run.sh builds it and runs the tests with it.

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <sstream>
#include <string>

#include "dry.h"

using namespace dry;

extern "C" {
size_t sigma_emulator_kernels();
const char* sigma_emulator_name(size_t kernel);
const char* sigma_emulator_parameters(size_t kernel);
int sigma_emulator_run(size_t kernel, unsigned grid_x, unsigned grid_y, uint64_t from, uint64_t to, unsigned threads,
                       size_t shared_bytes, const void* const* values, char* message, size_t message_bytes);
}

namespace {

struct Function {
    size_t kernel;
    std::vector<size_t> sizes;
    int most_shared = 48 * 1024;
};

std::map<uint64_t, size_t> memory;
uint64_t threshold = 0;
bool initialized = false;
int contexts = 0, loaded = 0;
thread_local void* current = nullptr;

bool records(void* stream) { return static_cast<Stream*>(stream)->recording != nullptr; }

int allocate(uint64_t* address, size_t bytes) {
    if (bytes == 0) return complain(INVALID_VALUE, "an allocation of 0 bytes");
    if (bytes > size_t(4) << 30) return OUT_OF_MEMORY;
    void* start = aligned_alloc(256, (bytes + 255) / 256 * 256);
    if (start == nullptr) return OUT_OF_MEMORY;
    memset(start, 0xA5, bytes);
    *address = reinterpret_cast<uint64_t>(start);
    memory[*address] = bytes;
    return SUCCESS;
}

int release(uint64_t address) {
    if (memory.erase(address) == 0) return complain(INVALID_VALUE, "freed what was not allocated");
    std::free(reinterpret_cast<void*>(address));
    return SUCCESS;
}

}  // namespace

namespace dry {

std::recursive_mutex mutex;

int complain(int result, const char* format, ...) {
    va_list values;
    va_start(values, format);
    fputs("dry run: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return result;
}

bool has_context() { return initialized && current != nullptr; }

bool lives(uint64_t address, size_t bytes) {
    auto after = memory.upper_bound(address);
    if (after == memory.begin()) return false;
    --after;
    return address + bytes <= after->first + after->second;
}

int submit(void* stream, Work work) {
    if (stream == nullptr) return complain(INVALID_HANDLE, "work on the default stream");
    Stream& s = *static_cast<Stream*>(stream);
    if (s.recording != nullptr) {
        s.recording->work.push_back(std::move(work));
    } else {
        s.work.push_back(std::move(work));
    }
    return s.failed;
}

}  // namespace dry

extern "C" {

// The driver.
int cuInit(unsigned) { initialized = true; return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int* count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal == 0 ? SUCCESS : 101; }
int cuDeviceGetName(char* name, int length, int) { snprintf(name, size_t(length), "dry GPU"); return SUCCESS; }
// Compute capability 9.0, and 1 for whether there are memory pools.
int cuDeviceGetAttribute(int* value, int attribute, int) {
    // compute capability 9.0, with the shared memory of an H100
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 97 ? 227 * 1024 : 1;
    return SUCCESS;
}
int cuDevicePrimaryCtxRetain(void** context, int) { LOCK; contexts++; *context = &contexts; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { LOCK; contexts--; return SUCCESS; }
int cuCtxGetCurrent(void** context) { *context = current; return SUCCESS; }
int cuCtxSetCurrent(void* context) { current = context; return SUCCESS; }
int cuGetErrorString(int error, const char** text) {
    *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the dry run";
    return SUCCESS;
}
int cuGetErrorName(int, const char** text) { *text = "DRY_RUN"; return SUCCESS; }

int cuStreamCreate(void** stream, unsigned flags) {
    WITH_CONTEXT;
    if (flags != 1) return complain(INVALID_VALUE, "a stream that waits for the default stream");
    *stream = new Stream();
    return SUCCESS;
}

int cuStreamSynchronize(void* stream) {
    WITH_CONTEXT;
    Stream& s = *static_cast<Stream*>(stream);
    if (s.recording != nullptr) return complain(CAPTURE_UNSUPPORTED, "waiting for a stream that records");
    while (!s.work.empty()) {
        Work work = std::move(s.work.front());
        s.work.pop_front();
        if (s.failed == SUCCESS) s.failed = work();
    }
    return s.failed;
}

int cuStreamDestroy_v2(void* stream) {
    const int result = cuStreamSynchronize(stream);
    delete static_cast<Stream*>(stream);
    return result;
}

int cuDeviceGetDefaultMemPool(void** pool, int) { *pool = &threshold; return SUCCESS; }
int cuMemPoolSetAttribute(void* pool, int attribute, void* value) {
    if (pool != &threshold || attribute != 4) return complain(INVALID_VALUE, "pool attribute %d", attribute);
    threshold = *static_cast<uint64_t*>(value);
    return threshold == UINT64_MAX ? SUCCESS : complain(INVALID_VALUE, "a threshold");
}
int cuMemPoolGetAttribute(void* pool, int attribute, void* value) {
    if (pool != &threshold || (attribute != 5 && attribute != 7)) return complain(INVALID_VALUE, "pool attribute %d", attribute);
    *static_cast<uint64_t*>(value) = attribute == 5 ? 1000 : 400;
    return SUCCESS;
}
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    WITH_CONTEXT;
    *free = 5000;
    *total = 9000;
    return SUCCESS;
}

int cuMemAllocAsync(uint64_t* address, size_t bytes, void* stream) {
    WITH_CONTEXT;
    if (records(stream)) return complain(CAPTURE_UNSUPPORTED, "an allocation while recording");
    return allocate(address, bytes);
}
int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    WITH_CONTEXT;
    return allocate(address, bytes);
}
int cuMemFreeAsync(uint64_t address, void* stream) {
    WITH_CONTEXT;
    if (records(stream)) return complain(CAPTURE_UNSUPPORTED, "a free while recording");
    return submit(stream, [=] { return release(address); });
}
int cuMemFree_v2(uint64_t address) {
    WITH_CONTEXT;
    return release(address);
}

int cuMemsetD8Async(uint64_t address, unsigned char value, size_t bytes, void* stream) {
    WITH_CONTEXT;
    return submit(stream, [=] {
        if (!lives(address, bytes)) return complain(ILLEGAL_ADDRESS, "a clear outside of memory");
        memset(reinterpret_cast<void*>(address), value, bytes);
        return int(SUCCESS);
    });
}
// Up to 64 KiB are taken at once, more only when the copy is made.
int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
    WITH_CONTEXT;
    if (records(stream)) return complain(CAPTURE_UNSUPPORTED, "an upload while recording");
    std::vector<char> staged;
    if (bytes <= 64 * 1024) staged.assign(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    return submit(stream, [=] {
        if (!lives(to, bytes)) return complain(ILLEGAL_ADDRESS, "an upload outside of memory");
        memcpy(reinterpret_cast<void*>(to), staged.empty() ? from : staged.data(), bytes);
        return int(SUCCESS);
    });
}
int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    WITH_CONTEXT;
    *memory = malloc(bytes);
    return *memory ? SUCCESS : OUT_OF_MEMORY;
}

int cuMemFreeHost(void* memory) {
    WITH_CONTEXT;
    free(memory);
    return SUCCESS;
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
    WITH_CONTEXT;
    if (records(stream)) return complain(CAPTURE_UNSUPPORTED, "a read while recording");
    return submit(stream, [=] {
        if (!lives(from, bytes)) return complain(ILLEGAL_ADDRESS, "a read outside of memory");
        memcpy(to, reinterpret_cast<const void*>(from), bytes);
        return int(SUCCESS);
    });
}
int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
    WITH_CONTEXT;
    return submit(stream, [=] {
        if (!lives(to, bytes) || !lives(from, bytes)) return complain(ILLEGAL_ADDRESS, "a copy outside of memory");
        memcpy(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
        return int(SUCCESS);
    });
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned options, int* names, void** values) {
    WITH_CONTEXT;
    // the size of a log for errors, and the log
    if (options != 2 || names[0] != 6 || names[1] != 5 || values[0] == nullptr || values[1] == nullptr)
        return complain(1, "other options of the compiler");
    if (strstr(static_cast<const char*>(image), ".entry") == nullptr) return complain(218, "this is not PTX");
    loaded++;
    *module = &loaded;
    return SUCCESS;
}
int cuModuleUnload(void*) {
    WITH_CONTEXT;
    return loaded-- > 0 ? int(SUCCESS) : complain(INVALID_HANDLE, "unloaded twice");
}
int cuModuleGetFunction(void** function, void*, const char* name) {
    WITH_CONTEXT;
    for (size_t kernel = 0; kernel < sigma_emulator_kernels(); kernel++) {
        if (strcmp(sigma_emulator_name(kernel), name) != 0) continue;
        auto* f = new Function{kernel, {}};
        std::istringstream parameters(sigma_emulator_parameters(kernel));
        for (std::string p; parameters >> p;) f->sizes.push_back(p == "u32" || p == "f32" ? 4 : 8);
        *function = f;
        return SUCCESS;
    }
    return NOT_FOUND;
}
int cuFuncGetAttribute(int* value, int attribute, void* function) {
    WITH_CONTEXT;
    if (attribute != 8) return complain(INVALID_VALUE, "function attribute %d", attribute);
    *value = static_cast<Function*>(function)->most_shared;
    return SUCCESS;
}
int cuFuncSetAttribute(void* function, int attribute, int value) {
    WITH_CONTEXT;
    if (attribute != 8 || value > 227 * 1024) return complain(INVALID_VALUE, "function attribute %d of %d", attribute, value);
    static_cast<Function*>(function)->most_shared = value;
    return SUCCESS;
}

int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared_bytes, void* stream, void** parameters, void** extra) {
    WITH_CONTEXT;
    const Function& f = *static_cast<Function*>(function);
    if (gx == 0 || gy == 0 || gz != 1 || bx == 0 || bx > 512 || by != 1 || bz != 1 || extra != nullptr) {
        return complain(INVALID_VALUE, "the sizes of a launch");
    }
    if (int(shared_bytes) > f.most_shared) return complain(INVALID_VALUE, "%u bytes of shared memory", shared_bytes);
    std::vector<uint64_t> values(f.sizes.size(), 0);
    for (size_t i = 0; i < values.size(); i++) memcpy(&values[i], parameters[i], f.sizes[i]);
    const size_t kernel = f.kernel;
    return submit(stream, [=] {
        std::vector<const void*> pointers;
        for (const uint64_t& value : values) pointers.push_back(&value);
        char message[512];
        const int failed = sigma_emulator_run(kernel, gx, gy, 0, uint64_t(gx) * gy, bx, shared_bytes, pointers.data(), message,
                                              sizeof message);
        return failed ? complain(719, "%s: %s", sigma_emulator_name(kernel), message) : int(SUCCESS);
    });
}

int cuStreamBeginCapture_v2(void* stream, int mode) {
    WITH_CONTEXT;
    Stream& s = *static_cast<Stream*>(stream);
    if (s.recording != nullptr || mode != 1) return complain(INVALID_VALUE, "a second recording, or one in mode %d", mode);
    s.recording = new Graph();
    return SUCCESS;
}
int cuStreamEndCapture(void* stream, void** graph) {
    WITH_CONTEXT;
    Stream& s = *static_cast<Stream*>(stream);
    if (s.recording == nullptr) return complain(INVALID_VALUE, "the end of no recording");
    *graph = s.recording;
    s.recording = nullptr;
    return SUCCESS;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long flags) {
    WITH_CONTEXT;
    if (flags != 0) return complain(INVALID_VALUE, "flags of a graph");
    *executable = new Graph(*static_cast<Graph*>(graph));
    return SUCCESS;
}
int cuGraphLaunch(void* executable, void* stream) {
    WITH_CONTEXT;
    for (const Work& work : static_cast<Graph*>(executable)->work) submit(stream, work);
    return static_cast<Stream*>(stream)->failed;
}
int cuGraphExecDestroy(void* executable) { delete static_cast<Graph*>(executable); return SUCCESS; }
int cuGraphDestroy(void* graph) { delete static_cast<Graph*>(graph); return SUCCESS; }

}
