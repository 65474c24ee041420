/* SPDX-License-Identifier: Apache-2.0
 *
 * SUM_EXPERTS: what the experts of a token made, weighted as ROUTE says, and a residual. */
#include "ref/ref_ops.h"

#include <math.h>

void ref_sum_experts(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            int64_t at = t * c->y.cols + j;
            y[at] = c->residual.data ? ref_at(&c->residual, t, j) : 0;
            if (mag) mag[at] = fabs(y[at]);
            for (int64_t s = 0; s < c->n_chosen; s++) {
                double term = ref_at(&c->z, t, c->n_chosen + s) * ref_at(&c->x, t, s * c->y.cols + j);
                y[at] += term;
                if (mag) mag[at] += fabs(term);
            }
        }
    }
}
