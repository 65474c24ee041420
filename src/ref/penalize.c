/* SPDX-License-Identifier: Apache-2.0
 *
 * PENALIZE: what a sampler adds to logits, or takes from them, for tokens that it is told of or has seen (mlx-lm's
 * make_logits_processors). Samplers of all devices promise the same tokens, so it is fp32 that is meant, rounded after
 * each operation. */
#include "ref/ref_ops.h"

#include "kernels/sampler.h"

/* How often a token is among the last n. */
static int times_seen(const ksampler *s, int32_t token, int n) {
    const int32_t *history = ksampler_history(s);
    int times = 0;
    for (int i = s->n_history > n ? s->n_history - n : 0; i < s->n_history; i++) times += history[i] == token;
    return times;
}

static float penalized(const ksampler *s, int32_t token, float logit) {
    for (int i = 0; i < s->n_bias; i++)
        if (ksampler_bias_ids(s)[i] == token) logit += ksampler_bias_values(s)[i];
    if (times_seen(s, token, s->n_repetition) > 0) logit = logit < 0 ? logit * s->repetition : logit / s->repetition;
    if (times_seen(s, token, s->n_presence) > 0) logit -= s->presence;
    for (int i = times_seen(s, token, s->n_frequency); i > 0; i--) logit -= s->frequency;
    return logit;
}

void ref_penalize(const kcall *c, double *y, double *mag) {
    for (int64_t t = 0; t < c->x.rows; t++) {
        const ksampler *s = ksampler_of(c, t);
        double *row = y + t * c->x.cols;
        for (int64_t j = 0; j < c->x.cols; j++) row[j] = ref_at(&c->x, t, j);
        for (int i = 0; i < s->n_bias + s->n_history; i++) {
            const int32_t token = i < s->n_bias ? ksampler_bias_ids(s)[i] : ksampler_history(s)[i - s->n_bias];
            row[token] = (double)penalized(s, token, (float)ref_at(&c->x, t, token));
        }
    }
    for (int64_t i = 0; mag && i < c->x.rows * c->x.cols; i++) mag[i] = 0;
}
