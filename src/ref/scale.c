/* SPDX-License-Identifier: Apache-2.0
 *
 * SCALE: y = scale x. */
#include "ref/ref_ops.h"

#include <math.h>

void ref_scale(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            int64_t at = t * c->y.cols + j;
            y[at] = (double)c->scale * ref_at(&c->x, t, j);
            if (mag) mag[at] = fabs(y[at]);
        }
    }
}
