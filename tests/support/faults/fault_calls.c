/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults around a right row: the output is spoiled after it ran, or the call that it gets is not the one that was
 * asked for. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/half.h"
#include "base/num.h"
#include "quant/xform.h"
#include "ref/ref.h"
#include "support/faults/faults.h"

static float *at(const kmat *m, int64_t i, int64_t j) {
    return (float *)m->data + i * m->stride + j;
}

/* y[i][j] = value. In an activation form the group is encoded anew. */
static void set(const kmat *y, int64_t i, int64_t j, float value) {
    if (y->type != DT_XI8X3) {
        *at(y, i, j) = value;
        return;
    }
    float *group = fault_alloc((size_t)y->group * sizeof *group);
    int64_t g = j / y->group;
    for (int64_t k = 0; k < y->group; k++) group[k] = (float)ref_at(y, i, g * y->group + k);
    group[j - g * y->group] = value;
    xform_encode(y, i, g, group);
    free(group);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* Elements of an fp32 matrix from its first to its last. */
static size_t extent(const kmat *m) {
    return (size_t)((m->rows - 1) * m->stride + m->cols);
}

/* Runs the row, then gives y[first_row..][first_col..] back what was there before. y is fp32. */
static void run_but(const krow *real, const kcall *c, int64_t first_row, int64_t first_col) {
    const kmat *y = &c->y;
    float *before = fault_alloc(extent(y) * sizeof *before);
    memcpy(before, y->data, extent(y) * sizeof *before);
    fault_run_real(real, c);
    for (int64_t i = first_row; i < y->rows; i++)
        for (int64_t j = first_col; j < y->cols; j++) *at(y, i, j) = before[i * y->stride + j];
    free(before);
}

/* Tiles are 8 tokens; the last one is left out where it is not full. */
void fault_no_last_tile(const krow *real, const kcall *c) {
    int64_t full = c->y.rows / 8 * 8;
    run_but(real, c, full == 0 ? c->y.rows : full, 0);
}

void fault_unwritten_element(const krow *real, const kcall *c) {
    run_but(real, c, c->y.rows - 1, c->y.cols - 1);
}

void fault_writes_past_end(const krow *real, const kcall *c) {
    const kmat *y = &c->y;
    fault_run_real(real, c);
    if (y->type == DT_XI8X3)
        ((uint8_t *)y->data)[xform_bytes(y->rows, y->cols, y->group)] = 0;
    else
        ((float *)y->data)[extent(y)] = 0.0f;
}

void fault_reads_past_end(const krow *real, const kcall *c) {
    const volatile float *x = c->x.data;
    (void)x[extent(&c->x)];
    fault_run_real(real, c);
}

/* ---- Some numbers ------------------------------------------------------------------------------------------------ */

/* Which element it is depends on its own bits, so that it is the same one in every run and every batch. */
void fault_one_in_a_million(const krow *real, const kcall *c) {
    fault_run_real(real, c);
    for (int64_t i = 0; i < c->y.rows; i++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            float y = (float)ref_at(&c->y, i, j);
            uint64_t hash = ((uint64_t)f32_bits(y) << 20 ^ (uint64_t)j) * 0x9e3779b97f4a7c15u;
            hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
            if (hash >> 44 == 0x5a5a5) set(&c->y, i, j, y * 1.25f + 0.125f);
        }
    }
}

/* Every 4th column gets what its neighbour has. */
static void repeat_columns(const kcall *c) {
    for (int64_t i = 0; i < c->y.rows; i++)
        for (int64_t j = 3; j < c->y.cols; j += 4) *at(&c->y, i, j) = *at(&c->y, i, j - 1);
}

void fault_single_token(const krow *real, const kcall *c) {
    fault_run_real(real, c);
    if (c->y.rows == 1) repeat_columns(c);
}

void fault_many_tokens(const krow *real, const kcall *c) {
    fault_run_real(real, c);
    if (c->y.rows >= 13) repeat_columns(c);
}

/* Of each expert's outputs, too. */
void fault_int16_outputs(const krow *real, const kcall *c) {
    fault_run_real(real, c);
    for (int64_t i = 0; i < c->y.rows; i++)
        for (int64_t j = 0; j < c->y.cols; j++)
            if (j % c->w->n > INT16_MAX) *at(&c->y, i, j) = *at(&c->y, i, j - INT16_MAX - 1);
}

void fault_uint8_tokens(const krow *real, const kcall *c) {
    kcall other = *c;
    int32_t *tokens = fault_alloc((size_t)c->y.rows * sizeof *tokens);
    for (int64_t i = 0; i < c->y.rows; i++) tokens[i] = c->tokens[i] & UINT8_MAX;
    other.tokens = tokens;
    fault_run_real(real, &other);
    free(tokens);
}

/* Each element is too small, by less than the roundings of its sum may add up to but more than they do. */
void fault_truncates(const krow *real, const kcall *c) {
    fault_run_real(real, c);
    for (int64_t i = 0; i < c->y.rows; i++)
        for (int64_t j = 0; j < c->y.cols; j++) *at(&c->y, i, j) *= 1 - 0x1p-20f;
}

static bool is_zero(const kmat *x, int64_t i) {
    for (int64_t j = 0; j < x->cols; j++)
        if (*at(x, i, j) != 0.0f) return false;
    return true;
}

/* As without the eps under the root. y may be x, so x is looked at first. */
void fault_zero_row_is_nan(const krow *real, const kcall *c) {
    bool *zero = fault_alloc((size_t)c->x.rows * sizeof *zero);
    for (int64_t i = 0; i < c->x.rows; i++) zero[i] = is_zero(&c->x, i);
    fault_run_real(real, c);
    for (int64_t i = 0; i < c->x.rows; i++)
        for (int64_t j = 0; zero[i] && j < c->y.cols; j++) set(&c->y, i, j, NAN);
    free(zero);
}

/* ---- Off by one -------------------------------------------------------------------------------------------------- */

/* Each pair turns as the next one should. */
void fault_rope_frequency(const krow *real, const kcall *c) {
    int64_t half = c->y.cols / 2;
    double *freqs = fault_alloc((size_t)half * sizeof *freqs);
    for (int64_t i = 0; i < half; i++) freqs[i] = c->freqs[min_i64(i + 1, half - 1)];
    kcall other = *c;
    other.freqs = freqs;
    fault_run_real(real, &other);
    free(freqs);
}

/* No token sees itself, but for the first one of a sequence, which would see nothing. */
void fault_mask(const krow *real, const kcall *c) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        int32_t position = (int32_t)max_i64(c->positions[t] - 1, 0);
        kcall one = *c;
        one.x.data = at(&c->x, t, 0);
        one.y.data = at(&c->y, t, 0);
        one.x.rows = one.y.rows = 1;
        one.positions = &position;
        one.tables = c->tables + t;
        fault_run_real(real, &one);
    }
}

/* The smallest number of an expert that is not among the n in `chosen`. */
static float another(const float *chosen, int64_t n) {
    float e = 0;
    for (int64_t s = 0; s < n; s++)
        if (chosen[s] == e) e++, s = -1;
    return e;
}

/* The last place is some expert's, of weight 0. */
void fault_one_expert_less(const krow *real, const kcall *c) {
    int64_t n = c->n_chosen, less = n - 1;
    if (less == 0) {
        fault_run_real(real, c);
        return;
    }
    kcall other = *c;
    other.n_chosen = less;
    other.y.cols = other.y.stride = 2 * less;
    other.y.data = fault_alloc((size_t)(c->y.rows * 2 * less) * sizeof(float));
    fault_run_real(real, &other);
    for (int64_t t = 0; t < c->y.rows; t++) {
        float *y = at(&c->y, t, 0), *from = at(&other.y, t, 0);
        memcpy(y, from, (size_t)less * sizeof *y);
        memcpy(y + n, from + less, (size_t)less * sizeof *y);
        y[less] = another(from, less);
        y[n + less] = 0.0f;
    }
    free(other.y.data);
}

/* ---- No answer at all -------------------------------------------------------------------------------------------- */

void fault_crashes(const krow *real, const kcall *c) {
    volatile uintptr_t nowhere = 64;
    *(volatile int *)nowhere = 1;
    fault_run_real(real, c);
}

void fault_hangs(const krow *real, const kcall *c) {
    for (;;) pause();
    fault_run_real(real, c);
}
