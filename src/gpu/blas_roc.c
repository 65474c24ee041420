/* SPDX-License-Identifier: Apache-2.0
 *
 * GEMM by rocBLAS. Numbers are those of its public interface. */
#include <stdlib.h>

#include "base/log.h"
#include "gpu/blas.h"

enum { OP_NONE = 111, OP_TRANSPOSE = 112, TYPE_F16 = 150, TYPE_F32 = 151, TYPE_BF16 = 168, ATOMICS_NOT_ALLOWED = 0 };

typedef struct roc_calls {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*set_stream)(void *handle, void *stream);
    int (*set_workspace)(void *handle, void *memory, size_t bytes);
    int (*set_atomics)(void *handle, int mode);
    int (*gemm)(void *handle, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a, int a_type,
                int lda, const void *b, int b_type, int ldb, const void *beta, const void *c, int c_type, int ldc,
                void *d, int d_type, int ldd, int compute_type, int algo, int32_t solution, uint32_t flags);
} roc_calls;
static const char *const symbols[] = {"rocblas_create_handle", "rocblas_destroy_handle",   "rocblas_set_stream",
                                      "rocblas_set_workspace", "rocblas_set_atomics_mode", "rocblas_gemm_ex"};
enum { N_SYMBOLS = sizeof symbols / sizeof *symbols };
_Static_assert(sizeof(roc_calls) == N_SYMBOLS * sizeof(void *), "one symbol for each call");

struct gpu_roc {
    roc_calls calls;
    const char *device;
    void *handle;
};

bool gpu_roc_open(gpu_library *l) {
    /* Of ROCm 7, 6, 5. */
    static const char *const names[] = {"librocblas.so.5",
                                        "librocblas.so.4",
                                        "librocblas.so.3",
                                        "/opt/rocm/lib/librocblas.so.5",
                                        "/opt/rocm/lib/librocblas.so.4",
                                        "/opt/rocm/lib/librocblas.so.3",
                                        NULL};
    roc_calls calls;
    return gpu_library_open(l, names, NULL) && gpu_library_symbols(l, symbols, N_SYMBOLS, &calls);
}

static nb_status failed(const gpu_roc *r, const char *call, int error, nb_error *err) {
    return err_set(err, NB_ERR_INTERNAL, "%s: %s failed (status %d)", r->device, call, error);
}

nb_status gpu_roc_new(gpu_library *l, const char *device_name, void *stream, void *memory, gpu_roc **out,
                      nb_error *err) {
    *out = NULL;
    gpu_roc *r = calloc(1, sizeof *r);
    if (!r) return err_no_memory(err, "rocBLAS", sizeof *r);
    r->device = device_name;
    gpu_library_symbols(l, symbols, N_SYMBOLS, &r->calls);
    int at = 0, error = r->calls.create(&r->handle);
    if (!error) at = 2, error = r->calls.set_stream(r->handle, stream);
    if (!error) at = 3, error = r->calls.set_workspace(r->handle, memory, GPU_BLAS_MEMORY);
    if (!error) at = 4, error = r->calls.set_atomics(r->handle, ATOMICS_NOT_ALLOWED);
    if (error) {
        failed(r, symbols[at], error, err);
        gpu_roc_free(r);
        return NB_ERR_INTERNAL;
    }
    *out = r;
    return NB_OK;
}

void gpu_roc_free(gpu_roc *r) {
    if (!r) return;
    nb_error err;
    const int error = r->handle ? r->calls.destroy(r->handle) : 0;
    if (error && failed(r, "rocblas_destroy_handle", error, &err)) log_msg(NB_LOG_WARN, "%s", err.text);
    free(r);
}

/* Column by column, as rocBLAS looks at memory, y is [n, m] = w^T x. */
nb_status gpu_roc_run(gpu_roc *r, const gpu_gemm *g, nb_error *err) {
    const float alpha = 1, beta = g->accumulate ? 1 : 0;
    const int type = g->type == DT_F16 ? TYPE_F16 : TYPE_BF16;
    enum { SLOWER = 7 /* than with more memory, but right */ };
    const int error = r->calls.gemm(r->handle, OP_TRANSPOSE, OP_NONE, (int)g->n, (int)g->m, (int)g->k, &alpha, g->w,
                                    type, (int)g->w_stride, g->x, type, (int)g->x_stride, &beta, g->y, TYPE_F32,
                                    (int)g->y_stride, g->y, TYPE_F32, (int)g->y_stride, TYPE_F32, 0, 0, 0);
    return error && error != SLOWER ? failed(r, "rocblas_gemm_ex", error, err) : NB_OK;
}
