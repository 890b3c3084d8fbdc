// A stand-in for libcublas, see driver.cpp: products in plain loops over column-major matrices, as cuBLAS's documentation
// describes them.

#include <cstdint>

#include "../emulator/half.h"
#include "dry.h"

using namespace dry;

extern "C" int cuStreamSynchronize(void* stream);

namespace {

struct Handle {
    Stream* stream = nullptr;
    void* workspace = nullptr;
};

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
int cublasGetVersion_v2(void*, int* version) {
    *version = 130000;
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
            const uint64_t multiple = a_type == 0 || k % 2 != 0 ? 1 : k % 8 == 0 ? 16 : 4;
            if ((product.a | product.b | product.c) % multiple != 0) return complain(716, "misaligned matrices in a batch");
            if (const int failed = multiply(product)) return failed;
        }
        return int(SUCCESS);
    };
    return submit(h->stream, work) == SUCCESS ? 0 : 13;
}

}
