/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of sample.c: penalties, and drawing tokens from logits. */
#ifndef NB_GPU_KERNELS_SAMPLE_PARAMS_H
#define NB_GPU_KERNELS_SAMPLE_PARAMS_H

#include "../../kernels/sampler.h"
#include "params.h"

enum {
    SAMPLE_SLICES = 128, /* of the vocabulary, a block each */
    SAMPLE_BLOCK = 128,
    SAMPLE_PICK_BLOCK = 1024,
    SAMPLE_WINDOWS = 3 /* distances to the largest logit within which candidates may lie; the last: any */
};

/* What is known of a slice of a row of logits. */
struct sample_slice {
    double sum, mass[SAMPLE_WINDOWS]; /* of exp(logit - largest), in all and by windows */
    u32 count[SAMPLE_WINDOWS];
    float largest;
    u32 at, bad; /* where the first such is, if there is any (else the vocabulary's size); whether one is an error */
    u32 unused;
};

/* A token that is still in the running, in order of ids. */
struct sample_candidate {
    double probability, weight; /* at temperature 1; at the sampler's, of the best token 1 */
    u32 key, id;                /* keys are in order of the logits */
};

struct sample_params {
    GLOBAL float *logits; /* [rows, vocab]; only penalties change them */
    i64 stride;
    u32 vocab, unused;
    const GLOBAL u8 *samplers; /* see kcall; NULL: the most likely tokens */
    const GLOBAL i32 *slots;
    GLOBAL struct sample_slice *slices;         /* [rows][SAMPLE_SLICES] */
    GLOBAL struct sample_candidate *candidates; /* [rows][vocab] */
    GLOBAL float *tokens;                       /* a row's lie so many floats apart: */
    i64 tokens_stride;
};

#endif
