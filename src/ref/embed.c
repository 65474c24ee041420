/* SPDX-License-Identifier: Apache-2.0
 *
 * EMBED: the row of the table that a token names, times a scale (1 in most families, sqrt(hidden_size) in Gemma's). */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

void ref_embed(const kcall *c, double *y, double *mag) {
    int64_t n = c->y.cols;
    double *values = malloc((size_t)(2 * n) * sizeof *values), *biases = values + n;
    for (int64_t at = 0; !values && at < c->y.rows * n; at++) y[at] = NAN; /* out of memory: agrees with nothing */
    for (int64_t t = 0; values && t < c->y.rows; t++) {
        ref_weight_row(c->w, c->tokens[t], values, biases);
        for (int64_t j = 0; j < n; j++) {
            y[t * n + j] = (double)c->scale * values[j];
            if (mag) mag[t * n + j] = fabs((double)c->scale) * (fabs(values[j] - biases[j]) + fabs(biases[j]));
        }
    }
    free(values);
}
