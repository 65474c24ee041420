/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen3_5 and qwen3_5_moe (Qwen3.5, 3.6, 3.8, the text part of each): as qwen3_next, but dense or with experts, and
 * with separate projections in its gated delta nets. Every field has mlx-lm's default; mrope is plain rope for text. */
#include "models/hybrid.h"

static int build(const family_input *in) {
    hybrid p = {.delta = {.n_keys = 16, .n_values = 64, .key_dim = 192, .value_dim = 128, .kernel = 4},
                .moe = {.has_shared = true, .normalize = true}};
    decoder d = {
        .eps = 1e-6f, .rope_theta = 100000, .qk_norm = true, .mlp = hybrid_mlp, .linear = hybrid_linear, .user = &p};
    /* Some configs say whether the head is tied only outside of text_config: then the files do. */
    *in->dims = (model_dims){.hidden_size = 4096,
                             .intermediate_size = 14336,
                             .n_layers = 32,
                             .n_heads = 32,
                             .n_kv_heads = 8,
                             .vocab_size = 151936,
                             .context_length = 131072,
                             .tied = !plan_has(in->builder, true, "lm_head.weight")};
    if (!decoder_read(in, &d) || !delta_net_read(in, &p.delta, &d) || !moe_read(in, false, &p.moe)) return PLAN_NONE;
    d.gated = config_bool(in, "attn_output_gate", true);
    d.rope_dims = config_rotary_dims(in, in->dims->head_dim, 0.25);
    d.qkv_bias = d.o_bias = config_bool(in, "attention_bias", false);
    return plan_ok(in->builder) ? decoder_emit(in, &d) : PLAN_NONE;
}

const family family_qwen3_5 = {{"qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"}, build};
