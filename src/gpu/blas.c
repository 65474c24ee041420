/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the vendor's libraries computes a GEMM. */
#include "gpu/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct gpu_blas {
    const char *name; /* of the library that is asked first */
    gpu_lt *lt;
    gpu_roc *roc;
    bool told;
};

bool gpu_blas_there(const gpu_vendor *v, int driver_version, char *text, size_t size) {
    gpu_library lt, roc = {0};
    const bool has_lt = gpu_lt_open(&lt, v, driver_version), has_roc = v == &gpu_hip && gpu_roc_open(&roc);
    snprintf(text, size, "%s%s%s", has_lt ? lt.name : lt.error, v == &gpu_hip ? "; " : "",
             has_roc ? roc.name : roc.error);
    return has_lt || has_roc;
}

nb_status gpu_blas_new(const gpu_vendor *v, int driver_version, const char *device_name, void *stream, void *memory,
                       gpu_blas **out, nb_error *err) {
    gpu_library lt = {0}, roc = {0};
    *out = NULL;
    gpu_blas *b = calloc(1, sizeof *b);
    if (!b) return err_no_memory(err, "the GEMM library", sizeof *b);
    b->name = v == &gpu_hip ? "hipBLASLt" : "cuBLASLt";
    nb_status status = NB_ERR_NOT_FOUND;
    if (gpu_lt_open(&lt, v, driver_version))
        status = gpu_lt_new(v, &lt, device_name, stream, memory, &b->lt, err);
    else
        err_set(err, status, "%s: %s", device_name, lt.error);
    /* Beside the other one, or alone: it knows more devices. */
    if (v == &gpu_hip && gpu_roc_open(&roc)) {
        if (status && status != NB_ERR_NOT_FOUND && err) log_msg(NB_LOG_DEBUG, "%s", err->text);
        status = gpu_roc_new(&roc, device_name, stream, memory, &b->roc, err);
    }
    if (status) {
        gpu_blas_free(b);
        return status;
    }
    *out = b;
    return NB_OK;
}

void gpu_blas_free(gpu_blas *b) {
    if (!b) return;
    gpu_lt_free(b->lt);
    gpu_roc_free(b->roc);
    free(b);
}

static void tell_first(gpu_blas *b, const gpu_gemm *g, const char *library) {
    if (b->told) return;
    b->told = true;
    log_msg(NB_LOG_DEBUG,
            "first GEMM, by %s: M %lld, N %lld, K %lld, x not transposed with leading dimension %lld, w transposed "
            "with %lld, y with %lld, %s to f32%s",
            library, (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->x_stride, (long long)g->w_stride,
            (long long)g->y_stride, dtype_name(g->type), g->accumulate ? ", added to y" : "");
}

/* Asks for an algorithm; *roc: the other library has to do it. */
static nb_status choose(gpu_blas *b, const gpu_gemm *g, bool *roc, nb_error *err) {
    nb_status status = b->lt ? gpu_lt_prepare(b->lt, g, err) : NB_ERR_UNSUPPORTED;
    *roc = status == NB_ERR_UNSUPPORTED && b->roc;
    return *roc ? NB_OK : status;
}

nb_status gpu_blas_prepare(gpu_blas *b, const gpu_gemm *g, nb_error *err) {
    bool roc;
    return choose(b, g, &roc, err);
}

nb_status gpu_blas_run(gpu_blas *b, const gpu_gemm *g, nb_error *err) {
    bool roc;
    nb_status status = choose(b, g, &roc, err);
    if (status) return status;
    tell_first(b, g, roc ? "rocBLAS" : b->name);
    return roc ? gpu_roc_run(b->roc, g, err) : gpu_lt_run(b->lt, g, err);
}
