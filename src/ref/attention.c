/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION (Vaswani et al. 2017, equation 1) of each token over its own sequence: causal, in a window, query heads
 * sharing KV heads in groups (Ainslie et al. 2023, "GQA"), keys and values in pages. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "base/num.h"

static double square(double x) {
    return x * x;
}

double ref_page_at(const kcall *c, const kpages *pages, int64_t t, int64_t p, int64_t head, int64_t d) {
    int64_t page = c->tables[t][p / pages->page_size], slot = p % pages->page_size;
    return float_at(pages->data, pages->type,
                    ((page * pages->n_heads + head) * pages->page_size + slot) * pages->head_dim + d);
}

/* The slope of tanh is 1 / cosh^2, which falls to both sides. */
double ref_capped(const kcall *c, double score, double reach, double *slope) {
    const double cap = (double)c->softcap;
    *slope = 1;
    if (c->softcap == 0) return score;
    if (fabs(score) > reach) *slope = 1 / square(cosh((fabs(score) - reach) / cap));
    return cap * tanh(score / cap);
}

/* The scores of positions [first, last] and their magnitudes. What is beside a score, at most a thousandth of the
 * magnitude, comes through a softcap by its slope; there the score as it comes out is rounded too. */
static void score_all(const kcall *c, int64_t t, int64_t head, int64_t kv_head, int64_t first, int64_t last,
                      double *scores, double *magnitudes) {
    int64_t dim = c->keys.head_dim;
    for (int64_t p = first; p <= last; p++) {
        double sum = 0, sum_abs = 0;
        for (int64_t d = 0; d < dim; d++) {
            double term = ref_at(&c->x, t, head * dim + d) * ref_page_at(c, &c->keys, t, p, kv_head, d);
            sum += term;
            sum_abs += fabs(term);
        }
        double magnitude = fabs((double)c->scale) * sum_abs, slope;
        double score = ref_capped(c, (double)c->scale * sum, magnitude / 1024, &slope);
        scores[p - first] = score;
        magnitudes[p - first] = slope * magnitude + (c->softcap == 0 ? 0 : fabs(score));
    }
}

/* Turns scores into the softmax's weights w_p = exp(s_p) / sum exp(s), and magnitudes into those of the weights,
 * relative to them. A relative error e of each score's terms moves w_p by up to w_p e (A_p + sum w A), A_p being the
 * score's magnitude, to which |s_p - largest| is added since that difference is rounded too. */
static void softmax(double *scores, double *magnitudes, int64_t n, const double *sink) {
    double largest = sink ? *sink : -INFINITY, sum = 0, mean = 0;
    for (int64_t p = 0; p < n; p++) largest = fmax(largest, scores[p]);
    if (sink) {
        sum = exp(*sink - largest);
        mean = sum * (largest - *sink);
    }
    for (int64_t p = 0; p < n; p++) {
        double below = largest - scores[p];
        scores[p] = exp(-below);
        magnitudes[p] += below;
        sum += scores[p];
        mean += scores[p] * magnitudes[p];
    }
    for (int64_t p = 0; p < n; p++) {
        scores[p] /= sum;
        magnitudes[p] += 1 + mean / sum;
    }
}

/* One output head: sum w v, of magnitude sum |v| w times the weights' own. */
static void attend(const kcall *c, int64_t t, int64_t head, double *work, double *y, double *mag) {
    int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    int64_t last = c->positions[t], first = c->window > 0 && last >= c->window ? last - c->window + 1 : 0;
    int64_t n = last - first + 1;
    double *weights = work, *magnitudes = work + n;
    double sink = c->weight.data ? float_at(c->weight.data, c->weight.type, head) : 0;
    score_all(c, t, head, kv_head, first, last, weights, magnitudes);
    softmax(weights, magnitudes, n, c->weight.data ? &sink : NULL);
    for (int64_t d = 0; d < dim; d++) y[d] = 0;
    for (int64_t d = 0; mag && d < dim; d++) mag[d] = 0;
    for (int64_t p = 0; p < n; p++) {
        for (int64_t d = 0; d < dim; d++) {
            double v = ref_page_at(c, &c->values, t, first + p, kv_head, d);
            y[d] += weights[p] * v;
            if (mag) mag[d] += (weights[p] * magnitudes[p] + REF_UNDERFLOW) * fabs(v);
        }
    }
}

void ref_attention(const kcall *c, double *y, double *mag) {
    int64_t dim = c->keys.head_dim, n_heads = c->x.cols / dim, most = 0;
    for (int64_t t = 0; t < c->x.rows; t++) most = max_i64(most, (int64_t)c->positions[t] + 1);
    double *work = malloc((size_t)(2 * most) * sizeof *work);
    for (int64_t at = 0; !work && at < c->y.rows * c->y.cols; at++)
        y[at] = NAN; /* out of memory: agrees with nothing */
    for (int64_t t = 0; work && t < c->x.rows; t++) {
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t at = t * c->y.cols + head * dim;
            attend(c, t, head, work, y + at, mag ? mag + at : NULL);
        }
    }
    free(work);
}
