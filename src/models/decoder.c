/* SPDX-License-Identifier: Apache-2.0 */
#include "models/decoder.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

int64_t config_int(const family_input *in, const char *field, int64_t min, int64_t max, int64_t fallback) {
    int64_t v = fallback;
    bool found;
    nb_error err;
    nb_status status = json_int(in->config, field, min, max, &v, &found, "config.json", &err);
    if (status)
        plan_fail(in->builder, status, "%s", err.text);
    else if (!found && fallback == CONFIG_REQUIRED)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: field \"%s\" is missing", field);
    return v;
}

bool config_bool(const family_input *in, const char *field, bool fallback) {
    bool v = fallback;
    nb_error err;
    nb_status status = json_bool(in->config, field, &v, NULL, "config.json", &err);
    if (status) plan_fail(in->builder, status, "%s", err.text);
    return v;
}

double config_num(const family_input *in, const cJSON *object, const char *field, double min, double max,
                  double fallback) {
    double v = fallback;
    bool found;
    nb_error err;
    nb_status status = json_num(object, field, min, max, &v, &found, "config.json", &err);
    if (status)
        plan_fail(in->builder, status, "%s", err.text);
    else if (!found && fallback < 0)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: field \"%s\" is missing", field);
    return v;
}

int64_t config_vocab_size(const family_input *in, int64_t fallback) {
    const family_input whole = {.config = in->whole, .builder = in->builder};
    return config_int(&whole, "vocab_size", 1, CONFIG_MAX_VOCAB,
                      config_int(in, "vocab_size", 1, CONFIG_MAX_VOCAB, fallback));
}

int64_t config_rotary_dims(const family_input *in, int64_t size, double fallback) {
    const cJSON *nested = json_get(in->config, "rope_parameters");
    double factor = nested ? config_num(in, nested, "partial_rotary_factor", 0, 1, fallback) : fallback;
    factor = config_num(in, in->config, "partial_rotary_factor", 0, 1, factor);
    const int64_t dims = (int64_t)((double)size * factor);
    if (plan_ok(in->builder) && (dims < 2 || dims % 2 != 0))
        plan_fail(in->builder, NB_ERR_FORMAT,
                  "config.json: partial_rotary_factor %g of head_dim %lld are %lld rotated columns, expected an even "
                  "number of them",
                  factor, (long long)size, (long long)dims);
    return dims;
}

/* rope_theta and rope_scaling, or both inside of rope_parameters (newer configs). */
static void read_rope(const family_input *in, decoder *d) {
    const cJSON *nested = json_get(in->config, "rope_parameters");
    double theta = d->rope_theta;
    if (nested) theta = config_num(in, nested, "rope_theta", 1, 1e12, theta);
    d->rope_theta = config_num(in, in->config, "rope_theta", 1, 1e12, theta);
    d->rope_scaling = json_get(in->config, "rope_scaling");
    if (!d->rope_scaling) d->rope_scaling = nested;
}

/* fallback 0: the field must be there. */
static int64_t read_size(const family_input *in, const char *field, int64_t max, int64_t fallback) {
    return config_int(in, field, 1, max, fallback ? fallback : CONFIG_REQUIRED);
}

void decoder_check_heads(const family_input *in, int64_t n_kv_heads, const char *kv_heads_field, int64_t head_dim,
                         const char *head_dim_field) {
    const int64_t n_heads = in->dims->n_heads;
    if (n_heads % n_kv_heads != 0)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: num_attention_heads %lld is no multiple of %s %lld",
                  (long long)n_heads, kv_heads_field, (long long)n_kv_heads);
    if (n_heads * head_dim > CONFIG_MAX_SIZE)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: num_attention_heads %lld x %s %lld is more than %d columns",
                  (long long)n_heads, head_dim_field, (long long)head_dim, CONFIG_MAX_SIZE);
}

bool decoder_read(const family_input *in, decoder *d) {
    model_dims *m = in->dims;
    m->hidden_size = read_size(in, "hidden_size", CONFIG_MAX_SIZE, m->hidden_size);
    m->n_layers = read_size(in, "num_hidden_layers", CONFIG_MAX_LAYERS, m->n_layers);
    m->intermediate_size = read_size(in, "intermediate_size", CONFIG_MAX_SIZE, m->intermediate_size);
    m->n_heads = read_size(in, "num_attention_heads", CONFIG_MAX_HEADS, m->n_heads);
    m->vocab_size = read_size(in, "vocab_size", CONFIG_MAX_VOCAB, m->vocab_size);
    if (!plan_ok(in->builder)) return false;
    m->n_kv_heads =
        config_int(in, "num_key_value_heads", 1, CONFIG_MAX_HEADS, m->n_kv_heads ? m->n_kv_heads : m->n_heads);
    m->head_dim = config_int(in, "head_dim", 1, CONFIG_MAX_HEAD_DIM, m->head_dim);
    m->context_length = config_int(in, "max_position_embeddings", 1, INT32_MAX, m->context_length);
    m->tied = config_bool(in, "tie_word_embeddings", m->tied);
    d->eps = (float)config_num(in, in->config, "rms_norm_eps", 0, 1, d->eps > 0 ? (double)d->eps : -1);
    read_rope(in, d);
    if (m->head_dim == 0) {
        if (m->hidden_size % m->n_heads != 0)
            plan_fail(
                in->builder, NB_ERR_FORMAT,
                "config.json: hidden_size %lld is no multiple of num_attention_heads %lld, and there is no head_dim",
                (long long)m->hidden_size, (long long)m->n_heads);
        m->head_dim = m->hidden_size / m->n_heads;
    }
    decoder_check_heads(in, m->n_kv_heads, "num_key_value_heads", m->head_dim, "head_dim");
    return plan_ok(in->builder);
}

bool decoder_read_windows(const family_input *in, decoder *d, const char *const fallback[2]) {
    plan_builder *b = in->builder;
    const cJSON *types = json_get(in->config, "layer_types");
    if (!types && !fallback) return true;
    const int64_t n = in->dims->n_layers, window = config_int(in, "sliding_window", 1, INT32_MAX, 0);
    if (types && (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != (int)n)) {
        plan_fail(b, NB_ERR_FORMAT, "config.json: layer_types has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(types) ? cJSON_GetArraySize(types) : 0, (long long)n);
        return false;
    }
    int64_t *windows = plan_alloc(b, (size_t)n, sizeof *windows);
    const cJSON *type = types ? types->child : NULL;
    for (int64_t i = 0; windows && i < n; i++, type = type ? type->next : NULL) {
        const char *name = !types ? fallback[i % 2] : cJSON_IsString(type) ? type->valuestring : "?";
        const bool sliding = strcmp(name, "sliding_attention") == 0;
        if (sliding && window == 0)
            plan_fail(b, NB_ERR_FORMAT, "config.json: layer_types has sliding layers, but there is no sliding_window");
        else if (!sliding && strcmp(name, "full_attention") != 0)
            plan_fail(b, NB_ERR_UNSUPPORTED,
                      "config.json: layer_types[%lld] is \"%s\", expected full_attention or sliding_attention",
                      (long long)i, name);
        windows[i] = sliding ? window : 0;
    }
    d->windows = windows;
    return plan_ok(b);
}

static int attention(const family_input *in, const decoder *d, int layer, int x, int table) {
    plan_builder *b = in->builder;
    const model_dims *m = in->dims;
    const int64_t q_cols = m->n_heads * m->head_dim, kv_cols = m->n_kv_heads * m->head_dim;
    int q, k, v, gate = PLAN_NONE;
    if (d->fused) {
        int qkv = plan_linear(b, x, q_cols + 2 * kv_cols, d->qkv_bias, "model.layers.%d.self_attn.qkv_proj", layer);
        q = plan_slice(b, qkv, 1, 0, q_cols, "self_attn.q");
        k = plan_slice(b, qkv, 1, q_cols, kv_cols, "self_attn.k");
        v = plan_slice(b, qkv, 1, q_cols + kv_cols, kv_cols, "self_attn.v");
    } else {
        q = plan_linear(b, x, d->gated ? 2 * q_cols : q_cols, d->qkv_bias, "model.layers.%d.self_attn.q_proj", layer);
        if (d->gated) {
            gate = plan_slice(b, q, m->n_heads, m->head_dim, m->head_dim, "self_attn.gate");
            q = plan_slice(b, q, m->n_heads, 0, m->head_dim, "self_attn.q");
        }
        k = plan_linear(b, x, kv_cols, d->qkv_bias, "model.layers.%d.self_attn.k_proj", layer);
        v = plan_linear(b, x, kv_cols, d->qkv_bias, "model.layers.%d.self_attn.v_proj", layer);
    }
    if (d->qk_norm) {
        q = plan_rmsnorm(b, q, m->n_heads, d->eps, "model.layers.%d.self_attn.q_norm", layer);
        k = plan_rmsnorm(b, k, m->n_kv_heads, d->eps, "model.layers.%d.self_attn.k_norm", layer);
    }
    if (!d->no_rope || !d->no_rope[layer]) {
        q = plan_rope(b, q, table, m->n_heads, d->rope_interleaved, "self_attn.rope_q");
        k = plan_rope(b, k, table, m->n_kv_heads, d->rope_interleaved, "self_attn.rope_k");
    }
    int cache = plan_cache_new(b, m->n_kv_heads, m->head_dim, d->windows ? d->windows[layer] : 0);
    plan_kv_store(b, cache, k, v);
    const float scale = (float)(1 / sqrt((double)m->head_dim));
    int y = d->sinks ? plan_attention_sinks(b, q, cache, scale, m->n_heads, "model.layers.%d.self_attn.sinks", layer)
                     : plan_attention(b, q, cache, scale, 0);
    if (d->gated) y = plan_act_mul(b, ACT_SIGMOID, gate, y, "self_attn.gated");
    return plan_linear(b, y, m->hidden_size, d->o_bias, "model.layers.%d.self_attn.o_proj", layer);
}

int decoder_gated_mlp(const family_input *in, const decoder *d, int layer, int x, int64_t intermediate_size, kact act,
                      const char *module) {
    plan_builder *b = in->builder;
    const int64_t n = intermediate_size;
    int gate, up;
    if (d->fused) {
        int both = plan_linear(b, x, 2 * n, d->mlp_bias, "model.layers.%d.%s.gate_up_proj", layer, module);
        gate = plan_slice(b, both, 1, 0, n, "mlp.gate");
        up = plan_slice(b, both, 1, n, n, "mlp.up");
    } else {
        gate = plan_linear(b, x, n, d->mlp_bias, "model.layers.%d.%s.gate_proj", layer, module);
        up = plan_linear(b, x, n, d->mlp_bias, "model.layers.%d.%s.up_proj", layer, module);
    }
    int y = plan_act_mul(b, act, gate, up, "mlp.act");
    return plan_linear(b, y, in->dims->hidden_size, d->mlp_bias, "model.layers.%d.%s.down_proj", layer, module);
}

static int swiglu(const family_input *in, const decoder *d, int layer, int x) {
    return decoder_gated_mlp(in, d, layer, x, in->dims->intermediate_size, ACT_SILU, "mlp");
}

int decoder_emit(const family_input *in, const decoder *d) {
    plan_builder *b = in->builder;
    const model_dims *m = in->dims;
    rope_params rope;
    const rope_source source = {.dims = d->rope_dims ? d->rope_dims : m->head_dim,
                                .theta = d->rope_theta,
                                .scaling = d->rope_scaling,
                                .context_length = m->context_length,
                                .original_context = d->rope_context};
    if (!rope_init(b, &source, &rope)) return PLAN_NONE;
    int h = plan_embed(b, "model.embed_tokens", m->vocab_size, m->hidden_size, 1.0f);
    int table = plan_rope_table(b, rope.freqs, source.dims / 2, (float)rope.scale);
    int (*mlp)(const family_input *, const decoder *, int, int) = d->mlp ? d->mlp : swiglu;
    for (int layer = 0; layer < m->n_layers && plan_ok(b); layer++) {
        plan_set_layer(b, layer);
        int x = plan_rmsnorm(b, h, 1, d->eps, "model.layers.%d.input_layernorm", layer);
        x = d->is_linear && d->is_linear[layer] ? d->linear(in, d, layer, x) : attention(in, d, layer, x, table);
        h = plan_add(b, h, x, "attn_out");
        x = plan_rmsnorm(b, h, 1, d->eps, "model.layers.%d.post_attention_layernorm", layer);
        h = plan_add(b, h, mlp(in, d, layer, x), "mlp_out");
    }
    plan_set_layer(b, PLAN_NONE);
    h = plan_rmsnorm(b, plan_outputs(b, h), 1, d->eps, "model.norm");
    return m->tied ? plan_tied_head(b, h, "model.embed_tokens") : plan_linear(b, h, m->vocab_size, false, "lm_head");
}
