/* SPDX-License-Identifier: Apache-2.0
 *
 * That the libraries of ROCm for tests refuse what a real one would compute wrongly or not at all: each call is made
 * right once and then with one thing wrong. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/half.h"

enum { M = 3, N = 16, K = 32, WORKSPACE = 1 << 20, OP_N = 111, OP_T = 112, ROC_F16 = 150, ROC_F32 = 151 };

static struct {
    void *hip, *roc, *lt, *stream;
    char *w, *x, *y, *memory; /* the device's */
} at;

static void *library(const char *name) {
    char path[1024];
    const char *bin = getenv("NB_BIN");
    snprintf(path, sizeof path, "%.*s/tests/gpu/hip/%s", (int)(strrchr(bin, '/') - bin), bin, name);
    return dlopen(path, RTLD_NOW);
}

/* Calls a function by its name: all of these return an int. What they take is not repeated here. */
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#define CALL(lib, name, ...) (((int (*)())find((lib), (name)))(__VA_ARGS__))
static void *find(void *lib, const char *name) {
    void *p = dlsym(lib, name);
    if (!p) fail_msg("there is no %s", name);
    return p;
}

static void *device_memory(size_t bytes) {
    void *p = NULL;
    assert_int_equal(CALL(at.hip, "hipMalloc", &p, bytes), 0);
    return p;
}

static int start(void **state) {
    (void)state;
    at.hip = library("libamdhip64.so.7");
    at.roc = library("librocblas.so.5");
    at.lt = library("libhipblaslt.so.1");
    assert_true(at.hip && at.roc && at.lt);
    assert_int_equal(CALL(at.hip, "hipInit", 0u), 0);
    assert_int_equal(CALL(at.hip, "hipStreamCreateWithFlags", &at.stream, 1u), 0);
    at.w = device_memory(N * K * 2);
    at.x = device_memory(M * K * 2);
    at.y = device_memory(M * N * 4);
    at.memory = device_memory(WORKSPACE);
    return 0;
}

/* Ones, so that every element of the product is K. */
static void put_ones(void *to, size_t n) {
    void *host = NULL;
    assert_int_equal(CALL(at.hip, "hipHostMalloc", &host, 2 * n, 0u), 0);
    for (size_t i = 0; i < n; i++) ((uint16_t *)host)[i] = f32_to_f16(1);
    assert_int_equal(CALL(at.hip, "hipMemcpyHtoDAsync", to, host, 2 * n, at.stream), 0);
    assert_int_equal(CALL(at.hip, "hipStreamSynchronize", at.stream), 0);
    assert_int_equal(CALL(at.hip, "hipHostFree", host), 0);
}

static void expect_product(void) {
    float y[M * N];
    assert_int_equal(CALL(at.hip, "hipMemcpyDtoHAsync", y, at.y, sizeof y, at.stream), 0);
    for (size_t i = 0; i < M * N; i++) assert_true(y[i] == K);
}

static int roc_gemm(void *handle, int op_a, int type_a, int lda, int ldb, int ldd, char *w, int type_d) {
    const float one = 1, zero = 0;
    return CALL(at.roc, "rocblas_gemm_ex", handle, op_a, OP_N, N, M, K, &one, w, type_a, lda, at.x, ROC_F16, ldb, &zero,
                at.y, type_d, ldd, at.y, type_d, ldd, ROC_F32, 0, 0, 0u);
}

static void rocblas(void **state) {
    (void)state;
    void *handle = NULL;
    put_ones(at.w, N * K);
    put_ones(at.x, M * K);
    assert_int_equal(CALL(at.roc, "rocblas_create_handle", &handle), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N, at.w, ROC_F32), 0); /* no stream, no workspace */
    assert_int_equal(CALL(at.roc, "rocblas_set_stream", handle, at.stream), 0);
    assert_int_equal(CALL(at.roc, "rocblas_set_atomics_mode", handle, 0), 0);
    assert_int_not_equal(CALL(at.roc, "rocblas_set_workspace", handle, at.memory, (size_t)2 * WORKSPACE), 0);
    assert_int_equal(CALL(at.roc, "rocblas_set_workspace", handle, at.memory, (size_t)WORKSPACE), 0);
    assert_int_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N, at.w, ROC_F32), 0);
    expect_product();
    assert_int_not_equal(roc_gemm(handle, OP_N, ROC_F16, K, K, N, at.w, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, 168, K, K, N, at.w, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K - 1, K, N, at.w, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K + 8, K, N, at.w, ROC_F32), 0); /* past the end of a */
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K + 8, N, at.w, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N - 1, at.w, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N, at.w + 2, ROC_F32), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N, at.w, ROC_F16), 0);
    assert_int_equal(CALL(at.roc, "rocblas_destroy_handle", handle), 0);
    assert_int_not_equal(roc_gemm(handle, OP_T, ROC_F16, K, K, N, at.w, ROC_F32), 0);
}

typedef struct lt_problem {
    void *handle, *desc, *a, *b, *d, *preference;
    uint64_t result[8];
} lt_problem;

static int lt_gemm(const lt_problem *p, void *d, void *memory, size_t bytes) {
    const float one = 1, zero = 0;
    return CALL(at.lt, "hipblasLtMatmul", p->handle, p->desc, &one, at.w, p->a, at.x, p->b, &zero, at.y, d, at.y, d,
                p->result, memory, bytes, at.stream);
}

static void *layout(int type, uint64_t rows, uint64_t columns, int64_t ld) {
    void *l = NULL;
    CALL(at.lt, "hipblasLtMatrixLayoutCreate", &l, type, rows, columns, ld);
    return l;
}

static void hipblaslt(void **state) {
    (void)state;
    enum { F32 = 0, F16 = 2, COMPUTE_F32 = 2, PREF_MEMORY = 1 };
    const int32_t transposed = OP_T;
    const uint64_t memory = WORKSPACE;
    lt_problem p = {0};
    int n = 0;
    assert_int_equal(CALL(at.lt, "hipblasLtCreate", &p.handle), 0);
    assert_int_not_equal(CALL(at.lt, "hipblasLtMatmulDescCreate", &p.desc, 68, F32), 0); /* CUDA's number */
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulDescCreate", &p.desc, COMPUTE_F32, F32), 0);
    assert_null(layout(F16, K, N, K - 1));
    assert_null(layout(150, K, N, K)); /* the number of hipBLASLt up to 0.6 */
    p.a = layout(F16, K, N, K);
    p.b = layout(F16, K, M, K);
    p.d = layout(F32, N, M, N);
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulPreferenceCreate", &p.preference), 0);
    assert_int_equal(
        CALL(at.lt, "hipblasLtMatmulPreferenceSetAttribute", p.preference, PREF_MEMORY, &memory, sizeof memory), 0);
    /* Before a is said to be transposed. */
    assert_int_not_equal(CALL(at.lt, "hipblasLtMatmulAlgoGetHeuristic", p.handle, p.desc, p.a, p.b, p.d, p.d,
                              p.preference, 1, p.result, &n),
                         0);
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulDescSetAttribute", p.desc, 0, &transposed, sizeof transposed), 0);
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulAlgoGetHeuristic", p.handle, p.desc, p.a, p.b, p.d, p.d, p.preference,
                          1, p.result, &n),
                     0);
    assert_int_equal(n, 1);
    assert_int_equal(lt_gemm(&p, p.d, at.memory, WORKSPACE), 0);
    expect_product();
    void *wider = layout(F32, N, M, N + 4);
    assert_int_not_equal(lt_gemm(&p, wider, at.memory, WORKSPACE), 0);        /* another problem than was asked for */
    assert_int_not_equal(lt_gemm(&p, p.a, at.memory, WORKSPACE), 0);          /* not f32 */
    assert_int_not_equal(lt_gemm(&p, p.d, at.memory, 1024), 0);               /* less than the algorithm needs */
    assert_int_not_equal(lt_gemm(&p, p.d, at.memory + 16, WORKSPACE / 2), 0); /* not aligned */
    assert_int_not_equal(lt_gemm(&p, p.d, at.memory, 2 * WORKSPACE), 0);      /* more than there is */
    p.result[0]++;
    assert_int_not_equal(lt_gemm(&p, p.d, at.memory, WORKSPACE), 0);    /* no algorithm of this library */
    assert_int_not_equal(CALL(at.lt, "hipblasLtDestroy", p.handle), 0); /* layouts live */
    void *const layouts[] = {p.a, p.b, p.d, wider};
    for (size_t i = 0; i < 4; i++) assert_int_equal(CALL(at.lt, "hipblasLtMatrixLayoutDestroy", layouts[i]), 0);
    assert_int_not_equal(CALL(at.lt, "hipblasLtMatrixLayoutDestroy", p.a), 0);
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulPreferenceDestroy", p.preference), 0);
    assert_int_equal(CALL(at.lt, "hipblasLtMatmulDescDestroy", p.desc), 0);
    assert_int_equal(CALL(at.lt, "hipblasLtDestroy", p.handle), 0);
}

static void copies(void **state) {
    (void)state;
    char pageable[64] = "";
    assert_int_not_equal(CALL(at.hip, "hipMemcpyHtoDAsync", at.y, pageable, sizeof pageable, at.stream), 0);
    assert_int_not_equal(CALL(at.hip, "hipMemcpyDtoDAsync", at.y, at.w, (size_t)(M * N * 4 + 1), at.stream), 0);
    assert_int_not_equal(CALL(at.hip, "hipMemsetD8Async", at.y + 4, 0, (size_t)(M * N * 4), at.stream), 0);
    assert_int_not_equal(CALL(at.hip, "hipStreamSynchronize", at.y), 0);
    assert_int_not_equal(CALL(at.hip, "hipFree", at.y + 16), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rocblas), cmocka_unit_test(hipblaslt),
                                       cmocka_unit_test(copies)};
    return cmocka_run_group_tests(tests, start, NULL);
}
