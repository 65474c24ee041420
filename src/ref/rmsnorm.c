/* SPDX-License-Identifier: Apache-2.0
 *
 * RMSNORM (Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4, with the epsilon that
 * models' rms_norm_eps adds to the mean square): each part of a row is divided by its own root mean square and
 * multiplied by the weight, which all parts share. Some families store the weight's distance from 1: the offset. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

void ref_rmsnorm(const kcall *c, double *y, double *mag) {
    int64_t size = c->x.cols / c->n_parts;
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t start = 0; start < c->x.cols; start += size) {
            double squares = 0;
            for (int64_t j = 0; j < size; j++) {
                double x = ref_at(&c->x, t, start + j);
                squares += x * x;
            }
            double root = sqrt(squares / (double)size + (double)c->eps);
            for (int64_t j = 0; j < size; j++) {
                double weight = c->weight.data ? float_at(c->weight.data, c->weight.type, j) : 1.0;
                int64_t at = t * c->y.cols + start + j;
                y[at] = ref_at(&c->x, t, start + j) / root * ((double)c->offset + weight);
                if (mag) mag[at] = fabs(y[at]); /* all terms of the sum of squares have one sign */
            }
        }
    }
}
