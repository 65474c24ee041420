/* SPDX-License-Identifier: Apache-2.0
 *
 * What a vendor's GEMM library computes, in double precision, and what is wrong with what it is asked. */
#include "gpu/driver/queue.h"

#include <stdlib.h>

#include "base/half.h"

static size_t bytes_of(int64_t rows, int64_t columns, int64_t stride, size_t element) {
    return ((size_t)(rows - 1) * (size_t)stride + (size_t)columns) * element;
}

bool sim_is_memory(const void *p, size_t bytes) {
    return sim_holds(p, bytes);
}

const char *sim_wrong_gemm(const gpu_gemm *g) {
    if (g->type != DT_F16 && g->type != DT_BF16) return "its operands are no 16-bit floats";
    if (g->m < 1 || g->n < 1 || g->k < 1) return "a dimension is not positive";
    if (g->m > INT32_MAX || g->n > INT32_MAX || g->k > INT32_MAX) return "a dimension has more than 31 bits";
    if (g->x_stride < g->k) return "the leading dimension of B is less than K";
    if (g->w_stride < g->k) return "the leading dimension of A is less than K";
    if (g->y_stride < g->n) return "the leading dimension of D is less than its rows";
    if ((uintptr_t)g->x % 16 || (uintptr_t)g->w % 16 || (uintptr_t)g->y % 16)
        return "an operand is not at a multiple of 16 bytes";
    if (!sim_holds(g->w, bytes_of(g->n, g->k, g->w_stride, 2))) return "A is not all in one piece of device memory";
    if (!sim_holds(g->x, bytes_of(g->m, g->k, g->x_stride, 2))) return "B is not all in one piece of device memory";
    if (!sim_holds(g->y, bytes_of(g->m, g->n, g->y_stride, 4))) return "D is not all in one piece of device memory";
    return NULL;
}

static double element(const gpu_gemm *g, const void *p, int64_t i) {
    const uint16_t h = ((const uint16_t *)p)[i];
    return (double)(g->type == DT_F16 ? f16_to_f32(h) : bf16_to_f32(h));
}

static double *row_of(const gpu_gemm *g, const void *p, int64_t at, double *to) {
    for (int64_t l = 0; l < g->k; l++) to[l] = element(g, p, at + l);
    return to;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

void gemm_run(const gpu_gemm *g) {
    double *x = malloc((size_t)(g->m * g->k) * sizeof *x), *w = malloc((size_t)g->k * sizeof *w);
    if (!x || !w) abort();
    for (int64_t i = 0; i < g->m; i++) row_of(g, g->x, i * g->x_stride, x + i * g->k);
    for (int64_t j = 0; j < g->n; j++) {
        row_of(g, g->w, j * g->w_stride, w);
        for (int64_t i = 0; i < g->m; i++) {
            float *to = (float *)g->y + i * g->y_stride + j;
            *to = (float)(dot(x + i * g->k, w, g->k) + (g->accumulate ? (double)*to : 0));
        }
    }
    free(x);
    free(w);
}
