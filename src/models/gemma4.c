/* SPDX-License-Identifier: Apache-2.0
 *
 * gemma4_text, and gemma4 and gemma4_unified, which wrap it: sliding and full layers with heads, KV heads and rope of
 * their own; keys that serve as values; last layers that attend to keys of earlier ones; experts beside the dense MLP;
 * and inputs of each layer's own, which come from the tokens again. Fields and defaults as mlx-lm's gemma4_text and
 * gemma4 read them. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "models/decoder.h"

/* So many columns of per-layer inputs: a hundred times what the largest model has. */
enum { MAX_PER_LAYER_COLUMNS = 1 << 22 };

/* What the layers of one kind have in common. */
typedef struct layer_kind {
    const char *name; /* in layer_types and rope_parameters */
    const char *head_dim_field, *kv_heads_field;
    int64_t head_dim, n_kv_heads;
    int64_t window; /* 0: all */
    bool k_eq_v;
    int n_layers, n_own; /* of this kind; those of them with keys of their own */
    int table;           /* value of the rope table */
    int cache;           /* of the last layer with keys of its own, while steps are emitted */
} layer_kind;

typedef struct gemma4 {
    const family_input *in;
    decoder d; /* for decoder_gated_mlp */
    layer_kind sliding, full;
    layer_kind **layers;                      /* [n_layers] */
    int64_t n_own;                            /* layers below it have keys and values of their own */
    bool double_wide;                         /* the MLP of those above is twice as wide */
    int64_t n_experts, n_chosen, expert_size; /* 0: no experts */
    int64_t per_layer_size;                   /* columns of a layer's own input; 0: none */
    int per_layer_inputs;                     /* value [tokens, n_layers * per_layer_size] */
    double softcap;                           /* 0: none */
} gemma4;

/* ---- config.json ----------------------------------------------------------------------------------------------- */

/* null, which for some fields means something else than their absence. */
static bool is_null(const family_input *in, const char *field) {
    return cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(in->config, field));
}

static void read_sizes(gemma4 *g) {
    const family_input *in = g->in;
    model_dims *m = in->dims;
    m->hidden_size = config_int(in, "hidden_size", 1, CONFIG_MAX_SIZE, 1536);
    m->n_layers = config_int(in, "num_hidden_layers", 1, CONFIG_MAX_LAYERS, 35);
    m->intermediate_size = config_int(in, "intermediate_size", 1, CONFIG_MAX_SIZE, 6144);
    m->n_heads = config_int(in, "num_attention_heads", 1, CONFIG_MAX_HEADS, 8);
    m->n_kv_heads = config_int(in, "num_key_value_heads", 1, CONFIG_MAX_HEADS, 1);
    m->head_dim = config_int(in, "head_dim", 1, CONFIG_MAX_HEAD_DIM, 256);
    m->vocab_size = config_vocab_size(in, 262144);
    m->context_length = config_int(in, "max_position_embeddings", 1, INT32_MAX, 131072);
    m->tied = config_bool(in, "tie_word_embeddings", true);
    g->d.eps = (float)config_num(in, in->config, "rms_norm_eps", 0, 1, 1e-6);
    g->d.rope_interleaved = config_bool(in, "rope_traditional", false);
    g->double_wide = config_bool(in, "use_double_wide_mlp", true);
    if (!is_null(in, "final_logit_softcapping"))
        g->softcap = config_num(in, in->config, "final_logit_softcapping", 1e-6, 1e6, 30);
}

static void read_kinds(gemma4 *g) {
    const family_input *in = g->in;
    const model_dims *m = in->dims;
    const bool k_eq_v = config_bool(in, "attention_k_eq_v", false);
    g->sliding = (layer_kind){.name = "sliding_attention",
                              .head_dim_field = "head_dim",
                              .kv_heads_field = "num_key_value_heads",
                              .head_dim = m->head_dim,
                              .n_kv_heads = m->n_kv_heads,
                              .window = config_int(in, "sliding_window", 1, INT32_MAX, 512)};
    g->full = g->sliding;
    g->full.name = "full_attention";
    g->full.window = 0;
    g->full.k_eq_v = k_eq_v;
    const int64_t head_dim = config_int(in, "global_head_dim", 0, CONFIG_MAX_HEAD_DIM, 512);
    if (head_dim > 0 && !is_null(in, "global_head_dim")) {
        g->full.head_dim_field = "global_head_dim";
        g->full.head_dim = head_dim;
    }
    const int64_t n_kv_heads = config_int(in, "num_global_key_value_heads", 1, CONFIG_MAX_HEADS, 0);
    if (n_kv_heads > 0 && k_eq_v) { /* without it mlx-lm does not look at the field */
        g->full.kv_heads_field = "num_global_key_value_heads";
        g->full.n_kv_heads = n_kv_heads;
    }
}

/* Which kind each layer is: layer_types, or sliding ones with a full one as each sliding_window_pattern-th. */
static void read_layers(gemma4 *g) {
    plan_builder *b = g->in->builder;
    const int64_t n = g->in->dims->n_layers;
    const int64_t pattern = config_int(g->in, "sliding_window_pattern", 1, INT32_MAX, 5);
    const int64_t n_shared = config_int(g->in, "num_kv_shared_layers", 0, INT32_MAX, 20);
    const cJSON *types = json_get(g->in->config, "layer_types");
    if (types && (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != (int)n))
        plan_fail(b, NB_ERR_FORMAT, "config.json: layer_types has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(types) ? cJSON_GetArraySize(types) : 0, (long long)n);
    if (n_shared >= n)
        plan_fail(b, NB_ERR_FORMAT,
                  "config.json: num_kv_shared_layers is %lld, expected fewer than num_hidden_layers = %lld",
                  (long long)n_shared, (long long)n);
    if (!plan_ok(b)) return;
    g->n_own = n - n_shared;
    g->layers = plan_alloc(b, (size_t)n, sizeof *g->layers);
    const cJSON *type = types ? types->child : NULL;
    for (int i = 0; g->layers && i < n; i++, type = type ? type->next : NULL) {
        const char *by_pattern = (i + 1) % pattern == 0 ? g->full.name : g->sliding.name;
        const char *name = !types ? by_pattern : cJSON_IsString(type) ? type->valuestring : "?";
        layer_kind *kind = strcmp(name, g->full.name) == 0 ? &g->full : &g->sliding;
        if (strcmp(name, kind->name) != 0)
            plan_fail(b, NB_ERR_UNSUPPORTED,
                      "config.json: layer_types[%d] is \"%s\", expected full_attention or sliding_attention", i, name);
        g->layers[i] = kind;
        kind->n_layers++;
        if (i < g->n_own) kind->n_own++;
    }
}

static void check_kind(const gemma4 *g, const layer_kind *kind) {
    plan_builder *b = g->in->builder;
    const model_dims *m = g->in->dims;
    if (kind->n_layers == 0) return;
    if (kind->n_own == 0)
        plan_fail(b, NB_ERR_FORMAT,
                  "config.json: num_kv_shared_layers leaves %lld of %lld layers with keys of their own, none of them "
                  "%s for the others to share",
                  (long long)g->n_own, (long long)m->n_layers, kind->name);
    decoder_check_heads(g->in, kind->n_kv_heads, kind->kv_heads_field, kind->head_dim, kind->head_dim_field);
    if (kind->head_dim % 2 != 0)
        plan_fail(b, NB_ERR_FORMAT, "config.json: %s is %lld, expected an even number for rope", kind->head_dim_field,
                  (long long)kind->head_dim);
}

static void read_experts(gemma4 *g) {
    const family_input *in = g->in;
    if (!config_bool(in, "enable_moe_block", false) || !plan_ok(in->builder)) return;
    g->n_experts = config_int(in, "num_experts", 1, CONFIG_MAX_EXPERTS, CONFIG_REQUIRED);
    g->n_chosen = config_int(in, "top_k_experts", 1, CONFIG_MAX_EXPERTS, CONFIG_REQUIRED);
    g->expert_size = config_int(in, "moe_intermediate_size", 1, CONFIG_MAX_SIZE, CONFIG_REQUIRED);
    if (plan_ok(in->builder) && g->n_chosen > g->n_experts)
        plan_fail(in->builder, NB_ERR_FORMAT, "config.json: top_k_experts is %lld of num_experts %lld",
                  (long long)g->n_chosen, (long long)g->n_experts);
}

/* Returns the rows of the table of per-layer inputs. */
static int64_t read_per_layer(gemma4 *g) {
    const family_input *in = g->in;
    const int64_t n_layers = in->dims->n_layers, vocab_size = in->dims->vocab_size;
    const int64_t rows = config_int(in, "vocab_size_per_layer_input", 1, CONFIG_MAX_VOCAB, 262144);
    g->per_layer_size = is_null(in, "hidden_size_per_layer_input")
                            ? 0
                            : config_int(in, "hidden_size_per_layer_input", 0, CONFIG_MAX_SIZE, 256);
    if (!plan_ok(in->builder) || g->per_layer_size == 0) return 0;
    if (rows < vocab_size)
        plan_fail(in->builder, NB_ERR_FORMAT,
                  "config.json: vocab_size_per_layer_input is %lld, expected at least vocab_size = %lld",
                  (long long)rows, (long long)vocab_size);
    if (g->per_layer_size > MAX_PER_LAYER_COLUMNS / n_layers)
        plan_fail(in->builder, NB_ERR_FORMAT,
                  "config.json: hidden_size_per_layer_input is %lld, expected at most %lld in each of "
                  "num_hidden_layers = %lld",
                  (long long)g->per_layer_size, (long long)(MAX_PER_LAYER_COLUMNS / n_layers), (long long)n_layers);
    return rows;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------- */

/* Only proportional rope looks at partial_rotary_factor in mlx-lm: elsewhere it would be passed over in silence. */
static void check_partial(const gemma4 *g, const layer_kind *kind, const cJSON *own) {
    const cJSON *type = json_get(own, "type");
    if (!type) type = json_get(own, "rope_type");
    const char *name = cJSON_IsString(type) ? type->valuestring : "default";
    const double part = config_num(g->in, own, "partial_rotary_factor", 0, 1, 1);
    if (strcmp(name, "proportional") != 0 && part < 1)
        plan_fail(g->in->builder, NB_ERR_UNSUPPORTED,
                  "config.json: rope_parameters of %s: partial_rotary_factor is %g with rope_type \"%s\", expected "
                  "\"proportional\"",
                  kind->name, part, name);
}

/* The angles of one kind of layer, from its object in rope_parameters. */
static void rope_table(const gemma4 *g, layer_kind *kind) {
    plan_builder *b = g->in->builder;
    const cJSON *all = json_get(g->in->config, "rope_parameters");
    const cJSON *own = json_get(all, kind->name);
    if (kind->n_layers == 0 || !plan_ok(b)) return;
    const bool by_default = !all && kind == &g->full; /* then theta is 1e6, and a quarter of a head turns */
    const double theta = config_num(g->in, own, "rope_theta", 1, 1e12, by_default ? 1e6 : 1e4);
    check_partial(g, kind, own);
    rope_params rope;
    const rope_source source = {.dims = kind->head_dim,
                                .theta = theta,
                                .scaling = own,
                                .context_length = g->in->dims->context_length,
                                .proportional = by_default ? 0.25 : 0};
    if (rope_init(b, &source, &rope))
        kind->table = plan_rope_table(b, rope.freqs, kind->head_dim / 2, (float)rope.scale);
}

static int attention(const gemma4 *g, int layer, int x) {
    plan_builder *b = g->in->builder;
    const model_dims *m = g->in->dims;
    layer_kind *kind = g->layers[layer];
    const int64_t kv_cols = kind->n_kv_heads * kind->head_dim;
    const float eps = g->d.eps;
    int q = plan_linear(b, x, m->n_heads * kind->head_dim, false, "model.layers.%d.self_attn.q_proj", layer);
    q = plan_rmsnorm(b, q, m->n_heads, eps, "model.layers.%d.self_attn.q_norm", layer);
    q = plan_rope(b, q, kind->table, m->n_heads, g->d.rope_interleaved, "self_attn.rope_q");
    if (layer < g->n_own) {
        int k = plan_linear(b, x, kv_cols, false, "model.layers.%d.self_attn.k_proj", layer), v = k;
        if (!kind->k_eq_v) v = plan_linear(b, x, kv_cols, false, "model.layers.%d.self_attn.v_proj", layer);
        v = plan_rmsnorm_plain(b, v, kind->n_kv_heads, eps, "self_attn.v_norm");
        k = plan_rmsnorm(b, k, kind->n_kv_heads, eps, "model.layers.%d.self_attn.k_norm", layer);
        k = plan_rope(b, k, kind->table, kind->n_kv_heads, g->d.rope_interleaved, "self_attn.rope_k");
        kind->cache = plan_cache_new(b, kind->n_kv_heads, kind->head_dim, kind->window);
        plan_kv_store(b, kind->cache, k, v);
    }
    int y = plan_attention(b, q, kind->cache, 1, 0);
    return plan_linear(b, y, m->hidden_size, false, "model.layers.%d.self_attn.o_proj", layer);
}

/* The experts read the residual stream h through a norm of their own, the router through another. */
static int experts(const gemma4 *g, int layer, int h) {
    plan_builder *b = g->in->builder;
    const int64_t n = g->n_experts, hidden_size = g->in->dims->hidden_size;
    int logits = plan_rmsnorm_named(b, h, 1, g->d.eps, "model.layers.%d.router.scale", layer);
    logits = plan_linear(b, logits, n, false, "model.layers.%d.router.proj", layer);
    /* belongs in front of router.proj, but there are more columns */
    logits = plan_scale(b, logits, 1 / sqrt((double)hidden_size), "router.logits");
    int route = plan_route(b, logits, g->n_chosen, true, "model.layers.%d.router.per_expert_scale", layer);
    int x = plan_rmsnorm(b, h, 1, g->d.eps, "model.layers.%d.pre_feedforward_layernorm_2", layer);
    int gate = plan_experts(b, x, route, n, g->expert_size, false, false,
                            "model.layers.%d.experts.switch_glu.gate_proj", layer);
    int up =
        plan_experts(b, x, route, n, g->expert_size, false, false, "model.layers.%d.experts.switch_glu.up_proj", layer);
    x = plan_act_mul(b, ACT_GELU, gate, up, "experts.act");
    x = plan_experts(b, x, route, n, hidden_size, true, false, "model.layers.%d.experts.switch_glu.down_proj", layer);
    return plan_sum_experts(b, x, route, "experts.sum");
}

static int feedforward(const gemma4 *g, int layer, int h) {
    plan_builder *b = g->in->builder;
    const float eps = g->d.eps;
    const int64_t size = g->in->dims->intermediate_size * (g->double_wide && layer >= g->n_own ? 2 : 1);
    int x = plan_rmsnorm(b, h, 1, eps, "model.layers.%d.pre_feedforward_layernorm", layer);
    x = decoder_gated_mlp(g->in, &g->d, layer, x, size, ACT_GELU, "mlp");
    if (g->n_experts) {
        x = plan_rmsnorm(b, x, 1, eps, "model.layers.%d.post_feedforward_layernorm_1", layer);
        int y = plan_rmsnorm(b, experts(g, layer, h), 1, eps, "model.layers.%d.post_feedforward_layernorm_2", layer);
        x = plan_add(b, x, y, "mlp_and_experts");
    }
    return plan_rmsnorm(b, x, 1, eps, "model.layers.%d.post_feedforward_layernorm", layer);
}

/* All layers' own inputs at once: a second embedding, and a projection of the first. */
static int per_layer_inputs(const gemma4 *g, int h, int64_t rows) {
    plan_builder *b = g->in->builder;
    const int64_t n_layers = g->in->dims->n_layers, cols = n_layers * g->per_layer_size;
    int e = plan_embed(b, "model.embed_tokens_per_layer", rows, cols, (float)sqrt((double)g->per_layer_size));
    int p = plan_linear(b, h, cols, false, "model.per_layer_model_projection");
    p = plan_scale(b, p, 1 / sqrt((double)g->in->dims->hidden_size), "per_layer_scaled");
    p = plan_rmsnorm(b, p, n_layers, g->d.eps, "model.per_layer_projection_norm");
    return plan_scale(b, plan_add(b, p, e, "per_layer_sum"), sqrt(0.5), "per_layer_inputs");
}

static int per_layer_gate(const gemma4 *g, int layer, int h) {
    plan_builder *b = g->in->builder;
    const int64_t size = g->per_layer_size;
    int x = plan_slice(b, g->per_layer_inputs, 1, layer * size, size, "per_layer_input");
    int gate = plan_linear(b, h, size, false, "model.layers.%d.per_layer_input_gate", layer);
    x = plan_act_mul(b, ACT_GELU, gate, x, "per_layer_act");
    x = plan_linear(b, x, g->in->dims->hidden_size, false, "model.layers.%d.per_layer_projection", layer);
    return plan_rmsnorm(b, x, 1, g->d.eps, "model.layers.%d.post_per_layer_input_norm", layer);
}

static int emit_layer(const gemma4 *g, int layer, int h) {
    plan_builder *b = g->in->builder;
    plan_set_layer(b, layer);
    int x = plan_rmsnorm(b, h, 1, g->d.eps, "model.layers.%d.input_layernorm", layer);
    x = attention(g, layer, x);
    x = plan_rmsnorm(b, x, 1, g->d.eps, "model.layers.%d.post_attention_layernorm", layer);
    h = plan_add(b, h, x, "attn_out");
    h = plan_add(b, h, feedforward(g, layer, h), "mlp_out");
    if (g->per_layer_size) h = plan_add(b, h, per_layer_gate(g, layer, h), "per_layer_out");
    return plan_scale(b, h, plan_scalar(b, "model.layers.%d.layer_scalar", layer), "layer_scalar");
}

static int build(const family_input *in) {
    gemma4 g = {.in = in};
    plan_builder *b = in->builder;
    const model_dims *m = in->dims;
    read_sizes(&g);
    read_kinds(&g);
    if (plan_ok(b)) read_layers(&g);
    if (!plan_ok(b)) return PLAN_NONE;
    check_kind(&g, &g.sliding);
    check_kind(&g, &g.full);
    read_experts(&g);
    const int64_t per_layer_rows = read_per_layer(&g);
    if (!plan_ok(b)) return PLAN_NONE;

    int h = plan_embed(b, "model.embed_tokens", m->vocab_size, m->hidden_size, (float)sqrt((double)m->hidden_size));
    if (g.per_layer_size) g.per_layer_inputs = per_layer_inputs(&g, h, per_layer_rows);
    rope_table(&g, &g.sliding);
    rope_table(&g, &g.full);
    for (int layer = 0; layer < m->n_layers && plan_ok(b); layer++) h = emit_layer(&g, layer, h);
    plan_set_layer(b, PLAN_NONE);
    h = plan_rmsnorm(b, plan_outputs(b, h), 1, g.d.eps, "model.norm");
    h = m->tied ? plan_tied_head(b, h, "model.embed_tokens") : plan_linear(b, h, m->vocab_size, false, "lm_head");
    return g.softcap > 0 ? plan_softcap(b, h, g.softcap, "softcap") : h;
}

const family family_gemma4 = {{"gemma4", "gemma4_text", "gemma4_unified"}, build};
