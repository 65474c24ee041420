/* SPDX-License-Identifier: Apache-2.0
 *
 * SOFTCAP: y = scale tanh(x / scale), which keeps logits within (-scale, scale) (Gemma 2, arXiv 2408.00118, section 2).
 * An error of x / scale changes tanh relatively by no more than its own. */
#include "ref/ref_ops.h"

#include <math.h>

void ref_softcap(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            int64_t at = t * c->y.cols + j;
            y[at] = (double)c->scale * tanh(ref_at(&c->x, t, j) / (double)c->scale);
            if (mag) mag[at] = fabs(y[at]);
        }
    }
}
