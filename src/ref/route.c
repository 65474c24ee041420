/* SPDX-License-Identifier: Apache-2.0
 *
 * ROUTE: the experts of each token (Shazeer et al. 2017, "Outrageously Large Neural Networks", section 2.1): those of
 * the largest logits, and as their weights a softmax over all experts or over the chosen ones alone. Which experts are
 * chosen has one right answer, since logits are compared as they are. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

/* The largest logit of those that are not among the first n of `chosen`; of equal ones the first. */
static int64_t next_expert(const kcall *c, int64_t t, const double *chosen, int64_t n) {
    int64_t best = -1;
    for (int64_t e = 0; e < c->x.cols; e++) {
        bool taken = false;
        for (int64_t s = 0; s < n; s++) taken |= chosen[s] == (double)e;
        if (!taken && (best < 0 || ref_at(&c->x, t, e) > ref_at(&c->x, t, best))) best = e;
    }
    return best;
}

/* As in attention, the error of each difference to the largest logit moves its exponential, and all of them the sum. */
void ref_route(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        double *chosen = y + t * c->y.cols, *weights = chosen + c->n_chosen;
        for (int64_t s = 0; s < c->n_chosen; s++) chosen[s] = (double)next_expert(c, t, chosen, s);
        double largest = ref_at(&c->x, t, (int64_t)chosen[0]), sum = 0, mean_below = 0;
        int64_t n = c->normalize ? c->n_chosen : c->x.cols;
        for (int64_t i = 0; i < n; i++) {
            double below = largest - ref_at(&c->x, t, c->normalize ? (int64_t)chosen[i] : i);
            sum += exp(-below);
            mean_below += exp(-below) * below;
        }
        mean_below /= sum;
        for (int64_t s = 0; s < c->n_chosen; s++) {
            int64_t e = (int64_t)chosen[s];
            double below = largest - ref_at(&c->x, t, e);
            double factor = c->weight.data ? float_at(c->weight.data, c->weight.type, e) : 1.0;
            weights[s] = exp(-below) / sum * factor;
            if (!mag) continue;
            mag[t * c->y.cols + s] = 0;
            mag[t * c->y.cols + c->n_chosen + s] =
                fabs(weights[s]) * (1 + below + mean_below) + REF_UNDERFLOW * fabs(factor);
        }
    }
}
