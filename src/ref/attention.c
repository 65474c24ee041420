/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION (Vaswani et al. 2017, equation 1) of each token over its own sequence: causal, in a window, query heads
 * sharing KV heads in groups (Ainslie et al. 2023, "GQA"), keys and values in pages. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

/* Element d of position p's key or value in token t's sequence. */
static double page_at(const kcall *c, const kpages *pages, int64_t t, int64_t p, int64_t head, int64_t d) {
    int64_t page = c->tables[t][p / pages->page_size], slot = p % pages->page_size;
    return float_at(pages->data, pages->type,
                    ((page * pages->n_heads + head) * pages->page_size + slot) * pages->head_dim + d);
}

static double score(const kcall *c, int64_t t, int64_t head, int64_t kv_head, int64_t p, double *magnitude) {
    int64_t dim = c->keys.head_dim;
    double sum = 0, sum_abs = 0;
    for (int64_t d = 0; d < dim; d++) {
        double term = ref_at(&c->x, t, head * dim + d) * page_at(c, &c->keys, t, p, kv_head, d);
        sum += term;
        sum_abs += fabs(term);
    }
    *magnitude = fabs((double)c->scale) * sum_abs;
    return (double)c->scale * sum;
}

/* One output head. A relative error e of each score's terms moves the weight w_p = exp(s_p) / sum exp(s) by up to
 * w_p e (A_p + sum w A), A_p being the score's magnitude, to which |s_p - largest| is added since that difference is
 * rounded too; so the magnitude of sum w v is sum w |v| (1 + A_p + sum w A). */
static void attend(const kcall *c, int64_t t, int64_t head, double *y, double *mag) {
    int64_t dim = c->keys.head_dim, kv_head = head / (c->x.cols / dim / c->keys.n_heads);
    int64_t last = c->positions[t], first = c->window > 0 && last >= c->window ? last - c->window + 1 : 0;
    double largest = -INFINITY, sum = 0, mean_magnitude = 0, magnitude;
    double sink = c->weight.data ? float_at(c->weight.data, c->weight.type, head) : -INFINITY;
    for (int64_t p = first; p <= last; p++) largest = fmax(largest, score(c, t, head, kv_head, p, &magnitude));
    largest = fmax(largest, sink);
    if (c->weight.data) {
        sum += exp(sink - largest);
        mean_magnitude += exp(sink - largest) * (largest - sink);
    }
    for (int64_t p = first; p <= last; p++) {
        double below = largest - score(c, t, head, kv_head, p, &magnitude);
        sum += exp(-below);
        mean_magnitude += exp(-below) * (magnitude + below);
    }
    mean_magnitude /= sum;
    for (int64_t d = 0; d < dim; d++) y[d] = 0;
    for (int64_t d = 0; mag && d < dim; d++) mag[d] = 0;
    for (int64_t p = first; p <= last; p++) {
        double below = largest - score(c, t, head, kv_head, p, &magnitude), w = exp(-below) / sum;
        for (int64_t d = 0; d < dim; d++) {
            double v = page_at(c, &c->values, t, p, kv_head, d);
            y[d] += w * v;
            if (mag) mag[d] += (w * (1 + magnitude + below + mean_magnitude) + REF_UNDERFLOW) * fabs(v);
        }
    }
}

void ref_attention(const kcall *c, double *y, double *mag) {
    int64_t dim = c->keys.head_dim, n_heads = c->x.cols / dim;
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t head = 0; head < n_heads; head++) {
            int64_t at = t * c->y.cols + head * dim;
            attend(c, t, head, y + at, mag ? mag + at : NULL);
        }
    }
}
