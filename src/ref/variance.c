/* SPDX-License-Identifier: Apache-2.0
 *
 * How far an fp32 evaluation is expected to be off, element by element. The worst case lets all roundings work
 * together, which those of a long sum never do: taken as independent and of mean zero (Higham and Mary 2019, "A New
 * Approach to Probabilistic Rounding Error Analysis"), their variances add up. One rounding of s is off by at most u
 * |s|, evenly spread at worst: a variance of u^2 s^2 / 3. And where the terms of a sum are of random signs, the square
 * of a partial sum is on average the sum of its terms' squares. So variance = u^2 / 3 * sum over all terms of term^2 *
 * (roundings on the term's way into the result) with the mean number of roundings where the worst case has the largest.
 * Each function gives the sum, without u^2 / 3; what is counted is what a kernel may do, as in
 * src/verify/check_bound.c. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "base/num.h"

/* Exponentials within one unit in the last place, evenly spread: twice a rounding's error, four times its square. */
static const double exp_roundings = 4;

/* What one of n terms meets on average: half of the additions of its chain, then the folding of the chains. */
static double sum_roundings(int64_t n, int chains) {
    double length = fmax(1, (double)n / chains);
    return (length + 1) / 2 + log2(chains);
}

static double square(double x) {
    return x * x;
}

/* The same for terms of one sign, as a share of the sum: partial sums grow evenly, so that their squares are a third of
 * the last one's on average, and each chain has its share of the whole. Folding the chains, 1 + 1/2 + 1/4 + ... */
static double even_sum_roundings(double n, int chains) {
    return n / (3 * square(chains)) + 2;
}

/* ---- Products ------------------------------------------------------------------------------------------------ */

/* x in fp32: a weight is dequantized in two roundings (of the scaled code, of the sum with the bias), multiplied,
 * summed. */
static double float_product(const kcall *c, const ref_product *p, const double *x, int chains) {
    int64_t k = c->w->k;
    double products = 0, dequantized = 0;
    bool rounds = c->w->mode == W_AFFINE || c->w->mode == W_MXFP4;
    for (int64_t j = 0; j < k; j++) {
        products += square(x[j] * p->values[j]);
        if (rounds) dequantized += square(x[j]) * (square(p->values[j] - p->biases[j]) + square(p->values[j]));
    }
    return products * (1 + sum_roundings(k, chains)) + dequantized;
}

/* x in an activation form: within a group integers are exact. Its dot product is converted in two parts, scaled and
 * added to the sum; then comes the bias times the group's sum of x, which was rounded before. */
static double form_product(const kcall *c, const ref_product *p, const double *x) {
    double sum = 0, variance = 0;
    for (int64_t first = 0; first < c->w->k; first += c->x.group) {
        double dot = 0, biased = 0;
        for (int64_t j = first; j < first + c->x.group; j++) {
            dot += x[j] * (p->values[j] - p->biases[j]);
            biased += x[j] * p->biases[j];
        }
        variance += 2 * square(dot) + square(sum + dot) + square(biased) + square(sum + dot + biased);
        sum += dot + biased;
    }
    return variance;
}

/* A normed x: what all of a part share (the root halves the errors of the sum of squares, of the mean and of + eps;
 * then it is taken, and inverted), and what each element has of its own: two products, the weight's offset. */
typedef struct norm_roundings {
    double shared, own;
} norm_roundings;

static norm_roundings roundings_of_norm(const kcall *c, int64_t n, int chains) {
    double sum = 1 + even_sum_roundings((double)n, chains), mean_and_eps = 2, root_and_inverse = 2;
    return (norm_roundings){(sum + mean_and_eps) / 4 + root_and_inverse, 2 + (c->offset != 0 ? 1 : 0)};
}

/* *sum: the product itself. */
static double product(const kcall *c, const ref_product *p, const double *x, int chains, double *sum) {
    double magnitude, variance = c->x.type == DT_XI8X3 ? form_product(c, p, x) : float_product(c, p, x, chains);
    ref_product_dot(p, x, c->w->k, sum, &magnitude);
    if (!c->normed) return variance;
    norm_roundings norm = roundings_of_norm(c, c->w->k, chains);
    for (int64_t j = 0; j < c->w->k; j++) variance += norm.own * square(x[j] * p->values[j]);
    return variance + norm.shared * square(*sum);
}

/* The sum, with its bias and its residual, in either order. */
static double ends(const kcall *c, int64_t t, int64_t i, double y) {
    double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, i) : 0;
    double residual = c->residual.data ? ref_at(&c->residual, t, i) : 0;
    if (!c->residual.data) return c->weight.data ? square(y) : 0;
    return square(y) + (c->weight.data ? fmax(square(y - residual), square(y - bias)) : 0);
}

static double act_roundings(kact act, double x);

/* Where a bend at `bend` may be passed by an error of that variance, the side on which something moves. */
static double inside(double x, double bend, double variance) {
    double reach = 6 * 0x1p-24 * sqrt(variance / 3);
    if (x > bend && x - bend < reach) return bend;
    return x < -bend && -bend - x < reach ? -bend : x;
}

/* A gated pair of halves: what moves them, by its slopes; then the activation's own. */
static double of_pair(kact act, double gate, double up, double gate_variance, double up_variance) {
    double by_gate, by_up, magnitude;
    ref_act_slopes(act, inside(gate, 7, gate_variance), inside(up, 7, up_variance), &by_gate, &by_up);
    double offset = act == ACT_SWIGLU_OAI ? 1 : 0; /* + 1 */
    return square(by_gate) * gate_variance + square(by_up) * up_variance +
           square(ref_act_pair(act, gate, up, &magnitude)) * (act_roundings(act, gate) + offset);
}

/* From products and their variances, [rows * places, w->n] each. */
static void gate_variances(const kcall *c, const double *p, const double *of_p, double *variance) {
    int64_t half = c->w->n / 2, n = c->y.rows * c->y.cols;
    for (int64_t i = 0; i < n; i++) {
        int64_t gate = i / half * c->w->n + i % half, up = gate + half;
        variance[i] = of_pair(c->act, p[gate], p[up], of_p[gate], of_p[up]);
    }
}

/* Of a single matrix: sums with their bias, and their variances, to p and of_p. */
static void of_products(const kcall *c, const ref_product *product_of, int chains, double *p, double *of_p) {
    ref_product r = *product_of;
    for (int64_t i = 0; i < c->w->n; i++) {
        double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, i) : 0;
        ref_product_row(&r, c->w, i);
        for (int64_t t = 0; t < c->y.rows; t++) {
            int64_t at = t * c->w->n + i;
            of_p[at] = product(c, &r, r.x + t * c->w->k, chains, &p[at]);
            p[at] += bias;
            if (c->act != ACT_NONE && c->weight.data) of_p[at] += square(p[at]);
        }
    }
}

static bool of_matmul(const kcall *c, const double *y, int chains, double *variance) {
    ref_product r = ref_product_new(c);
    int64_t n = c->y.rows * c->w->n;
    double *p = r.x ? malloc((size_t)(2 * n) * sizeof *p) : NULL;
    bool gated = c->act != ACT_NONE;
    if (p) of_products(c, &r, chains, p, gated ? p + n : variance);
    if (p && gated) gate_variances(c, p, p + n, variance);
    for (int64_t at = 0; p && at < c->y.rows * c->y.cols; at++)
        variance[at] += gated ? (c->residual.data ? square(y[at]) : 0) : ends(c, at / c->y.cols, at % c->y.cols, y[at]);
    free(p);
    free(r.x);
    return p != NULL;
}

static bool of_matmul_experts(const kcall *c, const double *y, int chains, double *variance) {
    ref_product r = ref_product_new(c);
    int64_t n = c->w->n, k = c->w->k, all = c->y.rows * ref_product_cols(c);
    double *p = r.x ? malloc((size_t)(2 * all) * sizeof *p) : NULL;
    bool gated = c->act != ACT_NONE;
    double *of_p = p && gated ? p + all : variance;
    for (int64_t e = 0; p && e < c->w->n_experts; e++) {
        for (int64_t i = 0; i < n; i++) {
            double bias = c->weight.data ? float_at(c->weight.data, c->weight.type, e * n + i) : 0;
            ref_product_row(&r, &c->w->experts[e], i);
            for (int64_t pair = 0; pair < c->x.rows * c->n_chosen; pair++) {
                int64_t t = pair / c->n_chosen, s = pair % c->n_chosen, at = pair * n + i;
                if (ref_at(&c->z, t, s) != (double)e) continue;
                const double *x = r.x + t * c->x.cols + (c->x.cols == k ? 0 : s * k);
                of_p[at] = product(c, &r, x, chains, &p[at]);
                p[at] += bias;
                if (c->weight.data) of_p[at] += square(gated ? p[at] : y[at]);
            }
        }
    }
    if (p && gated) gate_variances(c, p, of_p, variance);
    free(p);
    free(r.x);
    return p != NULL;
}

static bool of_embed(const kcall *c, const double *y, double *variance) {
    int64_t n = c->y.cols;
    double *values = malloc((size_t)(2 * n) * sizeof *values), *biases = values + n;
    bool rounds = c->w->mode == W_AFFINE || c->w->mode == W_MXFP4;
    for (int64_t t = 0; values && t < c->y.rows; t++) {
        ref_weight_row(c->w, c->tokens[t], values, biases);
        for (int64_t j = 0; j < n; j++) {
            double scaled = rounds ? square((double)c->scale * (values[j] - biases[j])) + square(y[t * n + j]) : 0;
            variance[t * n + j] = scaled + (c->scale == 1.0f ? 0 : square(y[t * n + j]));
        }
    }
    free(values);
    return values != NULL;
}

/* ---- Softmax ------------------------------------------------------------------------------------------------- */

/* x / scale, tanh as good as exp, a division, * scale. */
static const double cap_roundings = 8;

/* One head. An error e_p of a score moves the output by w_p (v_p - y) e_p: of the score's own sum and scale, of a
 * softcap, of its difference to the largest, of exp. The weighted values are products and a sum over the positions, one
 * after the other and rescaled at most once a position; then the division by the weights' sum, of which all terms have
 * one sign. */
static void of_head(const kcall *c, int64_t t, int64_t head, const double *y, int chains, double *work,
                    double *variance) {
    int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    int64_t last = c->positions[t], first = c->window > 0 && last >= c->window ? last - c->window + 1 : 0;
    int64_t n = last - first + 1;
    double *scores = work, *squares = work + n, sum = 0;
    double largest = c->weight.data ? float_at(c->weight.data, c->weight.type, head) : -INFINITY, sink = largest;
    for (int64_t p = 0; p < n; p++) {
        scores[p] = squares[p] = 0;
        for (int64_t d = 0; d < dim; d++) {
            double term = (double)c->scale * ref_at(&c->x, t, head * dim + d) *
                          ref_page_at(c, &c->keys, t, first + p, kv_head, d);
            scores[p] += term;
            squares[p] += square(term);
        }
        squares[p] = squares[p] * (1 + sum_roundings(dim, chains)) + square(scores[p]);
        if (c->softcap > 0) {
            double slope;
            scores[p] = ref_capped(c, scores[p], 6 * 0x1p-24 * sqrt(squares[p] / 3), &slope);
            squares[p] = square(slope) * squares[p] + cap_roundings * square(scores[p]);
        }
        largest = fmax(largest, scores[p]);
    }
    for (int64_t p = 0; p < n; p++) {
        squares[p] += square(scores[p] - largest) + exp_roundings;
        scores[p] = exp(scores[p] - largest);
        sum += scores[p];
    }
    if (c->weight.data) sum += exp(sink - largest);
    double additions = 1 + 2 * sum_roundings(n, 1), division = 2 + even_sum_roundings((double)n, 1);
    for (int64_t d = 0; d < dim; d++) variance[d] = division * square(y[d]);
    for (int64_t p = 0; p < n; p++) {
        double w2 = square(scores[p] / sum);
        for (int64_t d = 0; d < dim; d++) {
            double v = ref_page_at(c, &c->values, t, first + p, kv_head, d);
            variance[d] += w2 * (squares[p] * square(v - y[d]) + additions * square(v));
        }
    }
}

static bool of_attention(const kcall *c, const double *y, int chains, double *variance) {
    int64_t dim = c->keys.head_dim, n_heads = c->x.cols / dim, most = 0;
    for (int64_t t = 0; t < c->x.rows; t++) most = max_i64(most, (int64_t)c->positions[t] + 1);
    double *work = malloc((size_t)(2 * most) * sizeof *work);
    for (int64_t t = 0; work && t < c->x.rows; t++) {
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t at = t * c->y.cols + head * dim;
            of_head(c, t, head, y + at, chains, work, variance + at);
        }
    }
    free(work);
    return work != NULL;
}

/* A weight's own difference and exp, their sum, the division, the expert's own weight. The chosen experts are exact. */
static void of_route(const kcall *c, const double *y, int chains, double *variance) {
    double sum =
        c->normalize ? even_sum_roundings((double)c->n_chosen, 1) : even_sum_roundings((double)c->x.cols, chains);
    for (int64_t t = 0; t < c->y.rows; t++) {
        const double *chosen = y + t * c->y.cols, *weights = chosen + c->n_chosen;
        double largest = ref_at(&c->x, t, (int64_t)chosen[0]);
        for (int64_t s = 0; s < c->n_chosen; s++) {
            double below = largest - ref_at(&c->x, t, (int64_t)chosen[s]);
            variance[t * c->y.cols + s] = 0;
            variance[t * c->y.cols + c->n_chosen + s] =
                square(weights[s]) * (square(below) + exp_roundings + sum + 1 + (c->weight.data ? 1 : 0));
        }
    }
}

/* ---- What is done to each token alone -------------------------------------------------------------------------- */

static void of_rmsnorm(const kcall *c, const double *y, int chains, double *variance) {
    norm_roundings norm = roundings_of_norm(c, c->x.cols / c->n_parts, chains);
    const double scale = (double)kcall_norm_scale(c), results = (c->residual.data != NULL) + (c->scale != 0);
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        double residual = c->residual.data ? ref_at(&c->residual, i / c->y.cols, i % c->y.cols) : 0;
        variance[i] = (norm.shared + norm.own) * square(y[i] - residual * scale) + results * square(y[i]);
    }
}

/* The sigmoid: exp, 1 +, a division; where its argument is computed, four roundings on the way to it. Then the product
 * with the other factor. */
static double act_roundings(kact act, double x) {
    double argument = 0, sigmoid = act == ACT_NONE ? 0 : exp_roundings + 2;
    if (act == ACT_GELU) argument = 1.5957691216057308 * (x + 0.044715 * x * x * x);
    if (act == ACT_SWIGLU_OAI) argument = 1.702 * fmin(x, 7);
    return sigmoid + 1 + 4 * square(argument * ref_sigmoid(-argument));
}

static void of_act_mul(const kcall *c, const double *y, double *variance) {
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        double x = ref_at(&c->x, i / c->y.cols, c->x.cols == 1 ? 0 : i % c->y.cols);
        variance[i] = square(y[i]) * act_roundings(c->act, x);
    }
}

static bool of_rope(const kcall *c, const double *y, int chains, double *variance) {
    int64_t head_dim = c->x.cols / c->n_parts, half = c->z.cols / 2;
    double *x = malloc((size_t)(c->x.rows * c->x.cols) * sizeof *x);
    norm_roundings norm = {0};
    if (c->normed) norm = roundings_of_norm(c, head_dim, chains);
    if (x) ref_input(c, head_dim, &c->weight, x);
    for (int64_t i = 0; x && i < c->y.rows * c->y.cols; i++) {
        int64_t t = i / c->y.cols, j = i % head_dim, head = i - j;
        variance[i] = norm.shared * square(y[i]);
        if (j >= c->z.cols) { /* a copy */
            variance[i] += norm.own * square(y[i]);
            continue;
        }
        int64_t pair = c->interleaved ? j / 2 : j % half, other = c->interleaved ? j ^ 1 : (j + half) % c->z.cols;
        double cosine = ref_at(&c->z, t, pair), sine = ref_at(&c->z, t, half + pair);
        variance[i] += square(y[i]) + (1 + norm.own) * (square(cosine * x[head + j]) + square(sine * x[head + other]));
    }
    free(x);
    return x != NULL;
}

static void of_sum_experts(const kcall *c, const double *y, double *variance) {
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        int64_t t = i / c->y.cols, j = i % c->y.cols;
        variance[i] = 0;
        for (int64_t s = 0; s < c->n_chosen; s++)
            variance[i] += square(ref_at(&c->z, t, c->n_chosen + s) * ref_at(&c->x, t, s * c->y.cols + j));
        variance[i] *= 1 + sum_roundings(c->n_chosen, 1);
        if (c->residual.data) variance[i] += square(y[i]);
    }
}

/* Every element the same number of roundings. */
static void of_all(const kcall *c, const double *y, double roundings, double *variance) {
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) variance[i] = roundings * square(y[i]);
}

static bool count(const kcall *c, const double *y, int chains, double *variance) {
    switch (c->op) {
    case KOP_EMBED:
        return of_embed(c, y, variance);
    case KOP_RMSNORM:
        of_rmsnorm(c, y, chains, variance);
        return true;
    case KOP_MATMUL:
        return of_matmul(c, y, chains, variance);
    case KOP_MATMUL_EXPERTS:
        return of_matmul_experts(c, y, chains, variance);
    case KOP_ROPE:
        return of_rope(c, y, chains, variance);
    case KOP_ATTENTION:
        return of_attention(c, y, chains, variance);
    case KOP_ACT_MUL:
        of_act_mul(c, y, variance);
        return true;
    case KOP_SOFTCAP:
        of_all(c, y, cap_roundings, variance);
        return true;
    case KOP_ROUTE:
        of_route(c, y, chains, variance);
        return true;
    case KOP_SUM_EXPERTS:
        of_sum_experts(c, y, variance);
        return true;
    case KOP_ADD:
    case KOP_SCALE:
        of_all(c, y, 1, variance);
        return true;
    default:
        return false;
    }
}

bool ref_variance(const kcall *c, const double *y, int chains, double *variance) {
    if (!count(c, y, chains, variance)) return false;
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) variance[i] /= 3;
    return true;
}
