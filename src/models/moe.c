/* SPDX-License-Identifier: Apache-2.0 */
#include "models/moe.h"

#include "base/json.h"

enum { MAX_EXPERTS = 1 << 16 };

/* A layer is dense if mlp_only_layers names it, or its number, counted from 1, is no multiple of decoder_sparse_step.
 */
static void read_layers(const family_input *in, moe *m) {
    plan_builder *b = in->builder;
    const int64_t n = in->dims->n_layers, step = config_int(in, "decoder_sparse_step", 1, INT32_MAX, 1);
    bool *is_dense = plan_alloc(b, (size_t)n, sizeof *is_dense);
    if (!is_dense) return;
    for (int64_t i = 0; i < n; i++) is_dense[i] = (i + 1) % step != 0;
    const cJSON *named = json_get(in->config, "mlp_only_layers"), *item;
    if (named && !cJSON_IsArray(named)) plan_fail(b, NB_ERR_FORMAT, "config.json: mlp_only_layers is not an array");
    cJSON_ArrayForEach(item, named) {
        const double layer = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(layer >= 0 && layer < (double)n) || layer != (double)(int64_t)layer) {
            plan_fail(b, NB_ERR_FORMAT,
                      "config.json: mlp_only_layers names layer %g, expected numbers below num_hidden_layers = %lld",
                      layer, (long long)n);
            return;
        }
        is_dense[(int64_t)layer] = true;
    }
    m->is_dense = is_dense;
}

bool moe_read(const family_input *in, bool with_steps, moe *m) {
    plan_builder *b = in->builder;
    m->n_experts = config_int(in, "num_experts", 0, MAX_EXPERTS, m->n_experts);
    if (m->n_experts == 0 || !plan_ok(b)) return plan_ok(b);
    m->n_chosen = config_int(in, "num_experts_per_tok", 1, MAX_EXPERTS, CONFIG_REQUIRED);
    m->width = config_int(in, "moe_intermediate_size", 1, CONFIG_MAX_SIZE, CONFIG_REQUIRED);
    if (m->has_shared)
        m->shared_width = config_int(in, "shared_expert_intermediate_size", 1, CONFIG_MAX_SIZE, CONFIG_REQUIRED);
    m->normalize = config_bool(in, "norm_topk_prob", m->normalize);
    if (m->n_chosen > m->n_experts)
        plan_fail(b, NB_ERR_FORMAT, "config.json: num_experts_per_tok is %lld of num_experts %lld",
                  (long long)m->n_chosen, (long long)m->n_experts);
    if (with_steps) read_layers(in, m);
    bool any_dense = false;
    for (int64_t i = 0; m->is_dense && i < in->dims->n_layers; i++) any_dense |= m->is_dense[i];
    if (!any_dense) in->dims->intermediate_size = m->width; /* the config's is read by nothing, often a mere default */
    return plan_ok(b);
}

static int shared_expert(const family_input *in, const decoder *d, const moe *m, int layer, int x) {
    plan_builder *b = in->builder;
    int y = decoder_gated_mlp(in, d, layer, x, m->shared_width, ACT_SILU, "mlp.shared_expert");
    int gate = plan_linear(b, x, 1, false, "model.layers.%d.mlp.shared_expert_gate", layer);
    return plan_act_mul(b, ACT_SIGMOID, gate, y, "mlp.shared_expert.gated");
}

int moe_emit(const family_input *in, const decoder *d, const moe *m, int layer, int x) {
    plan_builder *b = in->builder;
    const int64_t n = m->n_experts;
    if (n == 0 || (m->is_dense && m->is_dense[layer]))
        return decoder_gated_mlp(in, d, layer, x, in->dims->intermediate_size, ACT_SILU, "mlp");
    int logits = plan_linear(b, x, n, false, "model.layers.%d.mlp.gate", layer);
    int route = plan_route(b, logits, m->n_chosen, m->normalize, NULL);
    int gate = plan_experts(b, x, route, n, m->width, false, false, "model.layers.%d.mlp.switch_mlp.gate_proj", layer);
    int up = plan_experts(b, x, route, n, m->width, false, false, "model.layers.%d.mlp.switch_mlp.up_proj", layer);
    int y = plan_act_mul(b, ACT_SILU, gate, up, "mlp.act");
    y = plan_experts(b, y, route, n, in->dims->hidden_size, true, false, "model.layers.%d.mlp.switch_mlp.down_proj",
                     layer);
    y = plan_sum_experts(b, y, route, "mlp.experts");
    return m->has_shared ? plan_add(b, y, shared_expert(in, d, m, layer, x), "mlp.out") : y;
}
