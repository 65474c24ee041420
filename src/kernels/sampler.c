/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/sampler.h"

#include <math.h>
#include <string.h>

#include "base/num.h"

int ksampler_look_back(const nb_sampling *s) {
    int n = s->repetition_penalty != 0 ? s->repetition_context_size : 0;
    if (s->presence_penalty != 0 && s->presence_context_size > n) n = s->presence_context_size;
    if (s->frequency_penalty != 0 && s->frequency_context_size > n) n = s->frequency_context_size;
    return n;
}

bool ksampler_penalizes(const nb_sampling *s) {
    return ksampler_look_back(s) > 0 || s->n_logit_bias > 0;
}

static size_t kept(const nb_sampling *s, size_t n) {
    const size_t most = (size_t)ksampler_look_back(s);
    return n < most ? n : most;
}

size_t ksampler_bytes(const nb_sampling *s, size_t n) {
    return round_up(sizeof(ksampler) + (kept(s, n) + 2 * s->n_logit_bias) * sizeof(int32_t), KSAMPLER_UNIT);
}

void ksampler_fill(const nb_sampling *s, const int32_t *history, size_t n, void *to) {
    ksampler *k = to;
    const size_t keep = kept(s, n), n_bias = s->n_logit_bias;
    memset(to, 0, ksampler_bytes(s, n));
    *k = (ksampler){.random = s->seed,
                    .temperature = (double)s->temperature,
                    .top_p = s->top_p > 0 && s->top_p < 1 ? (double)s->top_p : 0,
                    .log_min_p = s->min_p > 0 ? log((double)s->min_p) : 0,
                    .use_min_p = s->min_p > 0,
                    .min_keep = s->min_tokens_to_keep,
                    .top_k = s->top_k,
                    .repetition = s->repetition_penalty,
                    .presence = s->presence_penalty,
                    .frequency = s->frequency_penalty,
                    .n_history = (int32_t)keep,
                    .n_bias = (int32_t)n_bias};
    if (s->repetition_penalty != 0) k->n_repetition = s->repetition_context_size;
    if (s->presence_penalty != 0) k->n_presence = s->presence_context_size;
    if (s->frequency_penalty != 0) k->n_frequency = s->frequency_context_size;
    uint8_t *tail = (uint8_t *)(k + 1);
    if (keep > 0) memcpy(tail, history + (n - keep), keep * sizeof(int32_t));
    if (n_bias == 0) return;
    tail += keep * sizeof(int32_t);
    memcpy(tail, s->logit_bias_ids, n_bias * sizeof(int32_t));
    memcpy(tail + n_bias * sizeof(int32_t), s->logit_bias_values, n_bias * sizeof(float));
}

int32_t ksampler_append(const nb_sampling *s, const int32_t *history, size_t n, void *all, size_t *at) {
    const int32_t slot = (int32_t)(*at / KSAMPLER_UNIT);
    if (all) ksampler_fill(s, history, n, (uint8_t *)all + *at);
    *at += ksampler_bytes(s, n);
    return slot;
}
