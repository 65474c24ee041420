/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "plan/weights.h"

enum { MAX_NAME = 256 };

/* A growable array inside of the builder; moved into the plan's arena at the end. */
typedef struct list {
    void *items;
    int n, cap;
    size_t size;
} list;

struct plan_builder {
    weight_source source;
    arena *memory;
    list steps, values, weights, caches, states, specs;
    int layer;
    nb_status status;
    nb_error error;
};

static void *list_push(plan_builder *b, list *l) {
    if (l->n == l->cap) {
        int cap = l->cap ? l->cap * 2 : 32;
        void *items = realloc(l->items, (size_t)cap * l->size);
        if (!items) {
            plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
            return NULL;
        }
        l->items = items;
        l->cap = cap;
    }
    void *item = (char *)l->items + (size_t)l->n++ * l->size;
    memset(item, 0, l->size);
    return item;
}

nb_status plan_builder_new(const checkpoint *table, quant_config *quantization, plan_builder **out, nb_error *err) {
    *out = NULL;
    plan_builder *b = calloc(1, sizeof *b);
    if (b) b->memory = arena_new(0);
    if (!b || !b->memory) {
        free(b);
        return err_no_memory(err, "the plan", 0);
    }
    b->steps.size = sizeof(plan_step);
    b->values.size = sizeof(plan_value);
    b->weights.size = sizeof(plan_weight);
    b->caches.size = sizeof(plan_cache);
    b->states.size = sizeof(plan_state);
    b->specs.size = sizeof(plan_spec);
    b->layer = PLAN_NONE;
    b->source = (weight_source){table, quantization, b->memory, 0};
    *out = b;
    return NB_OK;
}

/* Copies a list into the plan's memory. */
static void *list_keep(plan_builder *b, list *l) {
    void *kept = arena_zalloc(b->memory, (size_t)l->n + 1, l->size);
    if (!kept)
        plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    else if (l->n)
        memcpy(kept, l->items, (size_t)l->n * l->size);
    return kept;
}

nb_status plan_finish(plan_builder *b, int logits, plan **out, nb_error *err) {
    *out = NULL;
    plan *p = NULL;
    if (!b->status) p = arena_zalloc(b->memory, 1, sizeof *p);
    if (p) {
        *p = (plan){.memory = b->memory,
                    .steps = list_keep(b, &b->steps),
                    .values = list_keep(b, &b->values),
                    .weights = list_keep(b, &b->weights),
                    .caches = list_keep(b, &b->caches),
                    .states = list_keep(b, &b->states),
                    .n_steps = b->steps.n,
                    .n_values = b->values.n,
                    .n_weights = b->weights.n,
                    .n_caches = b->caches.n,
                    .n_states = b->states.n,
                    .logits = logits};
    } else if (!b->status) {
        plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    }
    nb_status status = b->status;
    if (status) {
        if (err) *err = b->error;
        arena_free(b->memory);
    } else {
        *out = p;
    }
    free(b->steps.items);
    free(b->values.items);
    free(b->weights.items);
    free(b->caches.items);
    free(b->states.items);
    free(b->specs.items);
    free(b);
    return status;
}

const plan_spec *plan_specs(const plan_builder *b, size_t *n) {
    *n = (size_t)b->specs.n;
    return b->specs.items;
}

int plan_fail(plan_builder *b, nb_status status, const char *format, ...) {
    if (b->status) return PLAN_NONE;
    char text[sizeof b->error.text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    b->status = err_set(&b->error, status, "%s", text);
    return PLAN_NONE;
}

size_t plan_tensors_used(const plan_builder *b) {
    return b->source.n_used;
}

bool plan_ok(const plan_builder *b) {
    return b->status == NB_OK;
}

void plan_set_layer(plan_builder *b, int layer) {
    b->layer = layer;
}

void *plan_alloc(plan_builder *b, size_t count, size_t size) {
    void *p = arena_zalloc(b->memory, count, size);
    if (!p) plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    return p;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------- */

/* The last parts of a module path, without "model.layers.N.": the layer stands in front anyway. */
static const char *short_name(plan_builder *b, const char *module) {
    const char *name = module;
    if (strncmp(name, "model.", 6) == 0) name += 6;
    if (b->layer != PLAN_NONE && strncmp(name, "layers.", 7) != 0)
        name = arena_printf(b->memory, "layers.%d.%s", b->layer, name);
    else
        name = arena_strdup(b->memory, name);
    if (!name) plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    return name;
}

static int add_value(plan_builder *b, const char *name, plan_rows rows, int64_t cols) {
    plan_value *v = list_push(b, &b->values);
    if (!v) return PLAN_NONE;
    *v = (plan_value){name, rows, cols};
    return b->values.n - 1;
}

static const plan_value *value_at(const plan_builder *b, int v) {
    return (const plan_value *)b->values.items + v;
}

/* Appends a step that makes a value of `cols` columns with as many rows as `like` has (PLAN_NONE: tokens). Returns the
 * step to fill in, NULL after a failure. Values that come from failed calls are PLAN_NONE, hence the check. */
static plan_step *add_step(plan_builder *b, kop op, const char *module, int x, int64_t cols, int like) {
    if (b->status) return NULL;
    const char *name = short_name(b, module);
    if (b->status) return NULL;
    int y = PLAN_NONE;
    if (cols > 0) y = add_value(b, name, like == PLAN_NONE ? PLAN_TOKENS : value_at(b, like)->rows, cols);
    plan_step *s = b->status ? NULL : list_push(b, &b->steps);
    if (!s) return NULL;
    *s = (plan_step){.op = op,
                     .name = name,
                     .layer = b->layer,
                     .x = x,
                     .z = PLAN_NONE,
                     .residual = PLAN_NONE,
                     .y = y,
                     .weight = PLAN_NONE,
                     .n_parts = 1,
                     .cache = PLAN_NONE,
                     .state = PLAN_NONE};
    return s;
}

static void add_spec(plan_builder *b, plan_spec spec) {
    plan_spec *s = list_push(b, &b->specs);
    spec.name = arena_strdup(b->memory, spec.name);
    if (!spec.name)
        plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    else if (s)
        *s = spec;
}

/* Which kind of matrix a module's weight is. */
typedef enum matrix_kind { MATRIX_LINEAR, MATRIX_EXPERTS, MATRIX_CONV } matrix_kind;

/* The number of module's matrix, looked up once however often it is used. */
static int add_weight(plan_builder *b, const char *module, matrix_kind kind, int64_t n_experts, int64_t n, int64_t k) {
    const plan_weight *have = b->weights.items;
    for (int i = 0; i < b->weights.n; i++) {
        if (strcmp(have[i].name, module) != 0) continue;
        if (have[i].w.n == n && have[i].w.k == k && have[i].w.n_experts == n_experts) return i;
        return plan_fail(b, NB_ERR_INTERNAL, "%s is used with two shapes", module);
    }
    add_spec(b, (plan_spec){module, "weight", n, k, n_experts, kind == MATRIX_CONV});
    if (b->status) return PLAN_NONE;
    plan_weight *w = list_push(b, &b->weights);
    if (!w) return PLAN_NONE;
    w->w = (kweight){.mode = W_PLAIN, .type = DT_F32, .n = n, .k = k, .n_experts = n_experts};
    w->is_conv = kind == MATRIX_CONV;
    w->name = arena_strdup(b->memory, module);
    if (!w->name) return plan_fail(b, NB_ERR_NO_MEMORY, "out of memory for the plan");
    if (!b->source.table) return b->weights.n - 1;
    if (kind == MATRIX_EXPERTS)
        b->status = weight_experts(&b->source, module, n_experts, n, k, w, &b->error);
    else if (kind == MATRIX_CONV)
        b->status = weight_conv(&b->source, module, n, k, w, &b->error);
    else
        b->status = weight_matrix(&b->source, module, n, k, w, &b->error);
    return b->status ? PLAN_NONE : b->weights.n - 1;
}

/* suffix "": the vector is called `module` and nothing more. n_experts > 0: one of n for each. */
static kvec add_vector(plan_builder *b, const char *module, const char *suffix, int64_t n_experts, int64_t n) {
    kvec v = {0};
    add_spec(b, (plan_spec){module, suffix, n, 0, n_experts, false});
    if (b->source.table && !b->status)
        b->status = weight_vector(&b->source, module, suffix, n_experts, n, &v, &b->error);
    return v;
}

static void set_vector(plan_builder *b, plan_step *s, const char *module, const char *suffix, int64_t n) {
    s->vec = add_vector(b, module, suffix, 0, n);
    s->vec_len = n;
}

static void set_weight(plan_builder *b, plan_step *s, int w, bool as_table) {
    if (w == PLAN_NONE) return;
    s->weight = w;
    plan_weight *weight = (plan_weight *)b->weights.items + w;
    if (as_table)
        weight->is_table = true;
    else
        weight->is_matrix = true;
}

#define MODULE_NAME(format)                                                                                            \
    char module_name[MAX_NAME];                                                                                        \
    do {                                                                                                               \
        va_list args_;                                                                                                 \
        va_start(args_, format);                                                                                       \
        vsnprintf(module_name, sizeof module_name, format, args_);                                                     \
        va_end(args_);                                                                                                 \
    } while (0)

int plan_embed(plan_builder *b, const char *module, int64_t vocab_size, int64_t hidden_size, float scale) {
    plan_step *s = add_step(b, KOP_EMBED, module, PLAN_NONE, hidden_size, PLAN_NONE);
    if (!s) return PLAN_NONE;
    s->scale = scale;
    set_weight(b, s, add_weight(b, module, MATRIX_LINEAR, 0, vocab_size, hidden_size), true);
    return s->y;
}

static plan_step *add_rmsnorm(plan_builder *b, int x, int64_t n_parts, float eps, const char *module,
                              const char *suffix) {
    if (b->status) return NULL;
    const int64_t cols = value_at(b, x)->cols;
    if (cols % n_parts != 0) {
        plan_fail(b, NB_ERR_INTERNAL, "%s: %lld columns in %lld parts", module, (long long)cols, (long long)n_parts);
        return NULL;
    }
    plan_step *s = add_step(b, KOP_RMSNORM, module, x, cols, x);
    if (!s) return NULL;
    s->n_parts = n_parts;
    s->eps = eps;
    if (suffix) set_vector(b, s, module, suffix, cols / n_parts);
    return s;
}

int plan_rmsnorm(plan_builder *b, int x, int64_t n_parts, float eps, const char *module, ...) {
    MODULE_NAME(module);
    const plan_step *s = add_rmsnorm(b, x, n_parts, eps, module_name, "weight");
    return s ? s->y : PLAN_NONE;
}

int plan_rmsnorm_1p(plan_builder *b, int x, int64_t n_parts, float eps, const char *module, ...) {
    MODULE_NAME(module);
    plan_step *s = add_rmsnorm(b, x, n_parts, eps, module_name, "weight");
    if (!s) return PLAN_NONE;
    s->offset += 1;
    return s->y;
}

int plan_rmsnorm_plain(plan_builder *b, int x, int64_t n_parts, float eps, const char *name) {
    const plan_step *s = add_rmsnorm(b, x, n_parts, eps, name, NULL);
    return s ? s->y : PLAN_NONE;
}

int plan_rmsnorm_named(plan_builder *b, int x, int64_t n_parts, float eps, const char *path, ...) {
    MODULE_NAME(path);
    const plan_step *s = add_rmsnorm(b, x, n_parts, eps, module_name, "");
    return s ? s->y : PLAN_NONE;
}

int plan_linear(plan_builder *b, int x, int64_t n_out, bool has_bias, const char *module, ...) {
    MODULE_NAME(module);
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, KOP_MATMUL, module_name, x, n_out, x);
    if (!s) return PLAN_NONE;
    set_weight(b, s, add_weight(b, module_name, MATRIX_LINEAR, 0, n_out, value_at(b, x)->cols), false);
    if (has_bias) set_vector(b, s, module_name, "bias", n_out);
    return s->y;
}

int plan_tied_head(plan_builder *b, int x, const char *module) {
    if (b->status) return PLAN_NONE;
    const plan_weight *have = b->weights.items;
    for (int i = 0; i < b->weights.n; i++) {
        if (strcmp(have[i].name, module) != 0) continue;
        plan_step *s = add_step(b, KOP_MATMUL, "lm_head", x, have[i].w.n, x);
        if (!s) return PLAN_NONE;
        set_weight(b, s, i, false);
        return s->y;
    }
    return plan_fail(b, NB_ERR_INTERNAL, "a tied head needs %s first", module);
}

static int add_binary(plan_builder *b, kop op, int x, int z, const char *name) {
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, op, name, x, value_at(b, x)->cols, x);
    if (!s) return PLAN_NONE;
    s->z = z;
    return s->y;
}

int plan_add(plan_builder *b, int x, int z, const char *name) {
    return add_binary(b, KOP_ADD, x, z, name);
}

int plan_act_mul(plan_builder *b, kact act, int gate, int up, const char *name) {
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, KOP_ACT_MUL, name, gate, value_at(b, up)->cols, up);
    if (!s) return PLAN_NONE;
    s->z = up;
    s->act = act;
    return s->y;
}

static int add_scaled(plan_builder *b, kop op, int x, double scale, const char *name) {
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, op, name, x, value_at(b, x)->cols, x);
    if (!s) return PLAN_NONE;
    s->scale = (float)scale;
    return s->y;
}

int plan_scale(plan_builder *b, int x, double factor, const char *name) {
    return add_scaled(b, KOP_SCALE, x, factor, name);
}
int plan_softcap(plan_builder *b, int x, double cap, const char *name) {
    return add_scaled(b, KOP_SOFTCAP, x, cap, name);
}

int plan_select_cols(plan_builder *b, int x, const int32_t *columns, int64_t n, const char *name) {
    if (b->status) return PLAN_NONE;
    for (int64_t i = 0; i < n; i++)
        if (columns[i] < 0 || columns[i] >= value_at(b, x)->cols)
            return plan_fail(b, NB_ERR_INTERNAL, "%s: column %d of %lld", name, columns[i],
                             (long long)value_at(b, x)->cols);
    plan_step *s = add_step(b, KOP_SELECT_COLS, name, x, n, x);
    if (!s) return PLAN_NONE;
    s->columns = columns;
    return s->y;
}

int plan_slice(plan_builder *b, int x, int64_t n_parts, int64_t first, int64_t width, const char *name) {
    if (b->status) return PLAN_NONE;
    const int64_t part = value_at(b, x)->cols / n_parts;
    int32_t *columns = plan_alloc(b, (size_t)(n_parts * width), sizeof *columns);
    for (int64_t i = 0; columns && i < n_parts * width; i++)
        columns[i] = (int32_t)(i / width * part + first + i % width);
    return plan_select_cols(b, x, columns, n_parts * width, name);
}

double plan_scalar(plan_builder *b, const char *path, ...) {
    MODULE_NAME(path);
    add_spec(b, (plan_spec){module_name, "", 1, 0, 0, false});
    double value = 1;
    if (b->source.table && !b->status) b->status = weight_scalar(&b->source, module_name, &value, &b->error);
    return value;
}

bool plan_has(const plan_builder *b, bool dry, const char *path, ...) {
    MODULE_NAME(path);
    return b->source.table ? weight_tensor(&b->source, module_name, "") != NULL : dry;
}

int plan_rope_table(plan_builder *b, const double *freqs, int64_t n_freqs, float scale) {
    plan_step *s = add_step(b, KOP_ROPE_TABLE, "rope", PLAN_NONE, 2 * n_freqs, PLAN_NONE);
    if (!s) return PLAN_NONE;
    s->freqs = freqs;
    s->scale = scale;
    return s->y;
}

int plan_rope(plan_builder *b, int x, int table, int64_t n_heads, bool interleaved, const char *name) {
    int y = add_binary(b, KOP_ROPE, x, table, name);
    if (y == PLAN_NONE) return y;
    plan_step *s = (plan_step *)b->steps.items + b->steps.n - 1;
    s->n_parts = n_heads;
    s->interleaved = interleaved;
    return y;
}

int plan_cache_new(plan_builder *b, int64_t n_kv_heads, int64_t head_dim, int64_t window) {
    plan_cache *c = b->status ? NULL : list_push(b, &b->caches);
    if (!c) return PLAN_NONE;
    *c = (plan_cache){n_kv_heads, head_dim, window};
    return b->caches.n - 1;
}

void plan_kv_store(plan_builder *b, int cache, int keys, int values) {
    for (int i = 0; i < 2; i++) {
        plan_step *s = add_step(b, KOP_KV_STORE, i ? "self_attn.store_values" : "self_attn.store_keys",
                                i ? values : keys, 0, PLAN_NONE);
        if (!s) return;
        s->cache = cache;
        s->is_values = i == 1;
    }
}

int plan_attention(plan_builder *b, int q, int cache, float scale, float softcap) {
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, KOP_ATTENTION, "self_attn", q, value_at(b, q)->cols, q);
    if (!s) return PLAN_NONE;
    s->cache = cache;
    s->scale = scale;
    s->softcap = softcap;
    s->window = ((const plan_cache *)b->caches.items)[cache].window;
    return s->y;
}

int plan_attention_sinks(plan_builder *b, int q, int cache, float scale, int64_t n_heads, const char *path, ...) {
    MODULE_NAME(path);
    int y = plan_attention(b, q, cache, scale, 0);
    if (y == PLAN_NONE) return y;
    set_vector(b, (plan_step *)b->steps.items + b->steps.n - 1, module_name, "", n_heads);
    return y;
}

/* ---- Mixture of experts ---------------------------------------------------------------------------------------- */

int plan_route(plan_builder *b, int logits, int64_t n_chosen, bool normalize, const char *per_expert_scale, ...) {
    char path[MAX_NAME] = "";
    if (per_expert_scale) {
        va_list args;
        va_start(args, per_expert_scale);
        vsnprintf(path, sizeof path, per_expert_scale, args);
        va_end(args);
    }
    if (b->status) return PLAN_NONE;
    const int64_t n_experts = value_at(b, logits)->cols;
    if (n_chosen < 1 || n_chosen > n_experts)
        return plan_fail(b, NB_ERR_FORMAT, "config.json: %lld experts a token of %lld experts", (long long)n_chosen,
                         (long long)n_experts);
    plan_step *s = add_step(b, KOP_ROUTE, "mlp.route", logits, 2 * n_chosen, logits);
    if (!s) return PLAN_NONE;
    s->n_chosen = n_chosen;
    s->normalize = normalize;
    if (*path) set_vector(b, s, path, "", n_experts);
    return s->y;
}

int plan_experts(plan_builder *b, int x, int route, int64_t n_experts, int64_t n_out, bool own_rows, bool has_bias,
                 const char *module, ...) {
    MODULE_NAME(module);
    if (b->status) return PLAN_NONE;
    const int64_t n_chosen = value_at(b, route)->cols / 2;
    const int64_t k = value_at(b, x)->cols / (own_rows ? n_chosen : 1);
    plan_step *s = add_step(b, KOP_MATMUL_EXPERTS, module_name, x, n_chosen * n_out, x);
    if (!s) return PLAN_NONE;
    s->z = route;
    s->n_chosen = n_chosen;
    set_weight(b, s, add_weight(b, module_name, MATRIX_EXPERTS, n_experts, n_out, k), false);
    if (has_bias) s->vec = add_vector(b, module_name, "bias", n_experts, n_out);
    s->vec_len = has_bias ? n_experts * n_out : 0;
    return s->y;
}

int plan_sum_experts(plan_builder *b, int x, int route, const char *name) {
    if (b->status) return PLAN_NONE;
    const int64_t n_chosen = value_at(b, route)->cols / 2;
    plan_step *s = add_step(b, KOP_SUM_EXPERTS, name, x, value_at(b, x)->cols / n_chosen, x);
    if (!s) return PLAN_NONE;
    s->z = route;
    s->n_chosen = n_chosen;
    return s->y;
}

/* ---- Gated delta net ------------------------------------------------------------------------------------------- */

static int new_state(plan_builder *b, int64_t size) {
    plan_state *state = b->status ? NULL : list_push(b, &b->states);
    if (!state) return PLAN_NONE;
    state->size = size;
    return b->states.n - 1;
}

int plan_conv1d(plan_builder *b, int x, int64_t kernel, kact act, const char *module, ...) {
    MODULE_NAME(module);
    if (b->status) return PLAN_NONE;
    const int64_t cols = value_at(b, x)->cols;
    plan_step *s = add_step(b, KOP_CONV1D, module_name, x, cols, x);
    if (!s) return PLAN_NONE;
    s->act = act;
    set_weight(b, s, add_weight(b, module_name, MATRIX_CONV, 0, cols, kernel), true);
    s->state = new_state(b, (kernel - 1) * cols);
    return s->y;
}

int plan_delta_gates(plan_builder *b, int a, int bb, const char *a_log, const char *dt_bias) {
    if (b->status) return PLAN_NONE;
    const int64_t heads = value_at(b, a)->cols;
    plan_step *s = add_step(b, KOP_DELTA_GATES, "linear_attn.gates", a, 2 * heads, a);
    if (!s) return PLAN_NONE;
    s->z = bb;
    set_vector(b, s, a_log, "", heads);
    s->vec2 = add_vector(b, dt_bias, "", 0, heads);
    return s->y;
}

int plan_delta(plan_builder *b, int qkv, int gates, int64_t n_keys, int64_t key_dim, int64_t n_values,
               int64_t value_dim, float eps) {
    if (b->status) return PLAN_NONE;
    plan_step *s = add_step(b, KOP_DELTA, "linear_attn.delta", qkv, n_values * value_dim, qkv);
    if (!s) return PLAN_NONE;
    s->z = gates;
    s->eps = eps;
    s->n_parts = n_values;
    s->n_keys = n_keys;
    s->key_dim = key_dim;
    s->state = new_state(b, n_values * value_dim * key_dim);
    return s->y;
}

int plan_outputs(plan_builder *b, int x) {
    if (b->status) return PLAN_NONE;
    int64_t cols = value_at(b, x)->cols;
    plan_step *s = add_step(b, KOP_SELECT_ROWS, "outputs", x, cols, PLAN_NONE);
    if (!s) return PLAN_NONE;
    ((plan_value *)b->values.items)[s->y].rows = PLAN_OUTPUTS;
    return s->y;
}
