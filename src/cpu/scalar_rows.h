/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of portable rows share: rows of matrices, the usual `takes` and `tasks`, activations. */
#ifndef NB_CPU_SCALAR_ROWS_H
#define NB_CPU_SCALAR_ROWS_H

#include <math.h>

#include "base/num.h"
#include "cpu/cpu_rows.h"
#include "cpu/scalar_weight.h"

static inline const float *row_in(const kmat *m, int64_t t) {
    return (const float *)m->data + t * m->stride;
}

static inline float *row_out(const kmat *m, int64_t t) {
    return (float *)m->data + t * m->stride;
}

static inline bool takes_f32(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32 && (!c->z.data || c->z.type == DT_F32);
}

/* A task is a token. One past the last token exists only in calls of no tokens, so runs end at min_i64(end, rows). */
static inline int64_t tasks_y_rows(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->y.rows);
}

static inline int64_t tasks_x_rows(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows);
}

static inline float scalar_sigmoid(float x) {
    return 1.0f / (1.0f + expf(-x));
}

/* What act makes of a gate (of swiglu_oai, the gate's part). gelu's 1 + tanh(u) is 2 sigmoid(2 u), which keeps its
 * precision where tanh comes near -1. */
static inline float scalar_act(kact act, float x) {
    switch (act) {
    case ACT_SILU:
        return x / (1.0f + expf(-x));
    case ACT_GELU:
        return x / (1.0f + expf(-1.5957691f * (x + 0.044715f * x * x * x)));
    case ACT_SIGMOID:
        return scalar_sigmoid(x);
    case ACT_SWIGLU_OAI:
        x = fminf(x, 7.0f);
        return x / (1.0f + expf(-1.702f * x));
    default:
        return x;
    }
}

#endif
