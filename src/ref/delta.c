/* SPDX-License-Identifier: Apache-2.0
 *
 * DELTA: the gated delta rule (Yang et al. 2024, "Gated Delta Networks", arXiv 2412.06464, equation 10), one token
 * after the other. Of each head, a state S [value_dim, key_dim] forgets by the decay, is asked for the value that it
 * has for the key, is corrected towards the token's own value, and is read with the query. Rows of S do not touch one
 * another. */
#include "ref/ref_ops.h"

#include <math.h>
#include <stdlib.h>

/* What one token brings to one value head. */
typedef struct token {
    const double *q, *k; /* [key_dim], normalized */
    double decay, beta;
    double norm_q, norm_k; /* lengths of q and k */
} token;

/* x / sqrt(sum of squares + eps) * factor; returns its length. */
static double normalize(const kcall *c, int64_t t, int64_t from, double factor, double *to) {
    double squares = 0;
    for (int64_t j = 0; j < c->key_dim; j++) squares += pow(ref_at(&c->x, t, from + j), 2);
    factor /= sqrt(squares + (double)c->eps);
    for (int64_t j = 0; j < c->key_dim; j++) to[j] = ref_at(&c->x, t, from + j) * factor;
    return sqrt(squares) * fabs(factor);
}

/* One row of the state takes in one token; returns the output.
 *
 * `error` bounds the length of the row's error vector in units of u times the depth of one stage (check_bound.c). A
 * step multiplies that vector by decay (1 - beta k k^T), which makes it no longer than decay max(1, |1 - beta |k|^2|)
 * times itself; new roundings add the lengths of what they are made on: the decayed row, the asked and the wanted value
 * along k, the written row. So errors add up along the tokens instead of being multiplied. */
static double step(const token *in, int64_t dim, double v, double *s, double *error, double *mag) {
    double asked = 0, asked_abs = 0, kept = 0, written = 0, y = 0, y_abs = 0;
    for (int64_t j = 0; j < dim; j++) {
        s[j] *= in->decay;
        asked += s[j] * in->k[j];
        asked_abs += fabs(s[j] * in->k[j]);
        kept += s[j] * s[j];
    }
    double delta = in->beta * (v - asked);
    for (int64_t j = 0; j < dim; j++) {
        s[j] += delta * in->k[j];
        y += s[j] * in->q[j];
        y_abs += fabs(s[j] * in->q[j]);
        written += s[j] * s[j];
    }
    double growth = fmax(1, fabs(1 - in->beta * in->norm_k * in->norm_k));
    *error = fabs(in->decay) * growth * *error + sqrt(kept) + sqrt(written) +
             fabs(in->beta) * (fabs(v) + asked_abs) * in->norm_k + fabs(delta) * in->norm_k;
    *mag = y_abs + *error * in->norm_q;
    return y;
}

/* Value head h of the sequence whose tokens are [first, end); its state goes from `s` on, where the old one is. */
static void run_head(const kcall *c, int64_t h, int64_t first, int64_t end, double *q, double *s, double *s_mag,
                     double *y, double *mag) {
    int64_t dim = c->key_dim, value_dim = c->y.cols / c->n_parts, key_head = h / (c->n_parts / c->n_keys);
    double *k = q + dim, *errors = k + dim;
    for (int64_t i = 0; i < value_dim; i++) errors[i] = 0;
    for (int64_t t = first; t < end; t++) {
        token in = {.q = q, .k = k, .decay = ref_at(&c->z, t, h), .beta = ref_at(&c->z, t, c->n_parts + h)};
        in.norm_q = normalize(c, t, key_head * dim, 1 / sqrt((double)dim), q);
        in.norm_k = normalize(c, t, (c->n_keys + key_head) * dim, 1, k);
        for (int64_t i = 0; i < value_dim; i++) {
            int64_t at = h * value_dim + i;
            double v = ref_at(&c->x, t, 2 * c->n_keys * dim + at), magnitude;
            y[t * c->y.cols + at] = step(&in, dim, v, s + i * dim, errors + i, &magnitude);
            if (mag) mag[t * c->y.cols + at] = magnitude;
        }
    }
    for (int64_t i = 0; s_mag && i < value_dim * dim; i++) s_mag[i] = errors[i / dim];
}

void ref_delta(const kcall *c, double *y, double *mag) {
    int64_t head_size = c->states.size / c->n_parts, at_state = c->y.rows * c->y.cols;
    double *work = malloc((size_t)(2 * c->key_dim + c->y.cols / c->n_parts) * sizeof *work);
    for (int64_t at = 0; !work && at < ref_count(c); at++) y[at] = NAN; /* out of memory: agrees with nothing */
    for (int64_t first = 0, end; work && first < c->x.rows; first = end) {
        end = kcall_sequence_end(c, first);
        const float *old = c->states.data + c->slots[first] * c->states.size;
        for (int64_t i = 0; i < c->states.size; i++) y[at_state + i] = (double)old[i];
        for (int64_t h = 0; h < c->n_parts; h++, at_state += head_size)
            run_head(c, h, first, end, work, y + at_state, mag ? mag + at_state : NULL, y, mag);
    }
    free(work);
}
