/* SPDX-License-Identifier: Apache-2.0
 *
 * QUANTIZE: x in another form. An activation form stands for x itself, rounded to the nearest of the steps that its
 * group's largest element allows (src/quant/xform.h): y is x, and the magnitude is what half a step is at most. f16 and
 * bf16 round x to nearest even: one right answer for each element. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"
#include "quant/xform.h"

static void to_16_bits(const kcall *c, double *y, double *mag) {
    for (int64_t i = 0; i < c->y.rows * c->y.cols; i++) {
        float x = (float)ref_at(&c->x, i / c->y.cols, i % c->y.cols);
        y[i] = (double)(c->y.type == DT_F16 ? f16_to_f32(f32_to_f16(x)) : bf16_to_f32(f32_to_bf16(x)));
        if (mag) mag[i] = 0;
    }
}

void ref_quantize(const kcall *c, double *y, double *mag) {
    if (c->y.type != DT_XI8X3) {
        to_16_bits(c, y, mag);
        return;
    }
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
