/* SPDX-License-Identifier: Apache-2.0
 *
 * ROPE and its table (Su et al. 2021, "RoFormer", equation 34): pairs of columns of a head are rotated by the angle
 * position * frequency. The frequencies, with whatever scaling a family's rope_scaling asks for, come with the call. */
#include "ref/ref_ops.h"

#include <math.h>

void ref_rope_table(const kcall *c, double *y, double *mag) {
    int64_t half = c->y.cols / 2;
    for (int64_t t = 0; t < c->y.rows; t++) {
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)c->positions[t] * c->freqs[i];
            y[t * c->y.cols + i] = cos(angle) * (double)c->scale;
            y[t * c->y.cols + half + i] = sin(angle) * (double)c->scale;
        }
        for (int64_t i = 0; mag && i < c->y.cols; i++) mag[t * c->y.cols + i] = fabs((double)c->scale);
    }
}

/* Pair i of a head is (i, i + half), as Hugging Face's rotate_half has it, or (2i, 2i + 1) as in the paper. */
void ref_rope(const kcall *c, double *y, double *mag) {
    int64_t head_dim = c->x.cols / c->n_parts, half = c->z.cols / 2;
    for (int64_t t = 0; t < c->x.rows; t++) {
        for (int64_t j = 0; j < c->x.cols; j++) {
            y[t * c->y.cols + j] = ref_at(&c->x, t, j);
            if (mag) mag[t * c->y.cols + j] = 0; /* columns past the rotated ones are copies */
        }
        for (int64_t head = 0; head < c->n_parts; head++) {
            for (int64_t i = 0; i < half; i++) {
                int64_t ja = head * head_dim + (c->interleaved ? 2 * i : i);
                int64_t jb = head * head_dim + (c->interleaved ? 2 * i + 1 : i + half);
                double a = ref_at(&c->x, t, ja), b = ref_at(&c->x, t, jb);
                double cosine = ref_at(&c->z, t, i), sine = ref_at(&c->z, t, half + i);
                y[t * c->y.cols + ja] = a * cosine - b * sine;
                y[t * c->y.cols + jb] = b * cosine + a * sine;
                if (!mag) continue;
                mag[t * c->y.cols + ja] = fabs(a * cosine) + fabs(b * sine);
                mag[t * c->y.cols + jb] = fabs(b * cosine) + fabs(a * sine);
            }
        }
    }
}
