/* SPDX-License-Identifier: Apache-2.0
 *
 * A sampler as the rows of PENALIZE and DRAW read it: nb_sampling (nibble.h says what the numbers mean) and the tokens
 * that it looks back at, in one piece and without addresses, so that it can be copied to any device. Device code
 * includes this too. */
#ifndef NB_KERNELS_SAMPLER_H
#define NB_KERNELS_SAMPLER_H

#include <stdint.h>

enum { KSAMPLER_UNIT = 16 }; /* samplers begin at multiples of so many bytes (kcall.slots) */

/* Behind it: the last n_history tokens (int32), the newest last; the tokens (int32) and the values (float) of n_bias
 * biases. */
typedef struct ksampler {
    uint64_t random;                               /* the generator's state */
    double temperature;                            /* 0: the most likely token */
    double top_p;                                  /* 0: off */
    double log_min_p;                              /* with use_min_p */
    int32_t use_min_p, min_keep, top_k;            /* top_k 0: off */
    float repetition, presence, frequency;         /* 0: off */
    int32_t n_repetition, n_presence, n_frequency; /* tokens that they look back at; 0: off */
    int32_t n_history, n_bias, unused;
} ksampler;

#ifndef NB_GPU_DEVICE_CODE

#    include "kernels/kernel.h"
#    include "nibble.h"

/* So many of the last tokens matter to a sampler. */
int ksampler_look_back(const nb_sampling *s);
/* Whether it changes logits: PENALIZE. */
bool ksampler_penalizes(const nb_sampling *s);

/* What a sampler takes, a multiple of KSAMPLER_UNIT, and its making; `history` [n]: the tokens so far, of which it
 * keeps those that matter. */
size_t ksampler_bytes(const nb_sampling *s, size_t n);
void ksampler_fill(const nb_sampling *s, const int32_t *history, size_t n, void *to);
/* Makes one `*at` bytes from `all` on, a multiple of KSAMPLER_UNIT, and moves *at behind it. Its slot (kcall.slots).
 * all NULL: only counts. */
int32_t ksampler_append(const nb_sampling *s, const int32_t *history, size_t n, void *all, size_t *at);

/* Of a call in the host's memory: the sampler of row i, and what lies behind it. */
static inline const ksampler *ksampler_of(const kcall *c, int64_t i) {
    const uint8_t *all = (const uint8_t *)c->samplers;
    return (const ksampler *)(const void *)(all + (int64_t)c->slots[i] * KSAMPLER_UNIT);
}
static inline const int32_t *ksampler_history(const ksampler *s) {
    return (const int32_t *)(const void *)(s + 1);
}
static inline const int32_t *ksampler_bias_ids(const ksampler *s) {
    return ksampler_history(s) + s->n_history;
}
static inline const float *ksampler_bias_values(const ksampler *s) {
    return (const float *)(const void *)(ksampler_bias_ids(s) + s->n_bias);
}

#endif
#endif
