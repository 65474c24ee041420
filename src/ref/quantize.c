/* SPDX-License-Identifier: Apache-2.0
 *
 * QUANTIZE: the form stands for x itself, rounded to the nearest of the steps that its group's largest element allows
 * (src/quant/xform.h). So y is x, and the magnitude is what half a step is at most. */
#include "ref/ref_ops.h"

#include <math.h>

#include "quant/xform.h"

void ref_quantize(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t start = 0; start < c->x.cols; start += c->y.group) {
            double largest = 0;
            for (int64_t j = start; j < start + c->y.group; j++) {
                y[t * c->y.cols + j] = ref_at(&c->x, t, j);
                largest = fmax(largest, fabs(y[t * c->y.cols + j]));
            }
            for (int64_t j = start; mag && j < start + c->y.group; j++) mag[t * c->y.cols + j] = largest / XFORM_MAX;
        }
    }
}
