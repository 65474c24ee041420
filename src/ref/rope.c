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
void ref_rotate(const kcall *c, int64_t t, double *head, double *mag) {
    int64_t half = c->z.cols / 2;
    for (int64_t i = 0; i < half; i++) {
        int64_t ja = c->interleaved ? 2 * i : i, jb = c->interleaved ? 2 * i + 1 : i + half;
        double a = head[ja], b = head[jb], cosine = ref_at(&c->z, t, i), sine = ref_at(&c->z, t, half + i);
        head[ja] = a * cosine - b * sine;
        head[jb] = b * cosine + a * sine;
        if (!mag) continue;
        mag[ja] = fabs(a * cosine) + fabs(b * sine);
        mag[jb] = fabs(b * cosine) + fabs(a * sine);
    }
}

/* Columns past the rotated ones are copies, of what is normed or of x itself. */
void ref_rope(const kcall *c, double *y, double *mag) {
    int64_t head_dim = c->x.cols / c->n_parts;
    ref_input(c, head_dim, &c->weight, y);
    for (int64_t i = 0; mag && i < c->x.rows * c->x.cols; i++) mag[i] = c->normed ? fabs(y[i]) : 0;
    for (int64_t i = 0; i < c->x.rows * c->x.cols; i += head_dim)
        ref_rotate(c, i / c->x.cols, y + i, mag ? mag + i : NULL);
}
