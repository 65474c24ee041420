/* SPDX-License-Identifier: Apache-2.0
 *
 * gpt_oss (gpt-oss-20b, 120b): sliding and full layers in turn, attention sinks, and in place of the MLP a mixture of
 * experts with biases and a clamped SwiGLU, whose weights are published in mxfp4. */
#include "models/decoder.h"

typedef struct experts {
    int64_t n, n_chosen;
} experts;

static int mixture(const family_input *in, const decoder *d, int layer, int x) {
    plan_builder *b = in->builder;
    const model_dims *m = in->dims;
    const experts *e = d->user;
    int logits = plan_linear(b, x, e->n, true, "model.layers.%d.mlp.router", layer);
    int route = plan_route(b, logits, e->n_chosen, true, NULL);
    int gate = plan_experts(b, x, route, e->n, m->intermediate_size, false, true,
                            "model.layers.%d.mlp.experts.gate_proj", layer);
    int up = plan_experts(b, x, route, e->n, m->intermediate_size, false, true, "model.layers.%d.mlp.experts.up_proj",
                          layer);
    int y = plan_act_mul(b, ACT_SWIGLU_OAI, gate, up, "mlp.act");
    y = plan_experts(b, y, route, e->n, m->hidden_size, true, true, "model.layers.%d.mlp.experts.down_proj", layer);
    return plan_sum_experts(b, y, route, "mlp.experts");
}

static int build(const family_input *in) {
    static const char *const in_turn[2] = {"sliding_attention", "full_attention"};
    decoder d = {.rope_theta = 150000, .qkv_bias = true, .o_bias = true, .sinks = true, .mlp = mixture};
    if (!decoder_read(in, &d) || !decoder_read_windows(in, &d, in_turn)) return PLAN_NONE;
    const experts e = {config_int(in, "num_local_experts", 1, 65536, 128),
                       config_int(in, "num_experts_per_tok", 1, 65536, 4)};
    if (e.n_chosen > e.n)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: num_experts_per_tok is %lld of num_local_experts %lld",
                  (long long)e.n_chosen, (long long)e.n);
    d.user = &e;
    return plan_ok(in->builder) ? decoder_emit(in, &d) : PLAN_NONE;
}

const family family_gpt_oss = {{"gpt_oss"}, build};
