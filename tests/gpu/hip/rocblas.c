/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of rocBLAS that nibble makes, for tests: each argument is checked, and what is wrong is said on stderr; the
 * product goes into the simulated driver's queue. */
#include <stdlib.h>

#include "gpu/driver/driver.h"

enum { OK = 0, INVALID_HANDLE = 1, NO_MEMORY = 5, INVALID_VALUE = 11 };
enum { OP_NONE = 111, OP_TRANSPOSE = 112, TYPE_F16 = 150, TYPE_F32 = 151, TYPE_BF16 = 168 };
enum { WORKSPACE = 64 << 10, MEMORY_UNIT = 256 };

typedef struct handle {
    void *stream, *memory;
    size_t memory_size;
    bool no_atomics;
    struct handle *next;
} handle;
static handle *handles;

static handle *live(const void *p, const char *call) {
    handle *h = handles;
    while (h && h != p) h = h->next;
    if (!h) sim_wrong(0, "%s: %p is not a handle that lives", call, p);
    return h;
}

EXPORT int rocblas_create_handle(void **out) {
    handle *h = *out = calloc(1, sizeof *h);
    if (!h) return NO_MEMORY;
    h->next = handles;
    handles = h;
    return OK;
}

EXPORT int rocblas_destroy_handle(void *p) {
    handle **at = &handles;
    if (!live(p, __func__)) return INVALID_HANDLE;
    while (*at != p) at = &(*at)->next;
    *at = (*at)->next;
    free(p);
    return OK;
}

EXPORT int rocblas_set_stream(void *p, void *stream) {
    handle *h = live(p, __func__);
    if (!h) return INVALID_HANDLE;
    h->stream = stream;
    return OK;
}

EXPORT int rocblas_set_workspace(void *p, void *memory, size_t bytes) {
    handle *h = live(p, __func__);
    if (!h) return INVALID_HANDLE;
    if ((uintptr_t)memory % MEMORY_UNIT || !sim_is_memory(memory, bytes))
        return sim_wrong(INVALID_VALUE, "%s: %zu bytes at %p are not device memory, aligned to 256", __func__, bytes,
                         memory);
    h->memory = memory;
    h->memory_size = bytes;
    return OK;
}

EXPORT int rocblas_set_atomics_mode(void *p, int mode) {
    handle *h = live(p, __func__);
    if (!h) return INVALID_HANDLE;
    if (mode != 0 && mode != 1) return sim_wrong(INVALID_VALUE, "%s: mode %d", __func__, mode);
    h->no_atomics = mode == 0;
    return OK;
}

static const char *wrong_handle(const handle *h) {
    if (!h->stream) return "the handle has no stream, so that the product would run beside what it depends on";
    if (!h->no_atomics) return "atomics are allowed, so that sums come in any order";
    if (!h->memory || h->memory_size < WORKSPACE)
        return "the handle has no workspace: it would allocate, which a "
               "capture forbids";
    return NULL;
}

EXPORT int rocblas_gemm_ex(void *p, int op_a, int op_b, int m, int n, int k, const void *alpha, const void *a,
                           int a_type, int lda, const void *b, int b_type, int ldb, const void *beta, const void *c,
                           int c_type, int ldc, void *d, int d_type, int ldd, int compute_type, int algorithm,
                           int32_t solution, uint32_t flags) {
    const handle *h = live(p, __func__);
    if (!h) return INVALID_HANDLE;
    const float times = *(const float *)alpha, add = *(const float *)beta;
    sim_item item = {.kind = WORK_GEMM, .to = h->memory, .bytes = WORKSPACE};
    item.gemm = (gpu_gemm){.type = a_type == TYPE_F16    ? DT_F16
                                   : a_type == TYPE_BF16 ? DT_BF16
                                                         : DT_F32,
                           .accumulate = add == 1,
                           .m = n,
                           .n = m,
                           .k = k,
                           .x_stride = ldb,
                           .w_stride = lda,
                           .y_stride = ldd,
                           .x = b,
                           .w = a,
                           .y = d};
    const char *wrong = wrong_handle(h);
    if (op_a != OP_TRANSPOSE || op_b != OP_NONE) wrong = "a is not transposed, or b is";
    if (a_type != b_type) wrong = "a and b are of different types";
    if (c_type != TYPE_F32 || d_type != TYPE_F32 || compute_type != TYPE_F32) wrong = "c, d or the sums are not f32";
    if (c != d || ldc != ldd) wrong = "c is not d";
    if (times != 1 || (add != 0 && add != 1)) wrong = "alpha is not 1, or beta neither 0 nor 1";
    if (algorithm || solution || flags) wrong = "an algorithm, a solution or flags are given";
    if (!wrong) wrong = sim_wrong_gemm(&item.gemm);
    if (wrong)
        return sim_wrong(INVALID_VALUE, "%s: %s (M %d, N %d, K %d, leading dimensions %d, %d, %d)", __func__, wrong, m,
                         n, k, lda, ldb, ldd);
    return sim_submit(h->stream, &item) == DRIVER_OK ? OK : INVALID_VALUE;
}
