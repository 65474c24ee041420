/* SPDX-License-Identifier: Apache-2.0
 *
 * ADD: y = x + z, the residual connections. */
#include "ref/ref_ops.h"

#include <math.h>

void ref_add(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            y[t * c->y.cols + j] = ref_at(&c->x, t, j) + ref_at(&c->z, t, j);
            if (mag) mag[t * c->y.cols + j] = fabs(ref_at(&c->x, t, j)) + fabs(ref_at(&c->z, t, j));
        }
    }
}
