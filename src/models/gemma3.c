/* SPDX-License-Identifier: Apache-2.0
 *
 * gemma3_text, and gemma3, which wraps it with a vision tower: norms around both halves of a layer and on the heads of
 * q and k, their weights stored as the distance from 1; sliding layers with a rope of their own. And gemma2 before
 * them: one rope, no norms of heads, softcaps of scores and logits (arXiv 2408.00118, section 2). Fields and defaults
 * as mlx-lm's gemma3_text, gemma3 and gemma2 read them; but mlx-lm gives gemma2 no windows, which its models have. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "base/json.h"
#include "models/decoder.h"

typedef struct gemma3 {
    const family_input *in;
    decoder d;
    int64_t window;
    bool *is_full;                 /* [n_layers] */
    bool has_kind[2];              /* sliding layers, full layers */
    int tables[2];                 /* their ropes */
    double scale;                  /* of the attention's scores */
    bool is_2;                     /* gemma2 */
    bool interleaved;              /* rope */
    double softcap, final_softcap; /* of scores, of logits; 0: none */
} gemma3;

/* Every sliding_window_pattern-th layer is full; mlx-lm looks at nothing else. layer_types must say the same, or
 * decides where there is no sliding_window_pattern. */
static void read_layers(gemma3 *g) {
    plan_builder *b = g->in->builder;
    const cJSON *types = json_get(g->in->config, "layer_types");
    const int64_t n = g->in->dims->n_layers, usual = g->is_2 ? 2 : 6;
    const int64_t pattern = config_int(g->in, "sliding_window_pattern", 1, INT32_MAX, usual);
    const bool by_pattern = !types || json_get(g->in->config, "sliding_window_pattern");
    if (types && (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != (int)n)) {
        plan_fail(b, NB_ERR_FORMAT, "config.json: layer_types has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(types) ? cJSON_GetArraySize(types) : 0, (long long)n);
        return;
    }
    g->is_full = plan_alloc(b, (size_t)n, sizeof *g->is_full);
    const cJSON *type = types ? types->child : NULL;
    for (int i = 0; g->is_full && i < n; i++, type = type ? type->next : NULL) {
        const char *names[2] = {"sliding_attention", "full_attention"};
        const char *expected = names[(i + 1) % pattern == 0];
        const char *name = !types ? expected : cJSON_IsString(type) ? type->valuestring : "?";
        g->is_full[i] = strcmp(name, names[1]) == 0;
        if (!g->is_full[i] && strcmp(name, names[0]) != 0)
            plan_fail(b, NB_ERR_UNSUPPORTED,
                      "config.json: layer_types[%d] is \"%s\", expected full_attention or sliding_attention", i, name);
        if (by_pattern && strcmp(name, expected) != 0)
            plan_fail(b, NB_ERR_FORMAT,
                      "config.json: layer_types[%d] is \"%s\", but with sliding_window_pattern %lld it is %s", i, name,
                      (long long)pattern, expected);
        g->has_kind[g->is_full[i]] = true;
    }
}

/* null is none, as in the configs of Hugging Face. */
static double read_softcap(const gemma3 *g, const char *field, double fallback) {
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(g->in->config, field))) return 0;
    return config_num(g->in, g->in->config, field, 1e-6, 1e6, fallback);
}

static void read_sizes_2(gemma3 *g) {
    const family_input *in = g->in;
    model_dims *m = in->dims;
    m->hidden_size = config_int(in, "hidden_size", 1, CONFIG_MAX_SIZE, CONFIG_REQUIRED);
    m->n_layers = config_int(in, "num_hidden_layers", 1, CONFIG_MAX_LAYERS, CONFIG_REQUIRED);
    m->intermediate_size = config_int(in, "intermediate_size", 1, CONFIG_MAX_SIZE, CONFIG_REQUIRED);
    m->n_heads = config_int(in, "num_attention_heads", 1, CONFIG_MAX_HEADS, CONFIG_REQUIRED);
    m->n_kv_heads = config_int(in, "num_key_value_heads", 1, CONFIG_MAX_HEADS, CONFIG_REQUIRED);
    m->head_dim = config_int(in, "head_dim", 1, CONFIG_MAX_HEAD_DIM, CONFIG_REQUIRED);
    m->vocab_size = config_int(in, "vocab_size", 1, CONFIG_MAX_VOCAB, CONFIG_REQUIRED);
    m->context_length = config_int(in, "max_position_embeddings", 1, INT32_MAX, 8192);
    m->tied = true;
    g->d.eps = (float)config_num(in, in->config, "rms_norm_eps", 0, 1, CONFIG_REQUIRED);
    g->window = config_int(in, "sliding_window", 1, INT32_MAX, 4096);
    g->scale = 1 / sqrt(config_num(in, in->config, "query_pre_attn_scalar", 1e-6, 1e6, 144));
    g->softcap = read_softcap(g, "attn_logit_softcapping", 50);
    g->final_softcap = read_softcap(g, "final_logit_softcapping", 30);
    g->interleaved = config_bool(in, "rope_traditional", false);
}

static void read_sizes(gemma3 *g) {
    const family_input *in = g->in;
    model_dims *m = in->dims;
    const bool wrapped = in->whole != in->config;
    m->hidden_size = config_int(in, "hidden_size", 1, CONFIG_MAX_SIZE, 1152);
    m->n_layers = config_int(in, "num_hidden_layers", 1, CONFIG_MAX_LAYERS, 26);
    m->intermediate_size = config_int(in, "intermediate_size", 1, CONFIG_MAX_SIZE, 6912);
    m->n_heads = config_int(in, "num_attention_heads", 1, CONFIG_MAX_HEADS, wrapped ? 8 : 4);
    m->n_kv_heads = config_int(in, "num_key_value_heads", 1, CONFIG_MAX_HEADS, wrapped ? 4 : 1);
    m->head_dim = config_int(in, "head_dim", 1, CONFIG_MAX_HEAD_DIM, 256);
    m->vocab_size = config_vocab_size(in, wrapped ? 262208 : 262144);
    m->context_length = config_int(in, "max_position_embeddings", 1, INT32_MAX, 32768);
    /* A head of its own counts if it is there, whatever the config says. */
    m->tied = !plan_has(in->builder, !config_bool(in, "tie_word_embeddings", true), "lm_head.weight");
    g->d.eps = (float)config_num(in, in->config, "rms_norm_eps", 0, 1, 1e-6);
    g->window = config_int(in, "sliding_window", 1, INT32_MAX, 512);
    g->scale = 1 / sqrt(config_num(in, in->config, "query_pre_attn_scalar", 1e-6, 1e6, 256));
}

static bool read_config(gemma3 *g) {
    const family_input *in = g->in;
    const model_dims *m = in->dims;
    if (g->is_2)
        read_sizes_2(g);
    else
        read_sizes(g);
    if (!plan_ok(in->builder)) return false;
    decoder_check_heads(in, m->n_kv_heads, "num_key_value_heads", m->head_dim, "head_dim");
    read_layers(g);
    return plan_ok(in->builder);
}

/* gemma2 has rope_theta for all. rope_theta and rope_scaling are for the full layers, rope_local_base_freq for the
 * sliding ones; newer configs have an object for each kind in rope_parameters instead. */
static int rope_table(const gemma3 *g, bool full) {
    const family_input *in = g->in;
    const cJSON *own = json_get(in->config, "rope_parameters");
    if (!g->is_2) own = json_get(own, full ? "full_attention" : "sliding_attention");
    double theta = config_num(in, own, "rope_theta", 1, 1e12, full && !g->is_2 ? 1e6 : 1e4);
    theta = config_num(in, in->config, full || g->is_2 ? "rope_theta" : "rope_local_base_freq", 1, 1e12, theta);
    const cJSON *scaling = full && !g->is_2 ? json_get(in->config, "rope_scaling") : NULL;
    const rope_source source = {.dims = in->dims->head_dim,
                                .theta = theta,
                                .scaling = scaling ? scaling : own,
                                .context_length = in->dims->context_length};
    rope_params rope;
    if (!rope_init(in->builder, &source, &rope)) return PLAN_NONE;
    return plan_rope_table(in->builder, rope.freqs, source.dims / 2, (float)rope.scale);
}

static int attention(const gemma3 *g, int layer, int x) {
    plan_builder *b = g->in->builder;
    const model_dims *m = g->in->dims;
    const bool full = g->is_full[layer];
    const int table = g->tables[full];
    int q = plan_linear(b, x, m->n_heads * m->head_dim, false, "model.layers.%d.self_attn.q_proj", layer);
    int k = plan_linear(b, x, m->n_kv_heads * m->head_dim, false, "model.layers.%d.self_attn.k_proj", layer);
    int v = plan_linear(b, x, m->n_kv_heads * m->head_dim, false, "model.layers.%d.self_attn.v_proj", layer);
    if (!g->is_2) {
        q = plan_rmsnorm_1p(b, q, m->n_heads, g->d.eps, "model.layers.%d.self_attn.q_norm", layer);
        k = plan_rmsnorm_1p(b, k, m->n_kv_heads, g->d.eps, "model.layers.%d.self_attn.k_norm", layer);
    }
    q = plan_rope(b, q, table, m->n_heads, g->interleaved, "self_attn.rope_q");
    k = plan_rope(b, k, table, m->n_kv_heads, g->interleaved, "self_attn.rope_k");
    int cache = plan_cache_new(b, m->n_kv_heads, m->head_dim, full ? 0 : g->window);
    plan_kv_store(b, cache, k, v);
    int y = plan_attention(b, q, cache, (float)g->scale, (float)g->softcap);
    return plan_linear(b, y, m->hidden_size, false, "model.layers.%d.self_attn.o_proj", layer);
}

static int emit_layer(const gemma3 *g, int layer, int h) {
    plan_builder *b = g->in->builder;
    const float eps = g->d.eps;
    plan_set_layer(b, layer);
    int x = plan_rmsnorm_1p(b, h, 1, eps, "model.layers.%d.input_layernorm", layer);
    x = attention(g, layer, x);
    x = plan_rmsnorm_1p(b, x, 1, eps, "model.layers.%d.post_attention_layernorm", layer);
    h = plan_add(b, h, x, "attn_out");
    x = plan_rmsnorm_1p(b, h, 1, eps, "model.layers.%d.pre_feedforward_layernorm", layer);
    x = decoder_gated_mlp(g->in, &g->d, layer, x, g->in->dims->intermediate_size, ACT_GELU, "mlp");
    x = plan_rmsnorm_1p(b, x, 1, eps, "model.layers.%d.post_feedforward_layernorm", layer);
    return plan_add(b, h, x, "mlp_out");
}

static int build(const family_input *in, bool is_2) {
    gemma3 g = {.in = in, .is_2 = is_2};
    plan_builder *b = in->builder;
    const model_dims *m = in->dims;
    if (!read_config(&g)) return PLAN_NONE;
    /* The models were trained with this factor in bf16. */
    const float scale = bf16_to_f32(f32_to_bf16((float)sqrt((double)m->hidden_size)));
    int h = plan_embed(b, "model.embed_tokens", m->vocab_size, m->hidden_size, scale);
    for (int full = 0; full < 2; full++)
        if (g.has_kind[full]) g.tables[full] = is_2 && full && g.has_kind[0] ? g.tables[0] : rope_table(&g, full);
    for (int layer = 0; layer < m->n_layers && plan_ok(b); layer++) h = emit_layer(&g, layer, h);
    plan_set_layer(b, PLAN_NONE);
    h = plan_rmsnorm_1p(b, plan_outputs(b, h), 1, g.d.eps, "model.norm");
    h = m->tied ? plan_tied_head(b, h, "model.embed_tokens") : plan_linear(b, h, m->vocab_size, false, "lm_head");
    return g.final_softcap > 0 ? plan_softcap(b, h, g.final_softcap, "softcap") : h;
}

static int build_gemma2(const family_input *in) {
    return build(in, true);
}
static int build_gemma3(const family_input *in) {
    return build(in, false);
}

const family family_gemma2 = {{"gemma2"}, build_gemma2};
const family family_gemma3 = {{"gemma3_text", "gemma3"}, build_gemma3};
