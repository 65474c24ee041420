/* SPDX-License-Identifier: Apache-2.0
 *
 * EMBED: the row of the table that a token names, times a scale (1 in most families, sqrt(hidden_size) in Gemma's). */
#include "ref/ref_ops.h"

#include <math.h>

void ref_embed(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t j = 0; j < c->y.cols; j++) {
            int64_t at = t * c->y.cols + j;
            y[at] = (double)c->scale * ref_weight(c->w, c->tokens[t], j);
            if (mag) mag[at] = fabs((double)c->scale) * ref_weight_magnitude(c->w, c->tokens[t], j);
        }
    }
}
