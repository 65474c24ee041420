/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls of cuBLASLt that nibble makes, for tests: the product itself is plain loops, put into the simulated
 * driver's queue. An algorithm remembers what it was chosen for, and is refused for anything else. */
#include <stdlib.h>
#include <string.h>

#include "gpu/cuda/cuda.h"

enum { OK = 0, NOT_INITIALIZED = 1, INVALID = 7, UNSUPPORTED = 15 };
enum { TYPE_F32 = 0, TYPE_F16 = 2, TYPE_BF16 = 14, COMPUTE_F32 = 68, DESC_OP_A = 3, OP_TRANSPOSE = 1 };
enum { PREF_MEMORY = 1, PREF_REDUCTION = 3, PREF_ALIGNMENT_A = 5, PREF_ALIGNMENT_D = 8 };

typedef struct layout {
    int type;
    int64_t rows, columns, ld;
} layout;

typedef struct preference {
    uint64_t memory;
    uint32_t reduction, alignment[4];
} preference;

/* In the 64 bytes that an algorithm has; the size of its workspace and its status follow. */
typedef struct algorithm {
    char mark[8];
    int64_t n, k;
    int32_t type;
    uint32_t alignment[4];
    uint8_t unused[20];
    size_t memory;
    int status;
} algorithm;
_Static_assert(offsetof(algorithm, memory) == 64, "as cuBLASLt lays it out");
static const char MARK[8] = "simgemm";

EXPORT int cublasLtCreate(void **handle);
int cublasLtCreate(void **handle) {
    *handle = malloc(1);
    return *handle ? OK : INVALID;
}

static int destroy(void *p) {
    free(p);
    return p ? OK : INVALID;
}

EXPORT int cublasLtDestroy(void *handle);
int cublasLtDestroy(void *handle) {
    return destroy(handle);
}

EXPORT int cublasLtMatmulDescCreate(void **desc, int compute_type, int scale_type);
int cublasLtMatmulDescCreate(void **desc, int compute_type, int scale_type) {
    *desc = NULL;
    if (compute_type != COMPUTE_F32 || scale_type != TYPE_F32) return INVALID;
    *desc = calloc(1, sizeof(int32_t)); /* whether a is transposed */
    return *desc ? OK : INVALID;
}

EXPORT int cublasLtMatmulDescDestroy(void *desc);
int cublasLtMatmulDescDestroy(void *desc) {
    return destroy(desc);
}

EXPORT int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t size);
int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t size) {
    if (!desc || attribute != DESC_OP_A || size != sizeof(int32_t)) return INVALID;
    memcpy(desc, value, size);
    return OK;
}

EXPORT int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t ld);
int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    layout *l = *out = NULL;
    const bool known = type == TYPE_F32 || type == TYPE_F16 || type == TYPE_BF16;
    if (!known || rows == 0 || columns == 0 || ld < (int64_t)rows) return INVALID;
    l = malloc(sizeof *l);
    if (!l) return INVALID;
    *l = (layout){type, (int64_t)rows, (int64_t)columns, ld};
    *out = l;
    return OK;
}

EXPORT int cublasLtMatrixLayoutDestroy(void *l);
int cublasLtMatrixLayoutDestroy(void *l) {
    return destroy(l);
}

EXPORT int cublasLtMatmulPreferenceCreate(void **out);
int cublasLtMatmulPreferenceCreate(void **out) {
    preference *p = *out = calloc(1, sizeof *p);
    if (!p) return INVALID;
    p->reduction = 0xffffffff;
    for (int i = 0; i < 4; i++) p->alignment[i] = 256;
    return OK;
}

EXPORT int cublasLtMatmulPreferenceDestroy(void *p);
int cublasLtMatmulPreferenceDestroy(void *p) {
    return destroy(p);
}

EXPORT int cublasLtMatmulPreferenceSetAttribute(void *handle, int attribute, const void *value, size_t size);
int cublasLtMatmulPreferenceSetAttribute(void *handle, int attribute, const void *value, size_t size) {
    preference *p = handle;
    void *to = NULL;
    if (attribute == PREF_MEMORY && size == sizeof p->memory) to = &p->memory;
    if (attribute == PREF_REDUCTION && size == sizeof p->reduction) to = &p->reduction;
    if (attribute >= PREF_ALIGNMENT_A && attribute <= PREF_ALIGNMENT_D && size == sizeof p->alignment[0])
        to = &p->alignment[attribute - PREF_ALIGNMENT_A];
    if (!p || !to) return INVALID;
    memcpy(to, value, size);
    return OK;
}

/* Whether d = a^T b, column by column: a [k, n], b [k, m], d [n, m]. */
static bool fits(const void *desc, const layout *a, const layout *b, const layout *c, const layout *d) {
    if (!desc || !a || !b || !c || !d) return false;
    const bool types = a->type == b->type && a->type != TYPE_F32 && c->type == TYPE_F32 && d->type == TYPE_F32;
    const bool shapes = a->rows == b->rows && d->rows == a->columns && d->columns == b->columns;
    return types && shapes && *(const int32_t *)desc == OP_TRANSPOSE && memcmp(c, d, sizeof *c) == 0;
}

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *p,
                                          int n_wanted, void *results, int *n);
int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *p, int n_wanted,
                                   void *results, int *n) {
    const preference *wanted = p;
    *n = 0;
    if (!handle || !p || n_wanted < 1) return INVALID;
    if (!fits(desc, a, b, c, d)) return UNSUPPORTED;
    const layout *weight = a;
    algorithm *out = results;
    *out = (algorithm){.n = weight->columns, .k = weight->rows, .type = weight->type};
    memcpy(out->mark, MARK, sizeof MARK);
    memcpy(out->alignment, wanted->alignment, sizeof out->alignment);
    *n = 1;
    return OK;
}

static bool is_for(const algorithm *chosen, const layout *a) {
    return memcmp(chosen->mark, MARK, sizeof MARK) == 0 && chosen->n == a->columns && chosen->k == a->rows &&
           chosen->type == a->type;
}

EXPORT int cublasLtMatmulAlgoCheck(void *handle, void *desc, void *a, void *b, void *c, void *d, const void *chosen,
                                   void *result);
int cublasLtMatmulAlgoCheck(void *handle, void *desc, void *a, void *b, void *c, void *d, const void *chosen,
                            void *result) {
    if (!handle || !fits(desc, a, b, c, d) || !is_for(chosen, a)) return UNSUPPORTED;
    memcpy(result, chosen, offsetof(algorithm, memory));
    return OK;
}

static bool aligned(const void *p, uint32_t bytes) {
    return (uintptr_t)p % bytes == 0;
}

EXPORT int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                          void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                          const void *chosen, void *memory, size_t memory_size, void *stream);
int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                   void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                   const void *chosen, void *memory, size_t memory_size, void *stream) {
    const algorithm *how = chosen;
    const layout *w = a_layout, *x = b_layout, *y = d_layout;
    const float add = *(const float *)beta;
    if (!handle || *(const float *)alpha != 1 || (add != 0 && add != 1) || c != d) return INVALID;
    if (memory_size && !memory) return INVALID;
    if (!fits(desc, w, x, c_layout, y) || !is_for(how, w)) return UNSUPPORTED;
    if (!aligned(a, how->alignment[0]) || !aligned(b, how->alignment[1]) || !aligned(d, how->alignment[3]))
        return INVALID;
    sim_item item = {.kind = WORK_GEMM};
    item.gemm = (gpu_gemm){.type = w->type == TYPE_F16 ? DT_F16 : DT_BF16,
                           .accumulate = add == 1,
                           .m = x->columns,
                           .n = w->columns,
                           .k = w->rows,
                           .x_stride = x->ld,
                           .w_stride = w->ld,
                           .y_stride = y->ld,
                           .x = b,
                           .w = a,
                           .y = d};
    return sim_submit(stream, &item) == CUDA_OK ? OK : INVALID;
}
