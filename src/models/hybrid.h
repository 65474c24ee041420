/* SPDX-License-Identifier: Apache-2.0
 *
 * What the hybrid Qwen families share: gated delta nets in place of some layers' attention, experts as the MLP. */
#ifndef NB_MODELS_HYBRID_H
#define NB_MODELS_HYBRID_H

#include "models/delta_net.h"
#include "models/moe.h"

/* A decoder's `user`. */
typedef struct hybrid {
    delta_net delta;
    moe moe;
} hybrid;

/* A decoder's `mlp` and `linear`. */
int hybrid_mlp(const family_input *in, const decoder *d, int layer, int x);
int hybrid_linear(const family_input *in, const decoder *d, int layer, int x);

#endif
