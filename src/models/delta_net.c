/* SPDX-License-Identifier: Apache-2.0 */
#include "models/delta_net.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

/* Far above every model there is. A state is n_values * value_dim * key_dim floats of each sequence. */
enum { MAX_HEADS = 4096, MAX_HEAD_DIM = 1024, MAX_KERNEL = 64, MAX_STATE = 1 << 24 };
static const double L2_EPS = 1e-6; /* of q and k, whatever rms_norm_eps is */

static int64_t read_size(const family_input *in, const char *field, int64_t min, int64_t max, int64_t fallback) {
    return config_int(in, field, min, max, fallback ? fallback : CONFIG_REQUIRED);
}

/* Every full_attention_interval-th layer has attention; layer_types, if there, must say the same. */
static void read_layers(const family_input *in, decoder *d) {
    plan_builder *b = in->builder;
    const int64_t n = in->dims->n_layers;
    const cJSON *types = json_get(in->config, "layer_types"), *given = json_get(in->config, "full_attention_interval");
    const int64_t interval = config_int(in, "full_attention_interval", 1, INT32_MAX, 4);
    if (types && (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != (int)n)) {
        plan_fail(b, NB_ERR_FORMAT, "config.json: layer_types has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(types) ? cJSON_GetArraySize(types) : 0, (long long)n);
        return;
    }
    bool *is_linear = plan_alloc(b, (size_t)n, sizeof *is_linear);
    if (!is_linear) return;
    const cJSON *type = types ? types->child : NULL;
    for (int64_t i = 0; i < n; i++, type = type ? type->next : NULL) {
        is_linear[i] = (i + 1) % interval != 0;
        if (!type) continue;
        const char *name = cJSON_IsString(type) ? type->valuestring : "?";
        const bool linear = strcmp(name, "linear_attention") == 0;
        if (!linear && strcmp(name, "full_attention") != 0)
            plan_fail(b, NB_ERR_UNSUPPORTED,
                      "config.json: layer_types[%lld] is \"%s\", expected full_attention or linear_attention",
                      (long long)i, name);
        else if (given && linear != is_linear[i])
            plan_fail(b, NB_ERR_FORMAT,
                      "config.json: layer_types[%lld] is \"%s\", but full_attention_interval %lld makes it the other",
                      (long long)i, name, (long long)interval);
        is_linear[i] = linear;
    }
    d->is_linear = is_linear;
}

bool delta_net_read(const family_input *in, delta_net *n, decoder *d) {
    plan_builder *b = in->builder;
    n->n_values = read_size(in, "linear_num_value_heads", 1, MAX_HEADS, n->n_values);
    n->n_keys = read_size(in, "linear_num_key_heads", 1, MAX_HEADS, n->n_keys);
    n->key_dim = read_size(in, "linear_key_head_dim", 1, MAX_HEAD_DIM, n->key_dim);
    n->value_dim = read_size(in, "linear_value_head_dim", 1, MAX_HEAD_DIM, n->value_dim);
    n->kernel = read_size(in, "linear_conv_kernel_dim", 2, MAX_KERNEL, n->kernel);
    if (!plan_ok(b)) return false;
    if (n->n_values % n->n_keys != 0)
        plan_fail(b, NB_ERR_FORMAT,
                  "config.json: linear_num_value_heads %lld is no multiple of linear_num_key_heads %lld",
                  (long long)n->n_values, (long long)n->n_keys);
    if (n->n_values * n->value_dim * n->key_dim > MAX_STATE)
        plan_fail(b, NB_ERR_FORMAT,
                  "config.json: linear_num_value_heads %lld x linear_value_head_dim %lld x linear_key_head_dim %lld "
                  "make a state of more than %d numbers a layer",
                  (long long)n->n_values, (long long)n->value_dim, (long long)n->key_dim, MAX_STATE);
    read_layers(in, d);
    return plan_ok(b);
}

/* What goes into the convolution [q | k | v], the output's gate, and what the state's gates are made of. */
typedef struct projections {
    int qkv, z, b, a;
} projections;

static projections separate(const family_input *in, const delta_net *n, int layer, int x) {
    plan_builder *b = in->builder;
    const int64_t values = n->n_values * n->value_dim, qkv = 2 * n->n_keys * n->key_dim + values;
    projections p;
    p.qkv = plan_linear(b, x, qkv, false, "model.layers.%d.linear_attn.in_proj_qkv", layer);
    p.z = plan_linear(b, x, values, false, "model.layers.%d.linear_attn.in_proj_z", layer);
    p.b = plan_linear(b, x, n->n_values, false, "model.layers.%d.linear_attn.in_proj_b", layer);
    p.a = plan_linear(b, x, n->n_values, false, "model.layers.%d.linear_attn.in_proj_a", layer);
    return p;
}

/* Rows of in_proj_qkvz are, for each key head, [q | k | v of its value heads | z of its value heads]. */
static int gather_qkv(plan_builder *b, const delta_net *n, int qkvz) {
    const int64_t d = n->key_dim, keys = n->n_keys * d, values = n->n_values * n->value_dim;
    const int64_t own = values / n->n_keys, part = 2 * d + 2 * own;
    int32_t *columns = plan_ok(b) ? plan_alloc(b, (size_t)(2 * keys + values), sizeof *columns) : NULL;
    if (!columns) return PLAN_NONE;
    for (int64_t i = 0; i < keys; i++) {
        columns[i] = (int32_t)(i / d * part + i % d);
        columns[keys + i] = (int32_t)(i / d * part + d + i % d);
    }
    for (int64_t i = 0; i < values; i++) columns[2 * keys + i] = (int32_t)(i / own * part + 2 * d + i % own);
    return plan_select_cols(b, qkvz, columns, 2 * keys + values, "linear_attn.qkv");
}

static projections fused(const family_input *in, const delta_net *n, int layer, int x) {
    plan_builder *b = in->builder;
    const int64_t values = n->n_values * n->value_dim, own = values / n->n_keys, heads = n->n_values / n->n_keys;
    int qkvz = plan_linear(b, x, 2 * n->n_keys * n->key_dim + 2 * values, false,
                           "model.layers.%d.linear_attn.in_proj_qkvz", layer);
    int ba = plan_linear(b, x, 2 * n->n_values, false, "model.layers.%d.linear_attn.in_proj_ba", layer);
    projections p;
    p.qkv = gather_qkv(b, n, qkvz);
    p.z = plan_slice(b, qkvz, n->n_keys, 2 * n->key_dim + own, own, "linear_attn.z");
    p.b = plan_slice(b, ba, n->n_keys, 0, heads, "linear_attn.b");
    p.a = plan_slice(b, ba, n->n_keys, heads, heads, "linear_attn.a");
    return p;
}

int delta_net_emit(const family_input *in, const decoder *d, const delta_net *n, int layer, int x) {
    plan_builder *b = in->builder;
    const projections p = n->fused ? fused(in, n, layer, x) : separate(in, n, layer, x);
    char a_log[64], dt_bias[64];
    snprintf(a_log, sizeof a_log, "model.layers.%d.linear_attn.A_log", layer);
    snprintf(dt_bias, sizeof dt_bias, "model.layers.%d.linear_attn.dt_bias", layer);
    int qkv = plan_conv1d(b, p.qkv, n->kernel, ACT_SILU, "model.layers.%d.linear_attn.conv1d", layer);
    int gates = plan_delta_gates(b, p.a, p.b, a_log, dt_bias);
    int y = plan_delta(b, qkv, gates, n->n_keys, n->key_dim, n->n_values, n->value_dim, (float)L2_EPS);
    y = plan_rmsnorm(b, y, n->n_values, d->eps, "model.layers.%d.linear_attn.norm", layer);
    y = plan_act_mul(b, ACT_SILU, p.z, y, "linear_attn.gated");
    return plan_linear(b, y, in->dims->hidden_size, false, "model.layers.%d.linear_attn.out_proj", layer);
}
