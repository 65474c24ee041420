/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable rows of the mixture of experts: ROUTE, MATMUL_EXPERTS, SUM_EXPERTS. Expert numbers come from ROUTE, so they
 * are in range and differ from one another within a token. */
#include "cpu/scalar_rows.h"

#include "base/half.h"

/* ---- ROUTE --------------------------------------------------------------------------------------------------- */

/* The numbers of the n largest logits, kept sorted while the logits go by; an equal one stays behind those before it.
 * A NaN is neither above nor below anything: numbers stay in range, and differ, whatever the logits are. */
static void choose(const float *x, int64_t n_experts, int64_t n, float *chosen) {
    int64_t kept = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        if (kept == n && !(x[e] > x[(int64_t)chosen[n - 1]])) continue;
        int64_t at = kept < n ? kept++ : n - 1;
        for (; at > 0 && x[e] > x[(int64_t)chosen[at - 1]]; at--) chosen[at] = chosen[at - 1];
        chosen[at] = (float)e;
    }
}

/* The sum of exp(x - largest) in 8 chains. */
static float sum_exp(const float *x, int64_t n, float largest) {
    float sums[8] = {0};
    for (int64_t e = 0; e < n; e++) sums[e % 8] += expf(x[e] - largest);
    for (int width = 4; width > 0; width /= 2)
        for (int l = 0; l < width; l++) sums[l] += sums[l + width];
    return sums[0];
}

static void route_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_in(&c->x, t);
        float *chosen = row_out(&c->y, t), *weights = chosen + c->n_chosen, sum = 0;
        choose(x, c->x.cols, c->n_chosen, chosen);
        float largest = x[(int64_t)chosen[0]];
        for (int64_t s = 0; s < c->n_chosen; s++) {
            weights[s] = expf(x[(int64_t)chosen[s]] - largest);
            sum += weights[s];
        }
        if (!c->normalize) sum = sum_exp(x, c->x.cols, largest);
        for (int64_t s = 0; s < c->n_chosen; s++) {
            weights[s] /= sum;
            if (c->weight.data) weights[s] *= float_at_f32(c->weight.data, c->weight.type, (int64_t)chosen[s]);
        }
    }
}

/* ---- MATMUL_EXPERTS ------------------------------------------------------------------------------------------ */

/* Which experts are chosen is not known when a call is divided into tasks. A pair is a token and one of its places:
 * pair p is token p / n_chosen, place p % n_chosen. With fewer pairs than experts a task is one pair and a block of
 * outputs; else it is one expert and a block, and finds its pairs itself, so that weights are unpacked once for all of
 * them. Each pair's outputs are the same dot products either way. */
enum { BLOCK_OUTPUTS = 8 };

static int64_t n_pairs(const kcall *c) {
    return c->x.rows * c->n_chosen;
}

static bool task_is_pair(const kcall *c) {
    return n_pairs(c) <= c->w->n_experts;
}

static int64_t n_blocks(const kcall *c) {
    return div_up(c->w->n, BLOCK_OUTPUTS);
}

static int64_t expert_of(const kcall *c, int64_t pair) {
    return (int64_t)row_in(&c->z, pair / c->n_chosen)[pair % c->n_chosen];
}

static int64_t experts_tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, (task_is_pair(c) ? n_pairs(c) : c->w->n_experts) * n_blocks(c));
}

static size_t experts_scratch(const krow *row, const kcall *c) {
    (void)row;
    return (size_t)c->w->k * sizeof(float);
}

/* Output i of expert e for those of pairs [first, end) that chose it. */
static void expert_output(const kcall *c, int64_t e, int64_t i, int64_t first, int64_t end, float *weights) {
    const kweight *w = &c->w->experts[e];
    scalar_weight_row(w, i, weights);
    for (int64_t pair = first; pair < end; pair++) {
        if (expert_of(c, pair) != e) continue;
        int64_t t = pair / c->n_chosen, s = pair % c->n_chosen;
        const float *x = row_in(&c->x, t) + (c->x.cols == w->k ? 0 : s * w->k);
        float y = scalar_dot(x, weights, w->k);
        if (c->weight.data) y += float_at_f32(c->weight.data, c->weight.type, e * w->n + i);
        row_out(&c->y, t)[s * w->n + i] = y;
    }
}

static void experts_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row;
    if (n_pairs(c) == 0) return;
    for (int64_t task = begin; task < end; task++) {
        int64_t who = task / n_blocks(c), from = task % n_blocks(c) * BLOCK_OUTPUTS;
        bool is_pair = task_is_pair(c);
        int64_t first = is_pair ? who : 0, last = is_pair ? who + 1 : n_pairs(c), e = is_pair ? expert_of(c, who) : who;
        while (first < last && expert_of(c, first) != e) first++;
        if (first == last) continue; /* nobody chose it */
        for (int64_t i = from; i < min_i64(from + BLOCK_OUTPUTS, c->w->n); i++)
            expert_output(c, e, i, first, last, scratch);
    }
}

/* ---- SUM_EXPERTS --------------------------------------------------------------------------------------------- */

static void sum_experts_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++) {
        const float *weights = row_in(&c->z, t) + c->n_chosen;
        float *y = row_out(&c->y, t);
        for (int64_t j = 0; j < c->y.cols; j++) y[j] = 0;
        for (int64_t s = 0; s < c->n_chosen; s++) {
            const float *x = row_in(&c->x, t) + s * c->y.cols;
            for (int64_t j = 0; j < c->y.cols; j++) y[j] += weights[s] * x[j];
        }
    }
}

static const krow rows[] = {
    {
        .name = "route.scalar",
        .backend = "cpu",
        .op = KOP_ROUTE,
        .takes = takes_f32,
        .tasks = tasks_x_rows,
        .run = route_run,
    },
    {
        .name = "matmul_experts.scalar",
        .backend = "cpu",
        .op = KOP_MATMUL_EXPERTS,
        .x_type = DT_F32,
        .chains = SCALAR_DOT_CHAINS,
        .takes = takes_f32,
        .tasks = experts_tasks,
        .scratch = experts_scratch,
        .run = experts_run,
    },
    {
        .name = "sum_experts.scalar",
        .backend = "cpu",
        .op = KOP_SUM_EXPERTS,
        .takes = takes_f32,
        .tasks = tasks_y_rows,
        .run = sum_experts_run,
    },
};
const krow_table scalar_experts_rows = KROW_TABLE(rows);
