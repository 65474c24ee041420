/* SPDX-License-Identifier: Apache-2.0
 *
 * KV_STORE: a token's keys or values in the pages' type, rounded to nearest even. There is one right answer for each
 * element, so the magnitude is 0. */
#include "ref/ref_ops.h"

#include "base/half.h"

void ref_kv_store(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t j = 0; j < c->x.cols; j++) {
            float x = (float)ref_at(&c->x, t, j);
            if (c->keys.type == DT_F16) x = f16_to_f32(f32_to_f16(x));
            if (c->keys.type == DT_BF16) x = bf16_to_f32(f32_to_bf16(x));
            y[t * c->x.cols + j] = (double)x;
            if (mag) mag[t * c->x.cols + j] = 0;
        }
    }
}
