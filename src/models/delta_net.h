/* SPDX-License-Identifier: Apache-2.0
 *
 * The gated delta net of qwen3_next and qwen3_5 (Yang et al. 2024, arXiv 2412.06464): a causal convolution over q, k
 * and v, a recurrent state that is corrected towards each new value, and a gated norm over its answer. */
#ifndef NB_MODELS_DELTA_NET_H
#define NB_MODELS_DELTA_NET_H

#include "models/decoder.h"

typedef struct delta_net {
    int64_t n_keys, n_values;   /* linear_num_key_heads, linear_num_value_heads */
    int64_t key_dim, value_dim; /* linear_key_head_dim, linear_value_head_dim */
    int64_t kernel;             /* linear_conv_kernel_dim */
    bool fused; /* in_proj_qkvz and in_proj_ba, each key head's parts side by side, for in_proj_qkv, _z, _b and _a */
} delta_net;

/* Reads the fields into *n, whose sizes are the family's defaults (0: required), and which layers are linear into
 * d->is_linear, after decoder_read. False: the builder has the error. */
bool delta_net_read(const family_input *in, delta_net *n, decoder *d);
/* In the place of a layer's attention. */
int delta_net_emit(const family_input *in, const decoder *d, const delta_net *n, int layer, int x);

#endif
