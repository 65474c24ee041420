/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a result moves when a kernel rounds the operands of its products (krow.rounds_to), to 16 bits or, x alone, to
 * integers that share a scale: at most, and its variance. An operand that is of that type already stays as it is. x and
 * the weight as it is dequantized; of attention queries, keys, values and the softmax's weights, which may be rounded
 * while they are still exponentials, of at most
 * 1. One rounding of v is off by at most e |v|, e = 2^-11 or 2^-8, and where fp16's spacing no longer shrinks, below
 * 2^-14, by 2^-25; evenly spread, its variance is a third of the square. What does not fit into fp16 becomes infinite:
 * then the result may be anything. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "base/num.h"

/* The most that rounding v to a type may be off. */
static double off_by(dtype to, double v) {
    float x = (float)v, rounded = to == DT_F16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x));
    if (to == DT_BF16 && fabs(v) < 0x1p-126) return fabs(v); /* units flush what is subnormal */
    if ((double)rounded == v) return 0;
    if (!isfinite(rounded)) return INFINITY;
    return to == DT_F16 ? fmax(0x1p-11 * fabs(v), 0x1p-25) : fmax(0x1p-8 * fabs(v), 0x1p-126);
}

/* Of what is not exactly known before it is rounded. */
static double off_by_inexact(dtype to, double v) {
    return to == DT_F16 ? (fabs(v) >= 65504 ? INFINITY : fmax(0x1p-11 * fabs(v), 0x1p-25))
                        : fmax(0x1p-8 * fabs(v), 0x1p-126);
}

/* x as integers of 23 bits: half of a step, 2^-22 of the largest of a block of columns, which is a weight's group or a
 * part of it; nothing is finer than the smallest normal number. */
static void off_by_of_block(const double *x, int64_t n, double *off) {
    double largest = 0;
    for (int64_t j = 0; j < n; j++) largest = fmax(largest, fabs(x[j]));
    for (int64_t j = 0; j < n; j++) off[j] = fmax(0x1p-22 * largest, 0x1p-126);
}

static double square(double x) {
    return x * x;
}

/* 0 times infinity: an operand that does not fit spoils its sum. */
static double times(double a, double b) {
    return isinf(a) || isinf(b) ? INFINITY : a * b;
}

/* ---- Products ------------------------------------------------------------------------------------------------ */

typedef struct moved {
    double most, variance;
} moved;

/* The sum of x[j] * values[j], whose operands may be off by x_off[j] and value_off[j]. */
static moved move_dot(const double *x, const double *x_off, const double *values, const double *value_off, int64_t k) {
    moved m = {0};
    for (int64_t j = 0; j < k; j++) {
        double by_x = times(x_off[j], fabs(values[j])), by_value = times(fabs(x[j]), value_off[j]);
        m.most += by_x + by_value + times(x_off[j], value_off[j]);
        m.variance += square(by_x) + square(by_value);
    }
    m.variance /= 3;
    return m;
}

/* Places of a product's outputs that expert e (0: the one matrix) makes. */
static bool is_of_expert(const kcall *c, int64_t t, int64_t s, int64_t e) {
    return !c->w->experts || ref_at(&c->z, t, s) == (double)e;
}

/* One row of a matrix with all tokens that meet it; sums go to p, how far they move to m. */
static void move_row(const kcall *c, dtype to, int64_t e, int64_t i, ref_product *r, const double *x_off,
                     double *value_off, double *p, moved *m) {
    const kweight *w = c->w->experts ? &c->w->experts[e] : c->w;
    int64_t places = c->w->experts ? c->n_chosen : 1, k = w->k;
    double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, e * w->n + i) : 0, magnitude;
    ref_product_row(r, w, i);
    for (int64_t j = 0; j < k; j++) value_off[j] = to == DT_XI8X3 ? 0 : off_by(to, r->values[j]);
    for (int64_t pair = 0; pair < c->x.rows * places; pair++) {
        int64_t t = pair / places, s = pair % places, at = pair * w->n + i;
        if (!is_of_expert(c, t, s, e)) continue;
        int64_t from = t * c->x.cols + (c->x.cols == k ? 0 : s * k);
        m[at] = move_dot(r->x + from, x_off + from, r->values, value_off, k);
        ref_product_dot(r, r->x + from, k, &p[at], &magnitude);
        p[at] += bias;
    }
}

/* Whether the pair is as good as straight where its halves may be: no further than activations bend, and not across the
 * ends of swiglu_oai's ranges. */
static bool is_straight(kact act, double x, double z, const moved *of_x, const moved *of_z) {
    double x_off = sqrt(of_x->variance), z_off = sqrt(of_z->variance);
    if (x_off > 0.05) return false;
    return act != ACT_SWIGLU_OAI || (fabs(x - 7) > 6 * x_off && fabs(fabs(z) - 7) > 6 * z_off);
}

static void gate(const kcall *c, const double *p, const moved *m, double *most, double *variance) {
    int64_t half = c->w->n / 2;
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        int64_t at = i / half * c->w->n + i % half, up = at + half;
        double by_gate, by_up;
        ref_act_slopes(c->act, p[at], p[up], &by_gate, &by_up);
        bool fits = isfinite(m[at].most) && isfinite(m[up].most);
        most[i] = fits ? ref_act_moved(c->act, p[at], p[up], m[at].most, m[up].most) : INFINITY;
        bool straight = fits && is_straight(c->act, p[at], p[up], &m[at], &m[up]);
        variance[i] = straight ? square(by_gate) * m[at].variance + square(by_up) * m[up].variance : INFINITY;
    }
}

static bool of_product(const kcall *c, dtype to, double *most, double *variance) {
    int64_t k = c->w->k, n_x = c->x.rows * c->x.cols, n = c->y.rows * ref_product_cols(c);
    ref_product r = ref_product_new(c);
    double *x_off = malloc((size_t)(n_x + k + n) * sizeof *x_off), *value_off = x_off + n_x, *p = value_off + k;
    moved *m = malloc((size_t)n * sizeof *m);
    bool have = r.x && x_off && m;
    if (have && to == DT_XI8X3)
        for (int64_t i = 0; i < n_x; i += c->w->group_size) off_by_of_block(r.x + i, c->w->group_size, x_off + i);
    else
        for (int64_t i = 0; have && i < n_x; i++)
            x_off[i] = c->normed ? off_by_inexact(to, r.x[i]) : off_by(to, r.x[i]);
    for (int64_t e = 0; have && e < max_i64(1, c->w->n_experts); e++)
        for (int64_t i = 0; i < c->w->n; i++) move_row(c, to, e, i, &r, x_off, value_off, p, m);
    if (have && c->act != ACT_NONE) {
        gate(c, p, m, most, variance);
    } else {
        for (int64_t i = 0; have && i < n; i++) {
            most[i] = m[i].most;
            variance[i] = m[i].variance;
        }
    }
    free(r.x);
    free(x_off);
    free(m);
    return have;
}

/* ---- Attention ------------------------------------------------------------------------------------------------ */

typedef struct head_work {
    double *q, *q_off;                       /* [head_dim] */
    double *scores, *moves, *score_variance; /* [positions]; scores become weights */
} head_work;

/* The scores of positions first to first + n, with what moves them. A query may be scaled before it is rounded.
 * False where an operand does not fit. */
static bool move_scores(const kcall *c, dtype to, int64_t t, int64_t head, int64_t kv_head, int64_t first, int64_t n,
                        const head_work *h) {
    int64_t dim = c->keys.head_dim;
    bool fits = true;
    double scale = fabs((double)c->scale), floor = fmax(1, 1 / scale);
    for (int64_t d = 0; d < dim; d++) {
        h->q[d] = ref_at(&c->x, t, head * dim + d);
        double off = off_by_inexact(to, h->q[d]);
        h->q_off[d] = h->q[d] == 0 ? 0 : to == DT_F16 ? fmax(off, 0x1p-25 * floor) : off;
    }
    for (int64_t p = 0; p < n; p++) {
        double sum = 0, most = 0, variance = 0;
        for (int64_t d = 0; d < dim; d++) {
            double key = ref_page_at(c, &c->keys, t, first + p, kv_head, d), key_off = off_by(to, key);
            double by_q = times(h->q_off[d], fabs(key)), by_key = times(fabs(h->q[d]), key_off);
            sum += h->q[d] * key;
            most += by_q + by_key + times(h->q_off[d], key_off);
            variance += square(by_q) + square(by_key);
        }
        double score = (double)c->scale * sum, slope;
        most = times(scale, most);
        variance *= scale * scale / 3;
        h->scores[p] = ref_capped(c, score, most, &slope);
        h->moves[p] = times(slope, most);
        ref_capped(c, score, 6 * sqrt(variance), &slope);
        h->score_variance[p] = times(square(slope), variance);
        fits &= isfinite(most) != 0;
    }
    return fits;
}

/* Scores become the softmax's weights; how far these may move relatively goes to moves: from w to w' = w e^d / sum of w
 * e^d, d within the score's moves. *sum: of exponentials, the largest of which is 1. */
static void move_softmax(const head_work *h, int64_t n, const double *sink, double *sum) {
    double largest = sink ? *sink : -INFINITY, grown = 0;
    for (int64_t p = 0; p < n; p++) largest = fmax(largest, h->scores[p]);
    *sum = grown = sink ? exp(*sink - largest) : 0;
    for (int64_t p = 0; p < n; p++) {
        h->scores[p] = exp(h->scores[p] - largest);
        *sum += h->scores[p];
        grown += h->scores[p] == 0 ? 0 : h->scores[p] * exp(h->moves[p]);
    }
    for (int64_t p = 0; p < n; p++) {
        h->scores[p] /= *sum;
        h->moves[p] = exp(h->moves[p]) * (grown / *sum) - 1;
    }
}

/* The weights are rounded once, and their sum may be that of rounded or of other ones: twice. As a weighted mean of
 * values the result never leaves them. Where scores move by more than a quarter, nothing is known of the variance. */
static void of_head(const kcall *c, dtype to, int64_t t, int64_t head, const head_work *h, double *most,
                    double *variance) {
    static const double far_off = 0.25 * 0.25;
    int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    int64_t last = c->positions[t], first = c->window > 0 && last >= c->window ? last - c->window + 1 : 0;
    int64_t n = last - first + 1;
    double e = to == DT_F16 ? 0x1p-11 : 0x1p-8, floor = to == DT_F16 ? 0x1p-25 : 0x1p-126, sum;
    double sink = c->weight.data ? float_at(c->weight.data, c->weight.type, head) : 0;
    bool fits = move_scores(c, to, t, head, kv_head, first, n, h);
    move_softmax(h, n, c->weight.data ? &sink : NULL, &sum);
    for (int64_t d = 0; d < dim; d++) {
        double y = 0, off = 0, largest = 0, largest_off = 0, spread = 0;
        for (int64_t p = 0; p < n; p++) y += h->scores[p] * ref_page_at(c, &c->values, t, first + p, kv_head, d);
        for (int64_t p = 0; p < n; p++) {
            double v = ref_page_at(c, &c->values, t, first + p, kv_head, d), v_off = off_by(to, v), w = h->scores[p];
            double w_off = 2 * (e * w + floor / sum);
            if (w > 0) off += w * fabs(v) * h->moves[p];
            off += w_off * (fabs(v) + fabs(y)) + times(w + w_off, v_off);
            largest = fmax(largest, fabs(v));
            largest_off = fmax(largest_off, v_off);
            double moves = h->score_variance[p] < far_off || w < 1e-12 ? h->score_variance[p] : INFINITY;
            spread += w == 0 ? 0 : square(w) * (times(moves, square(v - y)) + square(e * (fabs(v) + fabs(y))) / 3);
            spread += square(w * v_off) / 3;
        }
        most[d] = fmin(off, 2 * largest + largest_off);
        variance[d] = spread;
        if (!fits || isinf(largest_off) || isnan(most[d])) most[d] = INFINITY;
        if (isnan(variance[d])) variance[d] = INFINITY;
    }
}

static bool of_attention(const kcall *c, dtype to, double *most, double *variance) {
    int64_t dim = c->keys.head_dim, n_heads = c->x.cols / dim, longest = 0;
    for (int64_t t = 0; t < c->x.rows; t++) longest = max_i64(longest, (int64_t)c->positions[t] + 1);
    double *work = malloc((size_t)(2 * dim + 3 * longest) * sizeof *work);
    head_work h = {work, work + dim, work + 2 * dim, work + 2 * dim + longest, work + 2 * dim + 2 * longest};
    for (int64_t t = 0; work && t < c->x.rows; t++) {
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t at = t * c->y.cols + head * dim;
            of_head(c, to, t, head, &h, most + at, variance + at);
        }
    }
    free(work);
    return work != NULL;
}

bool ref_rounding(const kcall *c, dtype to, double *most, double *variance) {
    bool known = true;
    switch (c->op) {
    case KOP_MATMUL:
    case KOP_MATMUL_EXPERTS:
        known = of_product(c, to, most, variance);
        break;
    case KOP_ATTENTION:
        known = of_attention(c, to, most, variance);
        break;
    default:
        for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) most[i] = variance[i] = 0;
    }
    return known;
}
