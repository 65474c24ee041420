/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary position embedding: the angle per position of each pair, for every scaling that config.json can name. */
#ifndef NB_MODELS_ROPE_H
#define NB_MODELS_ROPE_H

#include "plan/build.h"

typedef struct rope_params {
    double *freqs; /* [dims / 2] radians per position, in the builder's memory */
    double scale;  /* multiplies the rotated q and k (yarn's and longrope's mscale) */
} rope_params;

/* What config.json says of it. */
typedef struct rope_source {
    int64_t dims; /* columns of a head that are rotated */
    double theta;
    const cJSON *scaling;   /* rope_scaling or rope_parameters; may be NULL */
    int64_t context_length; /* max_position_embeddings; 0: unknown */
    double proportional;    /* > 0: without `scaling`, the share of a head that turns, as type "proportional" has it */
    int64_t original_context; /* where `scaling` has no original_max_position_embeddings; 0: the type's default */
} rope_source;

/* False: the builder has the error. */
bool rope_init(plan_builder *b, const rope_source *source, rope_params *out);

#endif
