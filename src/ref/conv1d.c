/* SPDX-License-Identifier: Apache-2.0
 *
 * CONV1D: the causal depthwise convolution in front of a delta net (Gu and Dao 2023, "Mamba", section 3.4, has the
 * same). Every channel is filtered along its own sequence; what came before the call's first token is in the state,
 * which keeps the last kernel - 1 inputs, oldest first. */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

/* Input `at` of a sequence whose first token of this call is `first`; negative: from the state. */
static double input(const kcall *c, int64_t first, int64_t at, int64_t channel) {
    if (at >= 0) return ref_at(&c->x, first + at, channel);
    const float *state = c->states.data + c->slots[first] * c->states.size;
    return (double)state[(c->w->k - 1 + at) * c->x.cols + channel];
}

/* silu's slope is nowhere above 1.1, so an error of the sum grows by no more. */
static void filter(const kcall *c, int64_t first, int64_t at, int64_t channel, double *y, double *mag) {
    int64_t kernel = c->w->k;
    double sum = 0, sum_abs = 0, magnitude;
    for (int64_t j = 0; j < kernel; j++) {
        double term = ref_weight(c->w, channel, j) * input(c, first, at + j - kernel + 1, channel);
        sum += term;
        sum_abs += fabs(term);
    }
    *y = ref_act(c->act, sum, &magnitude);
    if (mag) *mag = c->act == ACT_NONE ? sum_abs : 1.1 * sum_abs + magnitude;
}

void ref_conv1d(const kcall *c, double *y, double *mag) {
    int64_t n_channels = c->x.cols, keep = c->w->k - 1, at_state = c->y.rows * c->y.cols;
    for (int64_t first = 0, end; first < c->x.rows; first = end) {
        end = kcall_sequence_end(c, first);
        for (int64_t t = first; t < end; t++) {
            for (int64_t i = 0; i < n_channels; i++) {
                int64_t at = t * n_channels + i;
                filter(c, first, t - first, i, y + at, mag ? mag + at : NULL);
            }
        }
        for (int64_t i = 0; i < c->states.size; i++, at_state++) {
            y[at_state] = input(c, first, end - first - keep + i / n_channels, i % n_channels);
            if (mag) mag[at_state] = 0;
        }
    }
}
