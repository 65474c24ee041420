/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/qmv.h"

#include "base/num.h"
#include "gpu/weight.h"

_Static_assert(sizeof(struct qmv_any_params) <= GPU_MAX_PARAMS, "params fit");
_Static_assert(sizeof(struct qmv_params) <= GPU_MAX_PARAMS, "params fit");

static bool is_float(dtype t) {
    return t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

bool qmv_any_takes(const kcall *c) {
    return is_float(c->x.type) && is_float(c->y.type) && (!c->z.data || is_float(c->z.type));
}

static const gpu_kernel k_any = {.module = "qmv_any", .name = "qmv_any"};

void qmv_add_any(const kcall *c, void *table, gpu_launches *to) {
    const gpu_weight w = gpu_weight_of(c->w, table, to);
    const bool experts = c->op == KOP_MATMUL_EXPERTS;
    const int64_t n_chosen = experts ? c->n_chosen : 1, warps = QMV_ANY_THREADS / to->traits->warp;
    const struct qmv_any_params p = {.x = gpu_mat_of(&c->x),
                                     .y = gpu_mat_of(&c->y),
                                     .z = gpu_mat_of(&c->z),
                                     .residual = gpu_mat_of(&c->residual),
                                     .bias = gpu_vec_of(&c->weight),
                                     .norm = gpu_vec_of(&c->weight2),
                                     .w = w,
                                     .mode = (u32)c->w->mode,
                                     .bits = (u32)c->w->bits,
                                     .act = (u32)c->act,
                                     .n_chosen = (u32)n_chosen,
                                     .own_x = experts && c->x.cols != c->w->k,
                                     .normed = c->normed,
                                     .eps = c->eps,
                                     .offset = c->offset};
    const int64_t each = c->act ? c->w->n / 2 : c->w->n;
    if (c->y.rows > 0 && each > 0)
        gpu_add(to, &k_any, div_up(each, warps), min_i64(c->y.rows * n_chosen, 65535), 1, QMV_ANY_THREADS, 0, &p,
                sizeof p);
}
