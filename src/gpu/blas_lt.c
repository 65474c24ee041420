/* SPDX-License-Identifier: Apache-2.0
 *
 * GEMM by cuBLASLt or hipBLASLt. Numbers are those of their public interfaces. A plan is a shape with the algorithm
 * for it; plans are kept, since choosing one takes longer than many a product. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/num.h"
#include "gpu/blas.h"

typedef struct lt_calls {
    int (*create)(void **handle);
    int (*destroy)(void *handle);
    int (*desc_create)(void **desc, int compute_type, int scale_type);
    int (*desc_destroy)(void *desc);
    int (*desc_set)(void *desc, int attribute, const void *value, size_t size);
    int (*layout_create)(void **layout, int type, uint64_t rows, uint64_t columns, int64_t ld);
    int (*layout_destroy)(void *layout);
    int (*preference_create)(void **preference);
    int (*preference_destroy)(void *preference);
    int (*preference_set)(void *preference, int attribute, const void *value, size_t size);
    int (*heuristic)(void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int n_wanted,
                     void *results, int *n);
    int (*matmul)(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                  void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                  const void *algorithm, void *memory, size_t memory_size, void *stream);
    int (*check)(void *handle, void *desc, void *a, void *b, void *c, void *d, const void *algorithm, void *result);
    int (*version)(void *handle, int *out); /* AMD's */
} lt_calls;
enum { N_CALLS_LT = sizeof(lt_calls) / sizeof(void *) };

typedef struct lt_kind {
    const char *symbols[N_CALLS_LT];
    int op_transpose, type_bf16, type_f16, type_f32, compute_f32, desc_op_a;
    size_t algorithm_size; /* bytes; the size of its workspace follows in a heuristic's result, then a status */
    bool fine; /* has preferences for reductions and alignments, and can check an algorithm for another shape */
} lt_kind;

enum {
    PREF_MEMORY = 1,
    PREF_REDUCTION = 3,
    PREF_ALIGNMENT_A = 5,
    PREF_ALIGNMENT_B,
    PREF_ALIGNMENT_C,
    PREF_ALIGNMENT_D
};

static const lt_kind cublaslt = {
    .symbols = {"cublasLtCreate", "cublasLtDestroy", "cublasLtMatmulDescCreate", "cublasLtMatmulDescDestroy",
                "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate", "cublasLtMatrixLayoutDestroy",
                "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceDestroy",
                "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul",
                "cublasLtMatmulAlgoCheck", NULL},
    .op_transpose = 1,
    .type_bf16 = 14,
    .type_f16 = 2,
    .type_f32 = 0,
    .compute_f32 = 68,
    .desc_op_a = 3,
    .algorithm_size = 64,
    .fine = true,
};
static const lt_kind hipblaslt = {
    .symbols = {"hipblasLtCreate", "hipblasLtDestroy", "hipblasLtMatmulDescCreate", "hipblasLtMatmulDescDestroy",
                "hipblasLtMatmulDescSetAttribute", "hipblasLtMatrixLayoutCreate", "hipblasLtMatrixLayoutDestroy",
                "hipblasLtMatmulPreferenceCreate", "hipblasLtMatmulPreferenceDestroy",
                "hipblasLtMatmulPreferenceSetAttribute", "hipblasLtMatmulAlgoGetHeuristic", "hipblasLtMatmul", NULL,
                "hipblasLtGetVersion"},
    .op_transpose = 112,
    .type_bf16 = 14,
    .type_f16 = 2,
    .type_f32 = 0,
    .compute_f32 = 2,
    .desc_op_a = 0,
    .algorithm_size = 24,
};

enum { N_PLANS = 512, USUAL_M = 1024 /* rows that an algorithm is chosen for, whatever a call has */ };

typedef struct lt_plan {
    gpu_gemm shape; /* without pointers */
    uint32_t alignment;
    void *a, *b, *c; /* layouts; a NULL: no plan */
    uint64_t algorithm[8];
} lt_plan;

struct gpu_lt {
    const lt_kind *kind;
    lt_calls calls;
    const char *device;
    void *handle, *desc, *stream, *memory;
    lt_plan plans[N_PLANS]; /* at the place that its shape's hash says; a new one drives out another */
};

static const lt_kind *kind_of(const gpu_vendor *v) {
    return v == &gpu_cuda ? &cublaslt : &hipblaslt;
}

bool gpu_lt_open(gpu_library *l, const gpu_vendor *v, int driver_version) {
    static const char *const hip[] = {"libhipblaslt.so.1", "libhipblaslt.so.0", "/opt/rocm/lib/libhipblaslt.so.1",
                                      "/opt/rocm/lib/libhipblaslt.so.0", NULL};
    /* A driver does not serve libraries of a later CUDA. */
    static const char *const cuda[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11", NULL};
    const int skip = driver_version >= 13000 ? 0 : 1;
    lt_calls calls;
    const bool is_cuda = v == &gpu_cuda;
    return gpu_library_open(l, is_cuda ? cuda + skip : hip, is_cuda ? getenv("NIBBLE_CUBLAS") : NULL) &&
           gpu_library_symbols(l, kind_of(v)->symbols, N_CALLS_LT, &calls);
}

static nb_status failed(const gpu_lt *lt, size_t call, int error, nb_error *err) {
    return err_set(err, NB_ERR_INTERNAL, "%s: %s failed (status %d)", lt->device, lt->kind->symbols[call], error);
}
#define TRY(call, ...) try_call(lt, offsetof(lt_calls, call) / sizeof(void *), lt->calls.call(__VA_ARGS__), err)
static nb_status try_call(const gpu_lt *lt, size_t call, int error, nb_error *err) {
    return error ? failed(lt, call, error, err) : NB_OK;
}

/* What gives something back: there is nobody to tell but the log. */
#define DROP(call, ...) dropped(lt, offsetof(lt_calls, call) / sizeof(void *), lt->calls.call(__VA_ARGS__))
static void dropped(const gpu_lt *lt, size_t call, int error) {
    nb_error err;
    if (error && failed(lt, call, error, &err)) log_msg(NB_LOG_WARN, "%s", err.text);
}

/* Up to ROCm 6.0 hipBLASLt had other numbers for types: that one is not used. */
static nb_status check_version(gpu_lt *lt, nb_error *err) {
    enum { FIRST = 700 /* 0.7, of ROCm 6.1 */ };
    int version = 0;
    if (!lt->calls.version) return NB_OK;
    nb_status status = TRY(version, lt->handle, &version);
    if (status || version >= FIRST) return status;
    return err_set(err, NB_ERR_UNSUPPORTED, "%s: hipBLASLt %d.%d is older than ROCm 6.1's", lt->device,
                   version / 100000, version / 100 % 1000);
}

nb_status gpu_lt_new(const gpu_vendor *v, gpu_library *l, const char *device_name, void *stream, void *memory,
                     gpu_lt **out, nb_error *err) {
    *out = NULL;
    gpu_lt *lt = calloc(1, sizeof *lt);
    if (!lt) return err_no_memory(err, "the GEMM library", sizeof *lt);
    lt->kind = kind_of(v);
    lt->device = device_name;
    lt->stream = stream;
    lt->memory = memory;
    gpu_library_symbols(l, lt->kind->symbols, N_CALLS_LT, &lt->calls);
    const int32_t op = lt->kind->op_transpose;
    nb_status status = TRY(create, &lt->handle);
    if (!status) status = check_version(lt, err);
    if (!status) status = TRY(desc_create, &lt->desc, lt->kind->compute_f32, lt->kind->type_f32);
    if (!status) status = TRY(desc_set, lt->desc, lt->kind->desc_op_a, &op, sizeof op);
    if (status) {
        gpu_lt_free(lt);
        return err_prefix(err, status, "%.200s", l->name);
    }
    *out = lt;
    return NB_OK;
}

static void drop_plan(gpu_lt *lt, lt_plan *p) {
    if (p->a) DROP(layout_destroy, p->a);
    if (p->b) DROP(layout_destroy, p->b);
    if (p->c) DROP(layout_destroy, p->c);
    *p = (lt_plan){0};
}

void gpu_lt_free(gpu_lt *lt) {
    if (!lt) return;
    for (size_t i = 0; i < N_PLANS; i++) drop_plan(lt, &lt->plans[i]);
    if (lt->desc) DROP(desc_destroy, lt->desc);
    if (lt->handle) DROP(destroy, lt->handle);
    free(lt);
}

/* Column by column, as the library looks at memory, y is [n, m] = w^T x: w is its a, x its b. */
static nb_status make_layouts(gpu_lt *lt, lt_plan *p, int64_t m, nb_error *err) {
    const gpu_gemm *g = &p->shape;
    const int type = g->type == DT_F16 ? lt->kind->type_f16 : lt->kind->type_bf16;
    nb_status status = TRY(layout_create, &p->a, type, (uint64_t)g->k, (uint64_t)g->n, g->w_stride);
    if (!status) status = TRY(layout_create, &p->b, type, (uint64_t)g->k, (uint64_t)m, g->x_stride);
    if (!status) status = TRY(layout_create, &p->c, lt->kind->type_f32, (uint64_t)g->n, (uint64_t)m, g->y_stride);
    return status;
}

static nb_status set_preferences(gpu_lt *lt, void *preference, uint32_t alignment, nb_error *err) {
    const uint64_t memory = GPU_BLAS_MEMORY;
    const uint32_t no_reduction = 0; /* a sum split over blocks would come out another way for another m */
    nb_status status = TRY(preference_set, preference, PREF_MEMORY, &memory, sizeof memory);
    if (!lt->kind->fine) return status;
    if (!status) status = TRY(preference_set, preference, PREF_REDUCTION, &no_reduction, sizeof no_reduction);
    for (int i = PREF_ALIGNMENT_A; i <= PREF_ALIGNMENT_D && !status; i++)
        status = TRY(preference_set, preference, i, &alignment, sizeof alignment);
    return status;
}

/* A heuristic's result: the algorithm, the size of the workspace that it needs, a status, some more. */
typedef struct lt_result {
    union {
        uint64_t words[32]; /* larger than either library's */
        uint8_t bytes[256];
    };
} lt_result;

/* 0, or why the result is of no use. */
static int result_status(const gpu_lt *lt, const lt_result *r) {
    enum { NO_ROOM = -1 };
    size_t memory;
    int status;
    memcpy(&memory, r->bytes + lt->kind->algorithm_size, sizeof memory);
    memcpy(&status, r->bytes + lt->kind->algorithm_size + sizeof memory, sizeof status);
    return status ? status : memory > GPU_BLAS_MEMORY ? NO_ROOM : 0;
}

static nb_status ask(gpu_lt *lt, lt_plan *p, nb_error *err) {
    lt_result result = {0};
    void *preference = NULL;
    int n = 0;
    nb_status status = TRY(preference_create, &preference);
    if (!status) status = set_preferences(lt, preference, p->alignment, err);
    if (!status) {
        int error = lt->calls.heuristic(lt->handle, lt->desc, p->a, p->b, p->c, p->c, preference, 1, &result, &n);
        const gpu_gemm *g = &p->shape;
        if (!error && n > 0) error = result_status(lt, &result);
        if (error || n == 0)
            status =
                err_set(err, NB_ERR_UNSUPPORTED, "%s: %s has no algorithm for M %lld, N %lld, K %lld (status %d)",
                        lt->device, lt->kind->symbols[10], (long long)g->m, (long long)g->n, (long long)g->k, error);
    }
    if (preference) DROP(preference_destroy, preference);
    if (!status) memcpy(p->algorithm, result.bytes, lt->kind->algorithm_size);
    return status;
}

/* Chooses for the usual number of rows, and for the call's own where that algorithm cannot do it. */
static nb_status make_plan(gpu_lt *lt, lt_plan *p, nb_error *err) {
    nb_status status = NB_OK;
    if (lt->kind->fine) {
        uint64_t result[32];
        lt_plan usual = *p;
        status = make_layouts(lt, &usual, USUAL_M, err);
        if (!status) status = ask(lt, &usual, err);
        memcpy(p->algorithm, usual.algorithm, sizeof p->algorithm);
        drop_plan(lt, &usual);
        const bool chosen = status == NB_OK;
        status = make_layouts(lt, p, p->shape.m, err);
        if (!status && chosen &&
            lt->calls.check(lt->handle, lt->desc, p->a, p->b, p->c, p->c, p->algorithm, result) == 0)
            return NB_OK;
    } else {
        status = make_layouts(lt, p, p->shape.m, err);
    }
    return status ? status : ask(lt, p, err);
}

/* The largest power of two up to 256 that all addresses are multiples of. */
static uint32_t alignment_of(const gpu_gemm *g) {
    const uintptr_t bits = (uintptr_t)g->x | (uintptr_t)g->w | (uintptr_t)g->y | 256;
    return (uint32_t)(bits & (~bits + 1));
}

static bool same_shape(const lt_plan *p, const gpu_gemm *g, uint32_t alignment) {
    const gpu_gemm *s = &p->shape;
    return p->a && p->alignment == alignment && s->type == g->type && s->m == g->m && s->n == g->n && s->k == g->k &&
           s->x_stride == g->x_stride && s->w_stride == g->w_stride && s->y_stride == g->y_stride;
}

static nb_status plan_for(gpu_lt *lt, const gpu_gemm *g, lt_plan **out, nb_error *err) {
    const uint32_t alignment = alignment_of(g);
    const int64_t key[] = {g->type, g->m, g->n, g->k, g->x_stride, g->w_stride, g->y_stride, alignment};
    lt_plan *p = &lt->plans[(hash_bytes(HASH_START, key, sizeof key) >> 20) % N_PLANS];
    *out = p;
    if (same_shape(p, g, alignment)) return NB_OK;
    drop_plan(lt, p);
    p->shape = *g;
    p->alignment = alignment;
    nb_status status = make_plan(lt, p, err);
    if (status) drop_plan(lt, p);
    return status;
}

nb_status gpu_lt_prepare(gpu_lt *lt, const gpu_gemm *g, nb_error *err) {
    lt_plan *p;
    return plan_for(lt, g, &p, err);
}

nb_status gpu_lt_run(gpu_lt *lt, const gpu_gemm *g, nb_error *err) {
    const float alpha = 1, beta = g->accumulate ? 1 : 0;
    lt_plan *p;
    nb_status status = plan_for(lt, g, &p, err);
    if (status) return status;
    return TRY(matmul, lt->handle, lt->desc, &alpha, g->w, p->a, g->x, p->b, &beta, g->y, p->c, g->y, p->c,
               p->algorithm, lt->memory, GPU_BLAS_MEMORY, lt->stream);
}
