/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens drawn on the device (kernels/sample.c), with the meanings of engine/sampler.c. The same seed and logits give
 * the same token as there, but where sums of probabilities, which are added in another order, differ in their last
 * digits just at a threshold or where the drawn number falls: about once in 10^12 draws. */
#ifndef NB_GPU_SAMPLE_H
#define NB_GPU_SAMPLE_H

#include "gpu/launch.h"
#include "nibble.h"

/* Whether the device can draw so: not with xtc, nor with thousands of biases or of tokens to look back at. */
bool gpu_sampler_ok(const nb_sampling *s);
/* What is kept in the device's memory for a sequence: so many bytes, 16-byte aligned, filled in here by the host and
 * copied there. `tokens`: the sequence so far; the tokens that are drawn on the device add themselves. */
size_t gpu_sampler_bytes(const nb_sampling *s);
void gpu_sampler_fill(const nb_sampling *s, const int32_t *tokens, size_t n, void *to);
/* What of it changes with each draw, at the beginning of the sampler: for a host that goes on by itself. */
typedef struct gpu_drawn {
    int32_t token;
    int32_t bad; /* 0: all is well; else 1 + the first logit that is no number or infinite */
    uint64_t random;
} gpu_drawn;
gpu_drawn gpu_sampler_drawn(const void *sampler);

/* A draw for each of `rows` rows of logits. All pointers are of the device's memory. */
typedef struct gpu_draw {
    int64_t rows, vocab, stride; /* of logits, in elements */
    float *logits;               /* changed in place by penalties */
    const uint64_t *samplers;    /* [rows]: their addresses */
    int32_t *tokens;             /* [rows]: what is drawn; -1: a logit is an error */
    void *scratch;               /* gpu_draw_scratch(rows, vocab) bytes */
    /* Whether any of the samplers has penalties or biases, and a temperature above 0. */
    bool penalties, random;
} gpu_draw;

bool gpu_has_penalties(const nb_sampling *s);
size_t gpu_draw_scratch(int64_t rows, int64_t vocab, bool random);
/* Up to 5 launches; 2 for the most likely tokens. */
void gpu_draw_launches(const gpu_draw *d, gpu_launches *to);

#endif
