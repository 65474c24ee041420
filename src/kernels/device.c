/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

const char *device_text(const device_info *info, char text[32]) {
    snprintf(text, 32, "%s:%d", info->backend, info->index);
    return text;
}

static nb_status run_here(device *d, const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch,
                          nb_error *err) {
    (void)d, (void)err;
    row->run(row, c, begin, end, scratch);
    return NB_OK;
}

static void free_host(device *d) {
    if (!d) return;
    kreg_free(d->registry);
    free(d);
}

nb_status device_new_host(device **out, nb_error *err) {
    *out = NULL;
    device *d = calloc(1, sizeof *d);
    if (!d) return err_no_memory(err, "a device", sizeof *d);
    d->run = run_here;
    d->free = free_host;
    nb_status status = kreg_new(&d->registry, err);
    if (status)
        free_host(d);
    else
        *out = d;
    return status;
}

/* The rows that dequantize and call a GEMM; how many there are. */
static size_t set_gemm_aside(device *d) {
    size_t n = 0;
    for (size_t i = 0; i < kreg_count(d->registry); i++) {
        const krow *row = kreg_at(d->registry, i);
        if (!row->dequant_gemm) continue;
        kreg_set_aside(d->registry, row, true);
        n++;
    }
    return n;
}

nb_status device_read_environment(device *d, nb_error *err) {
    char text[32];
    const char *gemm = getenv("MLX_ROCM_QMM_DEQUANT_GEMM"), *patterns = getenv("NIBBLE_KERNELS");
    if (gemm && strcmp(gemm, "0") == 0 && d->info.is_gpu)
        log_msg(NB_LOG_WARN, "MLX_ROCM_QMM_DEQUANT_GEMM=0: %zu kernels of %s that dequantize for a GEMM are set aside",
                set_gemm_aside(d), device_text(&d->info, text));
    else if (gemm && strcmp(gemm, "0") == 0)
        log_msg(NB_LOG_INFO, "MLX_ROCM_QMM_DEQUANT_GEMM=0 is for GPUs: nothing is set aside on %s",
                device_text(&d->info, text));
    return patterns ? kreg_select(d->registry, patterns, err) : NB_OK;
}
