/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen3_next (Qwen3-Next, Qwen3-Coder-Next): three gated delta nets to one layer of gated attention, each before a
 * mixture of experts with a shared one. */
#include "models/hybrid.h"

static int build(const family_input *in) {
    hybrid p = {.delta = {.fused = true}, .moe = {.n_experts = CONFIG_REQUIRED, .has_shared = true}};
    decoder d = {
        .rope_theta = -1, .qk_norm = true, .gated = true, .mlp = hybrid_mlp, .linear = hybrid_linear, .user = &p};
    if (!decoder_read(in, &d) || !delta_net_read(in, &p.delta, &d) || !moe_read(in, true, &p.moe)) return PLAN_NONE;
    d.rope_dims = config_rotary_dims(in, in->dims->head_dim, -1);
    d.qkv_bias = d.o_bias = config_bool(in, "attention_bias", false);
    return plan_ok(in->builder) ? decoder_emit(in, &d) : PLAN_NONE;
}

const family family_qwen3_next = {{"qwen3_next"}, build};
