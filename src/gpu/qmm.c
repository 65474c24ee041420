/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/qmm.h"

#include "base/num.h"
#include "gpu/rows.h"

_Static_assert(sizeof(struct qmm_params) <= GPU_MAX_PARAMS, "params fit");

const int qmm_tile_rows[QMM_N_TILES] = {32, 64, 128};

#define KERNELS(file, name_, mode_, bits_, type_name, type_)                                                           \
    {.mode = (mode_),                                                                                                  \
     .bits = (bits_),                                                                                                  \
     .type = (type_),                                                                                                  \
     .tiles = {{.module = "qmm_" #file, .name = "qmm_" #name_ "_" #type_name "_32"},                                   \
               {.module = "qmm_" #file, .name = "qmm_" #name_ "_" #type_name "_64"},                                   \
               {.module = "qmm_" #file, .name = "qmm_" #name_ "_" #type_name "_128"}}},
const qmm_kernels qmm_of[] = {QMM_WEIGHTS(KERNELS)};

bool qmm_takes(const krow *row, const kcall *c) {
    const qmm_kernels *of = &qmm_of[row->param[QMM_WHICH]];
    const kweight *w = c->w;
    if (w->mode != of->mode || c->normed || !is_stored_float(c->y.type) || !gpu_mat_aligned(&c->x, 16)) return false;
    if (w->mode == W_PLAIN) return w->type == of->type && w->k % 8 == 0 && gpu_weight_aligned(w, 16, 1);
    if (w->mode == W_AFFINE && (w->bits != of->bits || w->type != of->type)) return false;
    return w->k % 32 == 0 && gpu_weight_aligned(w, 4, w->mode == W_AFFINE ? 2 : 1);
}

void qmm_add(const krow *row, const kcall *c, const gpu_weight *w, const void *tiles, const void *pairs,
             int64_t n_row_tiles, gpu_launches *to) {
    const int tile = row->param[QMM_TILE], tile_rows = qmm_tile_rows[tile];
    const size_t buffer = (size_t)(tile_rows + QMM_N) * QMM_STRIDE * 2;
    const bool two = 2 * buffer <= to->traits->shared_max && (to->traits->caps & GPU_NVIDIA);
    const struct qmm_params p = {.x = gpu_mat_of(&c->x),
                                 .y = gpu_mat_of(&c->y),
                                 .residual = gpu_mat_of(&c->residual),
                                 .bias = gpu_vec_of(&c->weight),
                                 .w = *w,
                                 .tiles = tiles,
                                 .pairs = pairs,
                                 .act = (u32)c->act,
                                 .n_chosen = (u32)c->n_chosen,
                                 .own_x = c->x.cols != c->w->k,
                                 .two_buffers = two};
    const int64_t n_tiles = div_up(c->w->n, QMM_N);
    const gpu_kernel *k = &qmm_of[row->param[QMM_WHICH]].tiles[tile];
    gpu_add(to, k, tiles ? n_tiles : n_row_tiles, tiles ? n_row_tiles : n_tiles, 1, QMM_THREADS,
            two ? 2 * buffer : buffer, &p, sizeof p);
}
