/* SPDX-License-Identifier: Apache-2.0
 *
 * KV_STORE: a token's keys or values in the pages' type, rounded to nearest even. There is one right answer for each
 * element then, so the magnitude is 0. Where they are normed or rotated first, y is what is still to be rounded: an
 * fp32 result that lies near the middle of two neighbours may go either way. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

static double round_to(dtype type, double x) {
    float value = (float)x;
    if (type == DT_F16) value = f16_to_f32(f32_to_f16(value));
    if (type == DT_BF16) value = bf16_to_f32(f32_to_bf16(value));
    return (double)value;
}

void ref_kv_store(const kcall *c, double *y, double *mag) {
    int64_t head_dim = c->keys.head_dim;
    ref_input(c, head_dim, &c->weight, y);
    for (int64_t i = 0; i < c->x.rows * c->x.cols; i++) {
        if (mag) mag[i] = c->normed ? fabs(y[i]) : 0;
        if (!c->normed && !c->z.data) y[i] = round_to(c->keys.type, y[i]);
    }
    for (int64_t i = 0; c->z.data && i < c->x.rows * c->x.cols; i += head_dim)
        ref_rotate(c, i / c->x.cols, y + i, mag ? mag + i : NULL);
}
