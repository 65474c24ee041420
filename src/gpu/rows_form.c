/* SPDX-License-Identifier: Apache-2.0
 *
 * What puts activations into the form of quant/xform.h, which products of few tokens on NVIDIA read
 * (kernels/form.c). */
#include "base/num.h"
#include "gpu/kernels/form_params.h"
#include "gpu/kernels/reduce_params.h"
#include "gpu/rows.h"
#include "quant/xform.h"

static const gpu_kernel form = {.module = "form", .name = "form"},
                        form_normed = {.module = "form", .name = "form_normed"};

static struct form_params form_params_of(const kcall *c) {
    return (struct form_params){.x = gpu_mat_of(&c->x),
                                .weight = gpu_vec_of(&c->weight),
                                .to = c->y.data,
                                .codes_at = (u32)((const uint8_t *)xform_codes(&c->y, 0) - (const uint8_t *)c->y.data),
                                .group = (u32)c->y.group,
                                .eps = c->eps,
                                .offset = c->offset};
}

static bool form_takes(const krow *row, const kcall *c) {
    (void)row;
    return is_stored_float(c->x.type) && c->y.type == DT_XI8X3 && is_aligned(c->y.data, 64) && c->y.group <= 256 &&
           is_power_of_2(c->y.group) && gpu_mat_aligned(&c->x, 16);
}

static void form_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct form_params p = form_params_of(c);
    if (c->x.rows > 0)
        gpu_add(to, &form, div_up(c->x.cols, FORM_THREADS * FORM_EACH), min_i64(c->x.rows, 65535), 1, FORM_THREADS, 0,
                &p, sizeof p);
}

static bool normed_takes(const krow *row, const kcall *c) {
    return form_takes(row, c) && c->n_parts == 1 && c->x.cols <= FORM_THREADS * FORM_EACH * FORM_HELD &&
           is_aligned(c->weight.data, 16);
}

static void normed_enqueue(const krow *row, const kcall *c, void *scratch, gpu_launches *to) {
    (void)row;
    (void)scratch;
    const struct form_params p = form_params_of(c);
    if (c->x.rows > 0)
        gpu_add(to, &form_normed, c->x.rows, 1, 1, FORM_THREADS, REDUCE_FLOATS * sizeof(float), &p, sizeof p);
}

static const krow rows[] = {
    {.name = "quantize.xi8x3.gpu",
     .backend = "gpu",
     .op = KOP_QUANTIZE,
     .needs = GPU_NVIDIA,
     .takes = form_takes,
     .tasks = gpu_one_task,
     .enqueue = form_enqueue},
    {.name = "rmsnorm.xi8x3.gpu",
     .backend = "gpu",
     .op = KOP_RMSNORM,
     .needs = GPU_NVIDIA,
     .takes = normed_takes,
     .tasks = gpu_one_task,
     .enqueue = normed_enqueue},
};

const gpu_row_list gpu_rows_form = {rows, sizeof rows / sizeof *rows};
