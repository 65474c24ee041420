/* SPDX-License-Identifier: Apache-2.0
 *
 * Qwen's mixture of experts: a router chooses some experts for each token, whose results are summed by its softmax
 * weights; beside them, in some families, one expert that every token goes through, with a gate of its own. */
#ifndef NB_MODELS_MOE_H
#define NB_MODELS_MOE_H

#include "models/decoder.h"

typedef struct moe {
    int64_t n_experts, n_chosen; /* n_experts 0: every layer is dense */
    int64_t width;               /* moe_intermediate_size */
    bool has_shared;             /* mlp.shared_expert and mlp.shared_expert_gate */
    int64_t shared_width;        /* shared_expert_intermediate_size */
    bool normalize;              /* norm_topk_prob: the weights of the chosen sum to 1 */
    const bool *is_dense;        /* [n_layers] */
} moe;

/* Reads the fields after decoder_read. In *m: has_shared, normalize as the family's default, n_experts 0 where the
 * field may be missing or CONFIG_REQUIRED. with_steps: decoder_sparse_step and mlp_only_layers count. False: the
 * builder has the error. */
bool moe_read(const family_input *in, bool with_steps, moe *m);
/* The MLP of a layer, whichever kind it has. */
int moe_emit(const family_input *in, const decoder *d, const moe *m, int layer, int x);

#endif
