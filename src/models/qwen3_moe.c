/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen3_moe (Qwen3-30B-A3B, Qwen3-Coder-30B-A3B): qwen3 with a mixture of experts in the place of the MLP. As in mlx-lm
 * rope_scaling is not applied. */
#include "models/moe.h"

static int mlp(const family_input *in, const decoder *d, int layer, int x) {
    return moe_emit(in, d, d->user, layer, x);
}

static int build(const family_input *in) {
    moe m = {.n_experts = CONFIG_REQUIRED};
    decoder d = {.rope_theta = -1, .qk_norm = true, .mlp = mlp, .user = &m}; /* rope_theta is required */
    if (!decoder_read(in, &d) || !moe_read(in, true, &m)) return PLAN_NONE;
    d.rope_scaling = NULL;
    return decoder_emit(in, &d);
}

const family family_qwen3_moe = {{"qwen3_moe"}, build};
