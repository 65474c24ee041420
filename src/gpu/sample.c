/* SPDX-License-Identifier: Apache-2.0 */
#include "gpu/sample.h"

#include <math.h>
#include <string.h>

#include "base/num.h"
#include "gpu/kernels/sample_params.h"

enum { MAX_BIASES = 4096, MAX_LOOK_BACK = 4096, SHARED = SAMPLE_PICK_BLOCK * sizeof(double) };

static int look_back(const nb_sampling *s) {
    int n = s->repetition_penalty != 0 ? s->repetition_context_size : 0;
    if (s->presence_penalty != 0 && s->presence_context_size > n) n = s->presence_context_size;
    if (s->frequency_penalty != 0 && s->frequency_context_size > n) n = s->frequency_context_size;
    return n;
}

bool gpu_sampler_ok(const nb_sampling *s) {
    return s->xtc_probability == 0 && s->n_logit_bias <= MAX_BIASES && look_back(s) <= MAX_LOOK_BACK;
}

bool gpu_has_penalties(const nb_sampling *s) {
    return look_back(s) > 0 || s->n_logit_bias > 0;
}

size_t gpu_sampler_bytes(const nb_sampling *s) {
    return sizeof(struct sample_state) + ((size_t)look_back(s) + 2 * s->n_logit_bias) * sizeof(int32_t);
}

void gpu_sampler_fill(const nb_sampling *s, const int32_t *tokens, size_t n, void *to) {
    struct sample_state *state = to;
    const int keep = look_back(s);
    memset(to, 0, gpu_sampler_bytes(s));
    *state = (struct sample_state){.random = s->seed,
                                   .n_seen = n,
                                   .temperature = (double)s->temperature,
                                   .top_p = s->top_p > 0 && s->top_p < 1 ? (double)s->top_p : 0,
                                   .log_min_p = s->min_p > 0 ? log((double)s->min_p) : 0,
                                   .use_min_p = s->min_p > 0,
                                   .top_k = s->top_k,
                                   .min_keep = s->min_tokens_to_keep,
                                   .repetition = s->repetition_penalty,
                                   .presence = s->presence_penalty,
                                   .frequency = s->frequency_penalty,
                                   .keep = keep,
                                   .n_bias = (u32)s->n_logit_bias};
    if (s->repetition_penalty != 0) state->n_repetition = s->repetition_context_size;
    if (s->presence_penalty != 0) state->n_presence = s->presence_context_size;
    if (s->frequency_penalty != 0) state->n_frequency = s->frequency_context_size;
    int32_t *history = (int32_t *)(state + 1);
    for (size_t i = n > (size_t)keep ? n - (size_t)keep : 0; keep > 0 && i < n; i++)
        history[i % (size_t)keep] = tokens[i];
    if (s->n_logit_bias == 0) return;
    memcpy(history + keep, s->logit_bias_ids, s->n_logit_bias * sizeof(int32_t));
    memcpy(history + keep + s->n_logit_bias, s->logit_bias_values, s->n_logit_bias * sizeof(float));
}

gpu_drawn gpu_sampler_drawn(const void *sampler) {
    const struct sample_state *s = sampler;
    return (gpu_drawn){s->token, s->bad, s->random};
}

static size_t slices_bytes(int64_t rows) {
    return (size_t)rows * SAMPLE_SLICES * sizeof(struct sample_slice);
}

size_t gpu_draw_scratch(int64_t rows, int64_t vocab, bool random) {
    return slices_bytes(rows) + (random ? (size_t)rows * (size_t)vocab * sizeof(struct sample_candidate) : 0);
}

static const gpu_kernel penalties = {.module = "sample", .name = "sample_penalties"},
                        largest = {.module = "sample", .name = "sample_largest"},
                        windows = {.module = "sample", .name = "sample_windows"},
                        candidates = {.module = "sample", .name = "sample_candidates"},
                        pick = {.module = "sample", .name = "sample_pick", .block_max = SAMPLE_PICK_BLOCK};

void gpu_draw_launches(const gpu_draw *d, gpu_launches *to) {
    const struct sample_params p = {.logits = d->logits,
                                    .stride = d->stride,
                                    .vocab = (u32)d->vocab,
                                    .states = d->samplers,
                                    .slices = d->scratch,
                                    .candidates = (void *)((uint8_t *)d->scratch + slices_bytes(d->rows)),
                                    .tokens = d->tokens};
    if (d->penalties) gpu_add(to, &penalties, 1, d->rows, 1, SAMPLE_BLOCK, 0, &p, sizeof p);
    gpu_add(to, &largest, SAMPLE_SLICES, d->rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    if (d->random) {
        gpu_add(to, &windows, SAMPLE_SLICES, d->rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
        gpu_add(to, &candidates, SAMPLE_SLICES, d->rows, 1, SAMPLE_BLOCK, SHARED, &p, sizeof p);
    }
    gpu_add(to, &pick, 1, d->rows, 1, d->random ? SAMPLE_PICK_BLOCK : SAMPLE_BLOCK, SHARED, &p, sizeof p);
}
