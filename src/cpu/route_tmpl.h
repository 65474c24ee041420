/* SPDX-License-Identifier: Apache-2.0
 *
 * ROUTE and SUM_EXPERTS for vectors of any width: what stands before and behind the products with experts. A task is a
 * token. Included after ops_tmpl.h. */
#include <math.h>

/* ---- ROUTE --------------------------------------------------------------------------------------------------- */

static bool route_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_F32;
}

/* The logits, filled up with -infinity to whole vectors, of which the chosen ones become -infinity too. */
static size_t route_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)(c->x.cols + LANES) * sizeof(float);
}

/* The first of the largest logits; where only infinities and NaNs are left, the first that is not chosen yet. */
static int64_t find_largest(const float *logits, int64_t n, const float *chosen, int64_t n_chosen) {
    vfloat most = v_set1(-INFINITY);
    for (int64_t j = 0; j < n; j += LANES) most = v_max(v_load(logits + j), most);
    const float largest = v_largest(most);
    for (int64_t j = 0; j < n && largest > -INFINITY; j++)
        if (logits[j] == largest) return j;
    for (int64_t j = 0; j < n; j++) {
        int64_t s = 0;
        while (s < n_chosen && chosen[s] != (float)j) s++;
        if (s == n_chosen) return j;
    }
    return 0;
}

/* The sum of e^(x - largest); y, which may be NULL, gets the terms. */
static float sum_of_powers(const float *x, int64_t n, float largest, float *y) {
    vfloat sum = v_set1(0);
    for (int64_t j = 0; j < n; j += LANES) {
        const int part = (int)min_i64(LANES, n - j);
        vfloat e = v_exp(v_sub(v_load_part(x + j, part), v_set1(largest)));
        if (part < LANES) { /* no terms for what is not there */
            float terms[LANES] = {0};
            v_store_part(terms, part, e);
            e = v_load(terms);
        }
        sum = v_add(sum, e);
        if (y) v_store_part(y + j, part, e);
    }
    return v_sum(sum);
}

static void route_row(const kcall *c, const float *x, float *logits, float *y) {
    const int64_t n = c->x.cols, n_chosen = c->n_chosen;
    float *weights = y + n_chosen;
    memcpy(logits, x, (size_t)n * sizeof *x);
    for (int i = 0; i < LANES; i++) logits[n + i] = -INFINITY;
    for (int64_t s = 0; s < n_chosen; s++) {
        const int64_t expert = find_largest(logits, n, y, s);
        y[s] = (float)expert;
        weights[s] = x[expert];
        logits[expert] = -INFINITY;
    }
    const float largest = weights[0];
    float sum = c->normalize ? 0 : sum_of_powers(x, n, largest, NULL);
    const float of_chosen = sum_of_powers(weights, n_chosen, largest, weights);
    if (c->normalize) sum = of_chosen;
    for (int64_t s = 0; s < n_chosen; s++) {
        weights[s] /= sum;
        if (c->weight.data) weights[s] *= float_at_f32(c->weight.data, c->weight.type, (int64_t)y[s]);
    }
}

static void route_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        route_row(c, row_in(&c->x, t), scratch, row_out(&c->y, t));
}

/* ---- SUM_EXPERTS --------------------------------------------------------------------------------------------- */

static void sum_experts_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    const int64_t n = c->y.cols;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_in(&c->x, t), *weights = row_in(&c->z, t) + c->n_chosen;
        float *y = row_out(&c->y, t);
        for (int64_t j = 0; j < n; j += LANES) {
            const int part = (int)min_i64(LANES, n - j);
            vfloat sum = v_set1(0);
            for (int64_t s = 0; s < c->n_chosen; s++)
                sum = v_fma(v_set1(weights[s]), v_load_part(x + s * n + j, part), sum);
            v_store_part(y + j, part, sum);
        }
    }
}

#define ROUTE_ROWS                                                                                                     \
    {                                                                                                                  \
        .name = "route." INSTRUCTIONS,                                                                                 \
        .backend = "cpu",                                                                                              \
        .op = KOP_ROUTE,                                                                                               \
        .rank = 20,                                                                                                    \
        .needs = NEEDS,                                                                                                \
        .takes = route_takes,                                                                                          \
        .tasks = tasks_of_tokens,                                                                                      \
        .scratch = route_scratch,                                                                                      \
        .run = route_run,                                                                                              \
    },                                                                                                                 \
        ROW(sum_experts, KOP_SUM_EXPERTS, takes_f32)
