/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable rows of gated delta nets: CONV1D, DELTA_GATES, DELTA. States tie the tokens of a sequence together, so a
 * task is some channels, or some rows of one head's state, of all tokens, one token after the other; the bits are the
 * same whether a sequence comes in one call, in pieces or token by token. */
#include "cpu/scalar_rows.h"

#include <string.h>

#include "base/half.h"

static float *state_of(const kcall *c, int64_t t) {
    return c->states.data + c->slots[t] * c->states.size;
}

/* ---- CONV1D -------------------------------------------------------------------------------------------------- */

enum { BLOCK_CHANNELS = 64 };

static int64_t conv1d_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->x.cols, BLOCK_CHANNELS);
}

static size_t conv1d_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)c->w->k * BLOCK_CHANNELS * sizeof(float);
}

/* Where channel `channel` and its neighbours of input `at` of a sequence lie, whose first token of this call is
 * `first`; what came before it is in the state. */
static const float *conv1d_input(const kcall *c, int64_t first, int64_t at, int64_t channel) {
    if (at >= 0) return row_in(&c->x, first + at) + channel;
    return state_of(c, first) + (c->w->k - 1 + at) * c->x.cols + channel;
}

/* Channels [from, from + n) of one sequence, tokens [first, end). weights is [kernel][n]. The new state may take its
 * inputs from the old one, always from a later place, so it is written oldest first. */
static void conv1d_sequence(const kcall *c, int64_t first, int64_t end, int64_t from, int64_t n, const float *weights) {
    int64_t kernel = c->w->k;
    for (int64_t t = first; t < end; t++) {
        float *y = row_out(&c->y, t) + from;
        for (int64_t i = 0; i < n; i++) y[i] = 0;
        for (int64_t j = 0; j < kernel; j++) {
            const float *u = conv1d_input(c, first, t - first + j - kernel + 1, from);
            for (int64_t i = 0; i < n; i++) y[i] += weights[j * n + i] * u[i];
        }
        for (int64_t i = 0; i < n; i++) y[i] = scalar_act(c->act, y[i]);
    }
    float *state = state_of(c, first) + from;
    for (int64_t j = 0; j < kernel - 1; j++)
        memcpy(state + j * c->x.cols, conv1d_input(c, first, end - first - kernel + 1 + j, from),
               (size_t)n * sizeof *state);
}

static void conv1d_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    float *weights = scratch;
    for (int64_t task = begin; task < end; task++) {
        int64_t from = task * BLOCK_CHANNELS, n = min_i64(BLOCK_CHANNELS, c->x.cols - from);
        for (int64_t j = 0; j < c->w->k; j++)
            for (int64_t i = 0; i < n; i++)
                weights[j * n + i] = float_at_f32(c->w->codes, c->w->type, (from + i) * c->w->k + j);
        for (int64_t first = 0, next; first < c->x.rows; first = next) {
            next = kcall_sequence_end(c, first);
            conv1d_sequence(c, first, next, from, n, weights);
        }
    }
}

/* ---- DELTA_GATES --------------------------------------------------------------------------------------------- */

static float softplus(float x) {
    return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x)));
}

static void delta_gates_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *a = row_in(&c->x, t), *b = row_in(&c->z, t);
        float *decay = row_out(&c->y, t), *beta = decay + c->x.cols;
        for (int64_t h = 0; h < c->x.cols; h++) {
            float rate = expf(float_at_f32(c->weight.data, c->weight.type, h));
            decay[h] = expf(-rate * softplus(a[h] + float_at_f32(c->weight2.data, c->weight2.type, h)));
            beta[h] = scalar_sigmoid(b[h]);
        }
    }
}

/* ---- DELTA --------------------------------------------------------------------------------------------------- */

enum { BLOCK_VALUES = 16 };

static int64_t value_dim(const kcall *c) {
    return c->y.cols / c->n_parts;
}

static int64_t delta_tasks(const krow *row, const kcall *c) {
    (void)row;
    return c->n_parts * div_up(value_dim(c), BLOCK_VALUES);
}

static size_t delta_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)(2 * c->key_dim) * sizeof(float);
}

static void normalize(const float *x, int64_t n, float eps, float factor, float *y) {
    factor /= sqrtf(scalar_dot(x, x, n) + eps);
    for (int64_t j = 0; j < n; j++) y[j] = x[j] * factor;
}

/* Rows [from, to) of value head h take in token t. q is scratch for the normalized query and key. */
static void delta_token(const kcall *c, int64_t t, int64_t h, int64_t from, int64_t to, float *q) {
    int64_t dim = c->key_dim, key_head = h / (c->n_parts / c->n_keys), at = h * value_dim(c);
    const float *x = row_in(&c->x, t), *v = x + 2 * c->n_keys * dim + at;
    float *k = q + dim, *y = row_out(&c->y, t) + at, *head = state_of(c, t) + at * dim;
    float decay = row_in(&c->z, t)[h], beta = row_in(&c->z, t)[c->n_parts + h];
    normalize(x + key_head * dim, dim, c->eps, 1.0f / sqrtf((float)dim), q);
    normalize(x + (c->n_keys + key_head) * dim, dim, c->eps, 1.0f, k);
    for (int64_t i = from; i < to; i++) {
        float *s = head + i * dim;
        for (int64_t j = 0; j < dim; j++) s[j] *= decay;
        float delta = beta * (v[i] - scalar_dot(s, k, dim));
        for (int64_t j = 0; j < dim; j++) s[j] += delta * k[j];
        y[i] = scalar_dot(s, q, dim);
    }
}

static void delta_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    int64_t n_blocks = div_up(value_dim(c), BLOCK_VALUES);
    for (int64_t task = begin; task < end; task++) {
        int64_t h = task / n_blocks, from = task % n_blocks * BLOCK_VALUES;
        int64_t to = min_i64(from + BLOCK_VALUES, value_dim(c));
        for (int64_t t = 0; t < c->x.rows; t++) delta_token(c, t, h, from, to, scratch);
    }
}

static const krow rows[] = {
    {
        .name = "conv1d.scalar",
        .backend = "cpu",
        .op = KOP_CONV1D,
        .takes = takes_f32,
        .tasks = conv1d_tasks,
        .scratch = conv1d_scratch,
        .run = conv1d_run,
    },
    {
        .name = "delta_gates.scalar",
        .backend = "cpu",
        .op = KOP_DELTA_GATES,
        .takes = takes_f32,
        .tasks = tasks_x_rows,
        .run = delta_gates_run,
    },
    {
        .name = "delta.scalar",
        .backend = "cpu",
        .op = KOP_DELTA,
        .takes = takes_f32,
        .tasks = delta_tasks,
        .scratch = delta_scratch,
        .run = delta_run,
    },
};
const krow_table scalar_delta_rows = KROW_TABLE(rows);
