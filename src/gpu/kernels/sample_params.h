/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of sample.c: drawing tokens from logits. What a sequence's sampler is lies in the device's memory, so that
 * a graph that draws serves any sampler. */
#ifndef NB_GPU_KERNELS_SAMPLE_PARAMS_H
#define NB_GPU_KERNELS_SAMPLE_PARAMS_H

#include "params.h"

enum {
    SAMPLE_SLICES = 128, /* of the vocabulary, a block each */
    SAMPLE_BLOCK = 128,
    SAMPLE_PICK_BLOCK = 1024,
    SAMPLE_WINDOWS = 3 /* distances to the largest logit within which candidates may lie; the last: any */
};

/* A sequence's sampler (nb_sampling in nibble.h says what the numbers mean). Behind it: the last `keep` tokens, of
 * which token n is at n % keep; the ids and values of n_bias biases. */
struct sample_state {
    u64 random, n_seen;  /* the generator; tokens of the sequence so far */
    double temperature;  /* 0: the most likely token */
    double top_p;        /* 0: off */
    double log_min_p;    /* with use_min_p */
    i32 token, bad;      /* what was drawn; 0 or 1 + the first logit that is an error */
    i32 top_k, min_keep; /* top_k 0: off */
    float repetition, presence, frequency;
    i32 n_repetition, n_presence, n_frequency, keep;
    u32 n_bias, use_min_p, unused;
};

/* What is known of a slice of a row of logits. */
struct sample_slice {
    double sum, mass[SAMPLE_WINDOWS]; /* of exp(logit - largest), in all and by windows */
    u32 count[SAMPLE_WINDOWS];
    float largest; /* and where the first such is; where the first is that is NaN or infinite (else the vocabulary's
                      size) */
    u32 at, bad, unused;
};

/* A token that is still in the running, in order of ids. */
struct sample_candidate {
    double probability, weight; /* at temperature 1; at the sampler's, of the best token 1 */
    u32 key, id;                /* keys are in order of the logits */
};

struct sample_params {
    GLOBAL float *logits;
    i64 stride;
    u32 vocab, unused;
    const GLOBAL u64 *states;                   /* [rows]: addresses of sample_state */
    GLOBAL struct sample_slice *slices;         /* [rows][SAMPLE_SLICES] */
    GLOBAL struct sample_candidate *candidates; /* [rows][vocab] */
    GLOBAL i32 *tokens;                         /* [rows], drawn; -1: a logit is an error */
};

#endif
