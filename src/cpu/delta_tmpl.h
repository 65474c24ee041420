/* SPDX-License-Identifier: Apache-2.0
 *
 * The gated delta net's operations for vectors of any width: CONV1D, DELTA_GATES and DELTA. Tasks are pieces of the
 * width (channels, rows of a state), and a task walks all tokens in order, so that its piece of the state stays in the
 * first cache and a prompt gives the same bits in one call as in many.
 *
 * The including file includes the header of its vectors (x86/vec_avx2.h, x86/vec_avx512.h, arm/neon.h) and defines
 * ITS_RANK, INSTRUCTIONS and NEEDS. */
#include <math.h>
#include <string.h>

#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"

enum {
    CHANNELS = 128,  /* of a task of CONV1D */
    MOST_TAPS = 8,   /* of its kernel */
    STATE_ROWS = 32, /* of a task of DELTA: 16 KB for keys of 128 */
    AT_ONCE = 4,     /* rows that share the loads of q and k */
    MOST_KEY = 512,  /* key_dim */
    USUAL_KEY = 128,
    AHEAD = 2, /* tokens */
};

static const float *row_in(const kmat *m, int64_t t) {
    return (const float *)m->data + t * m->stride;
}

static float *row_out(const kmat *m, int64_t t) {
    return (float *)m->data + t * m->stride;
}

static bool all_f32(const kcall *c) {
    return c->x.type == DT_F32 && c->y.type == DT_F32 && (!c->z.data || c->z.type == DT_F32);
}

/* Where the tokens of t's sequence end. */
static int64_t sequence_end(const kcall *c, int64_t t) {
    const int32_t slot = c->slots[t];
    while (t < c->x.rows && c->slots[t] == slot) t++;
    return t;
}

static float *state_of(const kcall *c, int64_t t) {
    return c->states.data + c->slots[t] * c->states.size;
}

/* ---- CONV1D -------------------------------------------------------------------------------------------------- */

static bool conv1d_takes(const krow *row, const kcall *c) {
    (void)row;
    return all_f32(c) && c->w->k <= MOST_TAPS;
}

static int64_t conv1d_tasks(const krow *row, const kcall *c) {
    (void)row;
    return div_up(c->x.cols, CHANNELS);
}

/* taps[j][i] = W[first + i][j] */
static void turn_taps(const kweight *w, int64_t first, int64_t n, float taps[MOST_TAPS][CHANNELS]) {
    int64_t i = 0;
    for (; w->k == 4 && i + LANES <= n; i += LANES) {
        vfloat a[4];
        for (int v = 0; v < 4; v++) a[v] = load_stored(w->codes, w->type, (first + i) * 4 + v * LANES);
        v_turn4(a);
        for (int j = 0; j < 4; j++) v_store(taps[j] + i, a[j]);
    }
    for (; i < n; i++)
        for (int64_t j = 0; j < w->k; j++) taps[j][i] = float_at_f32(w->codes, w->type, (first + i) * w->k + j);
}

/* One token: u[j] are the inputs that meet tap j. */
static void convolve(const kcall *c, const float *const u[MOST_TAPS], float taps[MOST_TAPS][CHANNELS], int64_t n,
                     float *y) {
    for (int64_t i = 0; i < n; i += LANES) {
        const int part = (int)min_i64(LANES, n - i);
        vfloat sum = v_set1(0);
        for (int64_t j = 0; j < c->w->k; j++) sum = v_fma(v_load(taps[j] + i), v_load_part(u[j] + i, part), sum);
        if (c->act == ACT_SILU) sum = v_div(sum, v_add(v_set1(1), v_exp(v_neg(sum))));
        v_store_part(y + i, part, sum);
    }
}

/* Channels [first, first + n) of tokens [begin, end), which are a sequence's. */
static void convolve_sequence(const kcall *c, float taps[MOST_TAPS][CHANNELS], int64_t first, int64_t n, int64_t begin,
                              int64_t end) {
    const int64_t before = c->w->k - 1;
    float *state = state_of(c, begin) + first;
    for (int64_t t = begin; t < end; t++) {
        const float *u[MOST_TAPS];
        for (int64_t j = 0; j <= before; j++) {
            int64_t at = t - before + j;
            u[j] = at >= begin ? row_in(&c->x, at) + first : state + (at - begin + before) * c->x.cols;
        }
        convolve(c, u, taps, n, row_out(&c->y, t) + first);
    }
    /* Rows of the old state that stay are moved to lower ones first. */
    for (int64_t j = 0; j < before; j++) {
        int64_t at = end - before + j;
        const float *from = at >= begin ? row_in(&c->x, at) + first : state + (at - begin + before) * c->x.cols;
        memcpy(state + j * c->x.cols, from, (size_t)n * sizeof *from);
    }
}

static void conv1d_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    float taps[MOST_TAPS][CHANNELS] = {{0}};
    for (int64_t task = begin; task < end; task++) {
        const int64_t first = task * CHANNELS, n = min_i64(CHANNELS, c->x.cols - first);
        turn_taps(c->w, first, n, taps);
        for (int64_t t = 0, next; t < c->x.rows; t = next) {
            next = sequence_end(c, t);
            convolve_sequence(c, taps, first, n, t, next);
        }
    }
}

/* ---- DELTA_GATES --------------------------------------------------------------------------------------------- */

static bool delta_gates_takes(const krow *row, const kcall *c) {
    (void)row;
    return all_f32(c);
}

static int64_t delta_gates_tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->x.rows);
}

static vfloat stored_part(const kvec *v, int64_t at, int n) {
    float values[LANES] = {0};
    for (int i = 0; i < n; i++) values[i] = float_at_f32(v->data, v->type, at + i);
    return v_load(values);
}

static void delta_gates_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t heads = c->x.cols;
    for (int64_t h = 0; h < heads; h += LANES) {
        const int part = (int)min_i64(LANES, heads - h);
        const vfloat rate = v_neg(v_exp(stored_part(&c->weight, h, part))), shift = stored_part(&c->weight2, h, part);
        for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
            float *y = row_out(&c->y, t) + h;
            vfloat step = v_softplus(v_add(v_load_part(row_in(&c->x, t) + h, part), shift));
            v_store_part(y, part, v_exp(v_mul(rate, step)));
            v_store_part(y + heads, part, v_sigmoid(v_load_part(row_in(&c->z, t) + h, part)));
        }
    }
}

/* ---- DELTA --------------------------------------------------------------------------------------------------- */

static int64_t value_dim(const kcall *c) {
    return c->y.cols / c->n_parts;
}

static bool delta_takes(const krow *row, const kcall *c) {
    (void)row;
    return all_f32(c) && c->key_dim % LANES == 0 && c->key_dim <= MOST_KEY && value_dim(c) % AT_ONCE == 0;
}

static int64_t delta_tasks(const krow *row, const kcall *c) {
    (void)row;
    return c->n_parts * div_up(value_dim(c), STATE_ROWS);
}

/* y = x * factor / sqrt(sum of squares + eps) */
static void normalize(const float *x, int64_t n, float eps, float factor, float *y) {
    vfloat sums[2] = {v_set1(0), v_set1(0)};
    for (int64_t j = 0; j < n; j += LANES) {
        vfloat a = v_load(x + j);
        sums[j / LANES % 2] = v_fma(a, a, sums[j / LANES % 2]);
    }
    const float by = factor / sqrtf(v_sum(v_add(sums[0], sums[1])) + eps);
    for (int64_t j = 0; j < n; j += LANES) v_store(y + j, v_mul(v_load(x + j), v_set1(by)));
}

/* out = the products of AT_ONCE rows of the state with k. */
ALWAYS_INLINE void ask_rows(const float *s, int64_t key_dim, const float *k, float *out) {
    vfloat sums[AT_ONCE];
    UNROLL for (int r = 0; r < AT_ONCE; r++) sums[r] = v_set1(0);
    UNROLL for (int64_t j = 0; j < key_dim; j += LANES) {
        vfloat a = v_load(k + j);
        UNROLL for (int r = 0; r < AT_ONCE; r++) sums[r] = v_fma(v_load(s + r * key_dim + j), a, sums[r]);
    }
    v_sum4(sums, out);
}

/* AT_ONCE rows become decay times themselves + steps[r] k; y = their products with q. */
ALWAYS_INLINE void write_rows(float *s, int64_t key_dim, const float *q, const float *k, float decay,
                              const float *steps, float *y) {
    vfloat sums[AT_ONCE], step[AT_ONCE], keep = v_set1(decay);
    UNROLL for (int r = 0; r < AT_ONCE; r++) sums[r] = v_set1(0), step[r] = v_set1(steps[r]);
    UNROLL for (int64_t j = 0; j < key_dim; j += LANES) {
        vfloat a = v_load(k + j), b = v_load(q + j);
        UNROLL for (int r = 0; r < AT_ONCE; r++) {
            float *at = s + r * key_dim + j;
            vfloat next = v_fma(step[r], a, v_mul(v_load(at), keep));
            v_store(at, next);
            sums[r] = v_fma(next, b, sums[r]);
        }
    }
    v_sum4(sums, y);
}

/* n rows of the state through one token: S = decay S; S += beta (v - S k) k^T; y = S q. All rows are asked before the
 * first is written: neither then waits for the sums of the other. */
ALWAYS_INLINE void delta_rows(float *s, int64_t n, int64_t key_dim, const float *q, const float *k, const float *v,
                              float decay, float beta, float *y) {
    float steps[STATE_ROWS];
    for (int64_t r = 0; r < n; r += AT_ONCE) ask_rows(s + r * key_dim, key_dim, k, steps + r);
    for (int64_t r = 0; r < n; r++) steps[r] = beta * (v[r] - decay * steps[r]);
    for (int64_t r = 0; r < n; r += AT_ONCE) write_rows(s + r * key_dim, key_dim, q, k, decay, steps + r, y + r);
}

static void prefetch(const float *from, int64_t n) {
    enum { LINE = 16 };
    for (int64_t j = 0; j < n; j += LINE) __builtin_prefetch(from + j);
}

/* Rows [first, first + n) of head h's state through all tokens. What a task needs of a token is little and lies far
 * from that of the next one, so it is asked for ahead. */
static void delta_walk(const kcall *c, int64_t h, int64_t first, int64_t n) {
    const int64_t key_dim = c->key_dim, values = value_dim(c), key_head = h / (c->n_parts / c->n_keys);
    const float q_factor = 1.0f / sqrtf((float)key_dim);
    float q[MOST_KEY], k[MOST_KEY];
    for (int64_t t = 0; t < c->x.rows; t++) {
        const float *x = row_in(&c->x, t), *gates = row_in(&c->z, t);
        if (t + AHEAD < c->x.rows) {
            const float *next = row_in(&c->x, t + AHEAD);
            prefetch(next + key_head * key_dim, key_dim);
            prefetch(next + (c->n_keys + key_head) * key_dim, key_dim);
            prefetch(next + 2 * c->n_keys * key_dim + h * values + first, n);
        }
        const float *v = x + 2 * c->n_keys * key_dim + h * values + first;
        float *s = state_of(c, t) + (h * values + first) * key_dim, *y = row_out(&c->y, t) + h * values + first;
        normalize(x + key_head * key_dim, key_dim, c->eps, q_factor, q);
        normalize(x + (c->n_keys + key_head) * key_dim, key_dim, c->eps, 1, k);
        if (key_dim == USUAL_KEY)
            delta_rows(s, n, USUAL_KEY, q, k, v, gates[h], gates[c->n_parts + h], y);
        else
            delta_rows(s, n, key_dim, q, k, v, gates[h], gates[c->n_parts + h], y);
    }
}

static void delta_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t pieces = div_up(value_dim(c), STATE_ROWS);
    for (int64_t task = begin; task < end; task++) {
        const int64_t first = task % pieces * STATE_ROWS;
        delta_walk(c, task / pieces, first, min_i64(STATE_ROWS, value_dim(c) - first));
    }
}

#define DELTA_ROW(what, operation)                                                                                     \
    {                                                                                                                  \
        .name = #what "." INSTRUCTIONS, .backend = "cpu", .op = operation, .rank = ITS_RANK, .needs = NEEDS,           \
        .takes = what##_takes, .tasks = what##_tasks, .run = what##_run,                                               \
    }

static const krow rows[] = {DELTA_ROW(conv1d, KOP_CONV1D), DELTA_ROW(delta_gates, KOP_DELTA_GATES),
                            DELTA_ROW(delta, KOP_DELTA)};
