// A stand-in for libcuda and libcublas on a machine without a GPU, to run the host's side of the CUDA device: which functions it
// calls, in which order and with what. Work waits until its stream is synchronized, memory is the host's, kernels are the
// emulator's, and products follow cuBLAS's documentation in plain loops. It is strict: what the driver would leave undefined is
// an error with a message. scripts/cuda_dry_run.sh builds it and runs the tests with it.

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

#include "../emulator/half.h"

extern "C" {
size_t sigma_emulator_kernels();
const char* sigma_emulator_name(size_t kernel);
const char* sigma_emulator_parameters(size_t kernel);
int sigma_emulator_run(size_t kernel, unsigned grid_x, unsigned grid_y, uint64_t from, uint64_t to, unsigned threads,
                       size_t shared_bytes, const void* const* values, char* message, size_t message_bytes);
}

namespace {

using Work = std::function<int()>;

enum Result { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500,
              ILLEGAL_ADDRESS = 700, CAPTURE_UNSUPPORTED = 900 };

struct Graph {
    std::vector<Work> work;
};

struct Stream {
    std::deque<Work> work;
    Graph* recording = nullptr;
    int failed = SUCCESS;
};

struct Function {
    size_t kernel;
    std::vector<size_t> sizes;
    int most_shared = 48 * 1024;
};

struct Handle {
    Stream* stream = nullptr;
    void* workspace = nullptr;
};

std::recursive_mutex mutex;
std::map<uint64_t, size_t> memory;
uint64_t threshold = 0;
bool initialized = false;
int contexts = 0, loaded = 0;
thread_local void* current = nullptr;

int complain(int result, const char* format, ...) {
    va_list values;
    va_start(values, format);
    fputs("dry run: ", stderr);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    return result;
}

#define LOCK std::lock_guard<std::recursive_mutex> guard(mutex)
#define WITH_CONTEXT \
    LOCK;            \
    if (!initialized || current == nullptr) return complain(INVALID_CONTEXT, "%s without a context", __func__)

// Memory of the device, in one allocation.
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

float load(uint64_t address, int type, size_t index) {
    if (type == 2) return __half2float(reinterpret_cast<const __half*>(address)[index]);
    if (type == 14) return __bfloat162float(reinterpret_cast<const __nv_bfloat16*>(address)[index]);
    return reinterpret_cast<const float*>(address)[index];
}

void store(uint64_t address, int type, size_t index, float value) {
    if (type == 2) {
        reinterpret_cast<__half*>(address)[index] = __float2half_rn(value);
    } else if (type == 14) {
        reinterpret_cast<__nv_bfloat16*>(address)[index] = __float2bfloat16_rn(value);
    } else {
        reinterpret_cast<float*>(address)[index] = value;
    }
}

struct Product {
    int ta, tb, m, n, k;
    float alpha, beta;
    uint64_t a, b, c;
    int a_type, b_type, c_type, lda, ldb, ldc;
};

// Column-major, as cuBLAS describes it.
int multiply(const Product& p) {
    const int a_rows = p.ta ? p.k : p.m, a_columns = p.ta ? p.m : p.k, b_rows = p.tb ? p.n : p.k, b_columns = p.tb ? p.k : p.n;
    const auto bytes = [](int rows, int columns, int ld, int type) {
        return (size_t(columns - 1) * ld + rows) * (type == 0 ? 4 : 2);
    };
    if (p.lda < a_rows || p.ldb < b_rows || p.ldc < p.m) return complain(7, "a leading dimension is too small");
    if (!lives(p.a, bytes(a_rows, a_columns, p.lda, p.a_type)) || !lives(p.b, bytes(b_rows, b_columns, p.ldb, p.b_type)) ||
        !lives(p.c, bytes(p.m, p.n, p.ldc, p.c_type))) {
        return complain(ILLEGAL_ADDRESS, "a product of matrices outside of memory");
    }
    for (int j = 0; j < p.n; j++) {
        for (int i = 0; i < p.m; i++) {
            float sum = 0;
            for (int l = 0; l < p.k; l++) {
                const size_t a = p.ta ? l + size_t(i) * p.lda : i + size_t(l) * p.lda;
                const size_t b = p.tb ? j + size_t(l) * p.ldb : l + size_t(j) * p.ldb;
                sum += load(p.a, p.a_type, a) * load(p.b, p.b_type, b);
            }
            const size_t c = i + size_t(j) * p.ldc;
            store(p.c, p.c_type, c, p.alpha * sum + (p.beta == 0 ? 0 : p.beta * load(p.c, p.c_type, c)));
        }
    }
    return SUCCESS;
}

int check_types(const Handle* handle, int a, int b, int c, int compute) {
    const bool known = a == 0 || a == 2 || a == 14;
    if (!known || a != b || (c != 0 && c != a) || compute != 68) return complain(15, "types %d %d %d %d", a, b, c, compute);
    if (handle->stream == nullptr || handle->workspace == nullptr) return complain(1, "a product without stream or workspace");
    return SUCCESS;
}

}  // namespace

extern "C" {

// The driver.
int cuInit(unsigned) { initialized = true; return SUCCESS; }
int cuDriverGetVersion(int* version) { *version = 13000; return SUCCESS; }
int cuDeviceGetCount(int* count) { *count = 1; return SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return ordinal == 0 ? SUCCESS : 101; }
int cuDeviceGetName(char* name, int length, int) { snprintf(name, size_t(length), "dry GPU"); return SUCCESS; }
int cuDeviceGetAttribute(int* value, int, int) { *value = 1; return SUCCESS; }
int cuDevicePrimaryCtxRetain(void** context, int) { LOCK; contexts++; *context = &contexts; return SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { LOCK; contexts--; return SUCCESS; }
int cuCtxGetCurrent(void** context) { *context = current; return SUCCESS; }
int cuCtxSetCurrent(void* context) { current = context; return SUCCESS; }
int cuGetErrorString(int error, const char** text) { *text = error == OUT_OF_MEMORY ? "out of memory" : "an error of the dry run"; return SUCCESS; }
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

int cuModuleLoadData(void** module, const void* image) {
    WITH_CONTEXT;
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

// cuBLAS.
int cublasCreate_v2(void** handle) {
    WITH_CONTEXT;
    *handle = new Handle();
    return SUCCESS;
}
int cublasDestroy_v2(void* handle) {
    WITH_CONTEXT;
    Handle* h = static_cast<Handle*>(handle);
    if (h->stream != nullptr) cuStreamSynchronize(h->stream);
    delete h;
    return SUCCESS;
}
// Also takes the workspace away.
int cublasSetStream_v2(void* handle, void* stream) {
    *static_cast<Handle*>(handle) = {static_cast<Stream*>(stream), nullptr};
    return SUCCESS;
}
int cublasSetWorkspace_v2(void* handle, void* workspace, size_t bytes) {
    LOCK;
    const uint64_t address = reinterpret_cast<uint64_t>(workspace);
    if (!lives(address, bytes) || address % 256 != 0) return complain(7, "a workspace outside of memory");
    static_cast<Handle*>(handle)->workspace = workspace;
    return SUCCESS;
}
int cublasSetMathMode(void*, int mode) { return mode == 16 ? SUCCESS : complain(7, "math mode %d", mode); }

int cublasGemmEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int a_type, int lda,
                 const void* b, int b_type, int ldb, const void* beta, void* c, int c_type, int ldc, int compute, int) {
    WITH_CONTEXT;
    const Handle* h = static_cast<Handle*>(handle);
    if (const int wrong = check_types(h, a_type, b_type, c_type, compute)) return wrong;
    const Product product = {ta, tb, m, n, k, *static_cast<const float*>(alpha), *static_cast<const float*>(beta),
                             reinterpret_cast<uint64_t>(a), reinterpret_cast<uint64_t>(b), reinterpret_cast<uint64_t>(c),
                             a_type, b_type, c_type, lda, ldb, ldc};
    return submit(h->stream, [=] { return multiply(product); }) == SUCCESS ? 0 : 13;
}
int cublasGemmBatchedEx(void* handle, int ta, int tb, int m, int n, int k, const void* alpha, const void* const* a, int a_type,
                        int lda, const void* const* b, int b_type, int ldb, const void* beta, void* const* c, int c_type, int ldc,
                        int count, int compute, int) {
    WITH_CONTEXT;
    const Handle* h = static_cast<Handle*>(handle);
    if (const int wrong = check_types(h, a_type, b_type, c_type, compute)) return wrong;
    const float scale = *static_cast<const float*>(alpha), keep = *static_cast<const float*>(beta);
    const auto work = [=] {
        const auto array = [&](const void* start) { return lives(reinterpret_cast<uint64_t>(start), size_t(count) * 8); };
        if (!array(a) || !array(b) || !array(c)) return complain(ILLEGAL_ADDRESS, "addresses outside of memory");
        for (int i = 0; i < count; i++) {
            const Product product = {ta, tb, m, n, k, scale, keep, reinterpret_cast<uint64_t>(a[i]),
                                     reinterpret_cast<uint64_t>(b[i]), reinterpret_cast<uint64_t>(c[i]),
                                     a_type, b_type, c_type, lda, ldb, ldc};
            if (const int failed = multiply(product)) return failed;
        }
        return int(SUCCESS);
    };
    return submit(h->stream, work) == SUCCESS ? 0 : 13;
}

}
