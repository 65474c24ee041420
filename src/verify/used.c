/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks a plan's calls without running them, and makes small cases of large calls: a kernel's code paths depend on
 * sizes by their remainders (tiles, tails), so a size may lose multiples of all tiles there are. */
#include "verify/used.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/num.h"

/* ---- From a call to a case -------------------------------------------------------------------------------------- */

enum {
    TILE = 64,          /* a multiple of the tiles of outputs */
    MAX_OUTPUTS = 256,  /* of a matrix; of each of several experts... */
    MAX_EXPERT = 128,   /* ...fewer */
    MAX_COLUMNS = 4096, /* inputs of a matrix, columns of what treats each alone */
    MAX_TOKENS = 17,    /* more than a tile, and not a multiple of one; of matrices... */
    MAX_ROWS = 33,      /* ...more */
    MAX_DELTA = 131,    /* of the delta rule: rows for prompts take no fewer than 128 */
    MAX_HEADS = 2,      /* KV heads, key heads */
    MAX_PARTS = 5,      /* heads that are normed or rotated */
    MAX_DRAWS = 3,      /* from logits as many as the model's */
    START = 70          /* position of the first token: more than one page */
};

/* At most `limit`, with the same remainder by `tile`. */
static int64_t shrink(int64_t n, int64_t limit, int64_t tile) {
    return n <= limit ? n : limit - tile + n % tile;
}

static void set_weight(check_spec *s, const kweight *w) {
    const kweight *one = w->experts ? w->experts : w;
    s->mode = w->mode;
    s->w_type = w->type;
    s->bits = w->bits;
    s->group_size = w->group_size;
    s->no_biases = w->mode == W_AFFINE && !one->biases;
}

static void set_norm(check_spec *s, const kcall *c) {
    s->normed = c->normed;
    s->offset = c->normed && c->offset != 0;
}

/* Columns that each matrix gives y. */
static int64_t product_cols(const kcall *c) {
    return c->act == ACT_NONE ? c->w->n : c->w->n / 2;
}

static void set_product(check_spec *s, const kcall *c) {
    set_weight(s, c->w);
    s->act = c->act;
    set_norm(s, c);
    s->cols = shrink(product_cols(c), MAX_OUTPUTS, TILE);
    s->k = shrink(c->w->k, MAX_COLUMNS, 1024);
    s->as_many_outputs = kweight_many_outputs(c->w);
    s->as_long_rows = kweight_long_rows(c->w);
    s->group = c->x.group;
    s->bias = c->weight.data != NULL;
    s->residual = c->residual.data != NULL;
}

static void set_experts(check_spec *s, const kcall *c) {
    s->n_chosen = c->n_chosen;
    s->n_experts = min_i64(c->w->n_experts, CHECK_MAX_EXPERTS);
    s->own_x = c->x.cols != c->w->k;
    s->cols = c->n_chosen * shrink(product_cols(c), MAX_EXPERT, TILE);
}

static void set_pages(check_spec *s, const kpages *p, int64_t window) {
    s->head_dim = p->head_dim;
    s->kv_type = p->type;
    s->kv_heads = min_i64(p->n_heads, MAX_HEADS);
    s->page_size = p->page_size;
    s->start = START;
    s->window = window;
    s->n_seqs = 1;
}

static void set_attention(check_spec *s, const kcall *c) {
    const int64_t heads = c->x.cols / c->keys.head_dim;
    set_pages(s, &c->keys, min_i64(c->window, START - 1)); /* a window that the case reaches past */
    s->parts = heads / c->keys.n_heads * s->kv_heads;
    s->cols = s->parts * s->head_dim;
    s->bias = c->weight.data != NULL;
    s->softcap = c->softcap > 0 ? max_i64(1, (int64_t)c->softcap) : 0;
}

static void set_delta(check_spec *s, const kcall *c) {
    const int64_t value_dim = c->y.cols / c->n_parts;
    s->n_keys = min_i64(c->n_keys, MAX_HEADS);
    s->key_dim = c->key_dim;
    s->parts = c->n_parts / c->n_keys * s->n_keys;
    s->cols = s->parts * value_dim;
    s->n_seqs = 1;
}

static int64_t most_rows(kop op) {
    return op == KOP_MATMUL ? MAX_ROWS : op == KOP_DELTA ? MAX_DELTA : MAX_TOKENS;
}

check_spec used_spec(const kcall *c) {
    check_spec s = {.op = c->op,
                    .rows = min_i64(c->op == KOP_KV_STORE ? c->x.rows : c->y.rows, most_rows(c->op)),
                    .cols = c->op == KOP_KV_STORE ? c->x.cols : shrink(c->y.cols, MAX_COLUMNS, 1024),
                    .x_type = c->x.type,
                    .y_type = c->y.type,
                    .group = c->y.group};
    switch (c->op) {
    case KOP_EMBED:
        set_weight(&s, c->w);
        break;
    case KOP_MATMUL:
    case KOP_MATMUL_EXPERTS:
        set_product(&s, c);
        if (c->op == KOP_MATMUL_EXPERTS) set_experts(&s, c);
        break;
    case KOP_RMSNORM:
        s.parts = min_i64(c->n_parts, MAX_PARTS);
        if (c->n_parts > 1) s.cols = c->y.cols / c->n_parts * s.parts;
        s.offset = c->offset != 0;
        s.w_type = c->weight.data ? c->weight.type : DT_NONE;
        s.residual = c->residual.data != NULL;
        s.scaled = c->scale != 0;
        break;
    case KOP_ROPE:
        s.parts = min_i64(c->n_parts, MAX_PARTS);
        s.cols = c->x.cols / c->n_parts * s.parts;
        s.head_dim = c->x.cols / c->n_parts;
        s.rotated = c->z.cols;
        s.interleaved = c->interleaved;
        set_norm(&s, c);
        break;
    case KOP_KV_STORE:
        set_pages(&s, &c->keys, 0);
        s.cols = s.kv_heads * s.head_dim;
        s.rotated = c->z.data ? c->z.cols : 0;
        s.interleaved = c->interleaved;
        set_norm(&s, c);
        break;
    case KOP_ATTENTION:
        set_attention(&s, c);
        break;
    case KOP_ACT_MUL:
        s.act = c->act;
        s.one_factor = c->x.cols == 1 && c->y.cols > 1;
        break;
    case KOP_ROUTE:
        s.n_experts = c->x.cols;
        s.n_chosen = c->n_chosen;
        s.normalize = c->normalize;
        s.bias = c->weight.data != NULL;
        break;
    case KOP_SUM_EXPERTS:
        s.n_chosen = c->n_chosen;
        s.n_experts = max_i64(c->n_chosen, CHECK_MAX_EXPERTS);
        s.residual = c->residual.data != NULL;
        break;
    case KOP_CONV1D:
        set_weight(&s, c->w);
        s.k = c->w->k;
        s.act = c->act;
        s.n_seqs = 1;
        break;
    case KOP_DELTA:
        set_delta(&s, c);
        break;
    case KOP_PENALIZE:
    case KOP_DRAW:
        s.rows = MAX_DRAWS; /* and of one token alone */
        s.cols = c->y.cols;
        s.k = c->op == KOP_DRAW ? c->x.cols : 0;
        s.in_place = c->op == KOP_PENALIZE;
        s.samplers = c->samplers != NULL;
        break;
    default:
        break;
    }
    return s;
}

/* ---- From a plan to its calls ----------------------------------------------------------------------------------- */

typedef struct collector {
    used_calls *out;
    int64_t n_tokens;
    bool once, no_memory;
} collector;

static bool is_known(const used_calls *calls, const krow *row, const check_spec *spec) {
    for (size_t i = 0; i < calls->n; i++)
        if (calls->items[i].row == row && memcmp(&calls->items[i].spec, spec, sizeof *spec) == 0) return true;
    return false;
}

static void collect(void *user, int step, const krow *row, const kcall *call) {
    collector *c = user;
    used_calls *out = c->out;
    check_spec spec;
    memset(&spec, 0, sizeof spec); /* padding too: specs are compared as bytes */
    const check_spec made = used_spec(call);
    memcpy(&spec, &made, sizeof spec);
    if (c->no_memory || (c->once && is_known(out, row, &spec))) return;
    if (out->n == out->cap) {
        const size_t cap = 2 * out->cap + 32;
        used_call *items = realloc(out->items, cap * sizeof *items);
        if (!items) {
            c->no_memory = true;
            return;
        }
        out->items = items;
        out->cap = cap;
    }
    out->items[out->n++] = (used_call){.row = row, .spec = spec, .step = step, .n_tokens = c->n_tokens};
}

nb_status used_collect(const plan_on_device *p, int64_t n_tokens, bool once, used_calls *out, nb_error *err) {
    executor_options options = p->options;
    options.dry = true;
    options.n_pages = options.n_slots = 1;
    executor *e;
    nb_status status = p->backend->executor_new(p->device, p->plan, p->files, &options, &e, err);
    if (status) return status;
    collector c = {.out = out, .n_tokens = min_i64(n_tokens, options.n_batch), .once = once};
    status = e->calls(e, c.n_tokens, c.n_tokens, collect, &c, err);
    if (!status && e->draws) e->draws(e, c.n_tokens, collect, &c);
    e->free(e);
    return !status && c.no_memory ? err_no_memory(err, "the calls of a plan", 0) : status;
}

nb_status used_find(const plan_on_device *p, used_calls *out, nb_error *err) {
    const int64_t sizes[] = {1, 2, 8, p->options.n_batch};
    nb_status status = NB_OK;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && !status; i++)
        status = used_collect(p, sizes[i], true, out, err);
    return status;
}

void used_free(used_calls *calls) {
    free(calls->items);
    *calls = (used_calls){0};
}

/* ---- The set ---------------------------------------------------------------------------------------------------- */

/* What rows could tell apart about a step. */
static uint64_t step_hash(const plan *p, const plan_step *s) {
    const plan_value *x = s->x == PLAN_NONE ? NULL : &p->values[s->x], *y = s->y == PLAN_NONE ? NULL : &p->values[s->y];
    const kweight *w = s->weight == PLAN_NONE ? NULL : &p->weights[s->weight].w;
    const kweight *one = w && w->experts ? w->experts : w;
    const plan_cache *cache = s->op == KOP_KV_STORE || s->op == KOP_ATTENTION ? &p->caches[s->cache] : NULL;
    const int64_t facts[] = {s->op,
                             x ? x->cols : 0,
                             y ? y->cols : 0,
                             s->residual != PLAN_NONE,
                             s->vec.data ? (int64_t)s->vec.type : -1,
                             s->vec2.data ? (int64_t)s->vec2.type : -1,
                             s->act,
                             s->n_parts,
                             s->n_keys,
                             s->key_dim,
                             s->n_chosen,
                             s->normalize,
                             s->interleaved,
                             s->window,
                             s->softcap != 0,
                             s->offset != 0,
                             w ? w->n : 0,
                             w ? w->k : 0,
                             w ? (int64_t)w->mode : -1,
                             w ? (int64_t)w->type : -1,
                             w ? w->bits : 0,
                             w ? w->group_size : 0,
                             w ? w->n_experts : 0,
                             one ? one->biases != NULL : 0,
                             cache ? cache->n_heads : 0,
                             cache ? cache->head_dim : 0};
    return hash_bytes(HASH_START, facts, sizeof facts);
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

nb_status used_set(const plan *p, const executor_options *options, uint64_t *set, nb_error *err) {
    const char *patterns = getenv("NIBBLE_KERNELS"), *gemm = getenv("MLX_ROCM_QMM_DEQUANT_GEMM");
    uint64_t *hashes = malloc(((size_t)p->n_steps + 1) * sizeof *hashes);
    if (!hashes) return err_no_memory(err, "the shapes of a plan", 0);
    uint64_t all = hash_bytes(HASH_START, &options->kv_type, sizeof options->kv_type);
    all = hash_bytes(all, &options->n_batch, sizeof options->n_batch);
    /* What the user has set aside decides which rows the plan uses. */
    all = hash_text(hash_text(all, patterns ? patterns : ""), gemm ? gemm : "");
    for (int i = 0; i < p->n_steps; i++) hashes[i] = step_hash(p, &p->steps[i]);
    qsort(hashes, (size_t)p->n_steps, sizeof *hashes, by_value);
    for (int i = 0; i < p->n_steps; i++)
        if (i == 0 || hashes[i] != hashes[i - 1]) all = hash_bytes(all, &hashes[i], sizeof hashes[i]);
    free(hashes);
    *set = all ? all : 1;
    return NB_OK;
}
