/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands for timing a row. A variant is a choice of types; the first that a row takes is the one that it is timed
 * with. */
#define _GNU_SOURCE
#include "cli/bench_calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "kernels/registry.h"
#include "kernels/sampler.h"
#include "quant/xform.h"
#include "verify/mirror.h"

enum {
    HIDDEN = 2048,        /* columns of activations */
    HEAD_DIM = 128,       /* and heads of */
    PAGE = 64,            /* positions in a page of the KV cache */
    CONTEXT = 2048,       /* positions that attention sees */
    WEIGHT_MB = 64,       /* of a matrix read for one token: more than caches hold */
    MANY_OUTPUTS = 1024,  /* of a matrix for many tokens, where arithmetic counts */
    EXPERT_OUTPUTS = 768, /* of an expert */
    EXPERTS = 32,         /* for many tokens, of which each chooses... */
    CHOSEN = 8,
    ROUTED = 256,    /* experts that ROUTE chooses from */
    LOGITS = 262144, /* of one token */
    KEY_HEADS = 16,  /* of a delta net */
    VALUE_HEADS = 32
};

static const dtype floats[] = {DT_F32, DT_F16, DT_BF16};
static const int group_sizes[] = {64, 32, 128};
static const int bit_widths[] = {4, 8, 6, 5, 3, 2};

/* ---- Memory ---------------------------------------------------------------------------------------------------- */

static void *take(bench_call *b, size_t bytes) {
    /* What a device writes is copied with a band on each side (verify/mirror.h). */
    uint8_t *p = b->n_memory < BENCH_CALL_MEMORY ? aligned_alloc(64, round_up(bytes + 2 * MIRROR_BAND, 64)) : NULL;
    if (!p) {
        b->failed = true;
        return NULL;
    }
    b->memory[b->n_memory++] = p;
    memset(p, 0, bytes + 2 * MIRROR_BAND);
    return p + MIRROR_BAND;
}

void bench_call_free(bench_call *b) {
    for (int i = 0; i < b->n_memory; i++) free(b->memory[i]);
    b->n_memory = 0;
}

static uint32_t next_random(uint32_t *state) {
    *state ^= *state << 13, *state ^= *state >> 17, *state ^= *state << 5;
    return *state;
}

/* n floats of a type, in [-1, 1) times scale. */
static void *take_floats(bench_call *b, dtype type, int64_t n, float scale) {
    void *to = take(b, (size_t)n * dtype_size(type));
    uint32_t state = 1;
    for (int64_t i = 0; i < n && to; i++) {
        float x = scale * (float)(int32_t)next_random(&state) * 0x1p-31f;
        if (type == DT_F32)
            ((float *)to)[i] = x;
        else
            ((uint16_t *)to)[i] = type == DT_F16 ? f32_to_f16(x) : f32_to_bf16(x);
    }
    return to;
}

static kmat take_matrix(bench_call *b, int64_t rows, int64_t cols) {
    return (kmat){take_floats(b, DT_F32, rows * cols, 1), DT_F32, rows, cols, cols, 0};
}

/* A matrix of the activation form: any codes, scales that keep sums near 1. */
static kmat take_form(bench_call *b, int64_t rows, int64_t cols, int64_t group) {
    kmat m = {take(b, xform_bytes(rows, cols, group)), DT_XI8X3, rows, cols, cols, group};
    uint32_t state = 1;
    for (int64_t i = 0; i < rows && m.data; i++) {
        int8_t *codes = xform_codes(&m, i);
        for (int64_t j = 0; j < XFORM_PLANES * cols; j++) codes[j] = (int8_t)(next_random(&state) & 0x7f);
        for (int64_t g = 0; g < cols / group; g++) xform_scales(&m)[i * (cols / group) + g] = 0x1p-23f;
    }
    return m;
}

/* x of a product in the type that a row reads; bf16, as most models are, where that is any. */
static kmat take_x(bench_call *b, const krow *row, int64_t rows, int64_t cols, int64_t group) {
    if (row->x_type == DT_XI8X3) return take_form(b, rows, cols, group);
    const dtype type = row->x_type == DT_NONE ? DT_BF16 : row->x_type;
    return (kmat){take_floats(b, type, rows * cols, 1), type, rows, cols, cols, 0};
}

static const int32_t *take_positions(bench_call *b, int64_t n, int64_t first) {
    int32_t *p = take(b, (size_t)n * sizeof *p);
    for (int64_t i = 0; i < n && p; i++) p[i] = (int32_t)(first + i);
    return p;
}

/* ---- Matrices -------------------------------------------------------------------------------------------------- */

static double weight_bytes(const kweight *w) {
    double codes = w->mode == W_PLAIN ? 8.0 * (double)dtype_size(w->type) : w->bits;
    double scales = w->mode == W_PLAIN ? 0 : 8.0 * (double)dtype_size(w->type) / w->group_size;
    if (w->mode == W_AFFINE) scales *= 2; /* and biases */
    return (double)w->n * (double)w->k * (codes + scales) / 8;
}

/* Variants: 3 plain types, 3 modes of small floats, then 6 widths x 3 groups x 3 types of scales. */
enum { PLAIN_VARIANTS = 3, OTHER_VARIANTS = 6, WEIGHT_VARIANTS = OTHER_VARIANTS + 6 * 3 * 3 };

static kweight weight_variant(int variant) {
    if (variant < PLAIN_VARIANTS) return (kweight){.mode = W_PLAIN, .type = floats[variant], .k = HIDDEN};
    static const kweight small_floats[] = {
        {.mode = W_MXFP4, .bits = 4, .group_size = 32, .type = DT_U8, .k = HIDDEN},
        {.mode = W_MXFP8, .bits = 8, .group_size = 32, .type = DT_U8, .k = HIDDEN},
        {.mode = W_NVFP4, .bits = 4, .group_size = 16, .type = DT_U8, .k = HIDDEN},
    };
    if (variant < OTHER_VARIANTS) return small_floats[variant - PLAIN_VARIANTS];
    int v = variant - OTHER_VARIANTS;
    return (kweight){.mode = W_AFFINE,
                     .bits = bit_widths[v / 9],
                     .group_size = group_sizes[v / 3 % 3],
                     .type = v % 3 == 0   ? DT_BF16
                             : v % 3 == 1 ? DT_F16
                                          : DT_F32,
                     .k = HIDDEN};
}

/* Codes and scales of n_matrices like w; those of small floats near 1. */
static void fill_stored(bench_call *b, kweight *w, int64_t n_matrices) {
    const int64_t n = n_matrices * w->n;
    if (w->mode == W_PLAIN) {
        w->codes = take_floats(b, w->type, n * w->k, 0.02f);
        return;
    }
    size_t n_words = (size_t)(n * (w->k * w->bits / 32)), n_scales = (size_t)(n * (w->k / w->group_size));
    uint32_t *words = take(b, n_words * sizeof *words), state = 1;
    for (size_t i = 0; i < n_words && words; i++) words[i] = next_random(&state);
    w->codes = words;
    if (w->mode == W_AFFINE) {
        w->scales = take_floats(b, w->type, (int64_t)n_scales, 0.01f);
        w->biases = take_floats(b, w->type, (int64_t)n_scales, 0.01f);
        return;
    }
    uint8_t *scales = take(b, n_scales);
    if (scales) memset(scales, w->mode == W_NVFP4 ? 0x38 : 127, n_scales);
    w->scales = scales;
}

/* Gives a weight its data, repacked if the row wants that. */
static void fill_weight(bench_call *b, const krow *row) {
    kweight *w = &b->w;
    fill_stored(b, w, 1);
    if (!row->layout || b->failed) return;
    void *packed = take(b, row->layout->bytes(w));
    w->layout = row->layout;
    w->packed = packed;
    if (packed) row->layout->pack(w, packed, 0, row->layout->tasks(w));
}

/* The same for n matrices. */
static void fill_experts(bench_call *b, const krow *row, int64_t n) {
    kweight *w = &b->w, *experts = take(b, (size_t)n * sizeof *experts);
    fill_stored(b, w, n);
    size_t stride = row->layout && !b->failed ? round_up(row->layout->bytes(w), 64) : 0;
    uint8_t *packed = stride ? take(b, (size_t)n * stride) : NULL;
    size_t code_bytes = (size_t)(w->n * w->k) * (w->mode == W_PLAIN ? 8 * dtype_size(w->type) : (size_t)w->bits) / 8;
    size_t scale_bytes = w->mode == W_PLAIN ? 0 : (size_t)(w->n * (w->k / w->group_size)) * dtype_size(w->type);
    for (size_t i = 0; i < (size_t)n && !b->failed; i++) {
        kweight *e = &experts[i];
        *e = *w;
        e->codes = (const char *)w->codes + i * code_bytes;
        if (w->scales) e->scales = (const char *)w->scales + i * scale_bytes;
        if (w->biases) e->biases = (const char *)w->biases + i * scale_bytes;
        e->layout = row->layout;
        if (!row->layout) continue;
        row->layout->pack(e, packed + i * stride, 0, row->layout->tasks(e));
        e->packed = packed + i * stride;
    }
    w->codes = w->scales = w->biases = NULL;
    w->layout = row->layout;
    w->experts = experts;
    w->n_experts = n;
}

/* Whether the row would take this weight: asked with a small one before memory is filled. */
static bool wants_weight(const krow *row, const kweight *w, int64_t n_tokens) {
    static const _Alignas(64) uint64_t somewhere[8];
    void *data = (void *)(uintptr_t)somewhere;
    kweight small = *w;
    small.n = 64;
    small.codes = small.scales = small.biases = data;
    if (row->layout && !row->layout->takes(&small)) return false;
    if (row->layout) small.layout = row->layout, small.packed = data;
    dtype form = row->x_type == DT_NONE ? DT_BF16 : row->x_type;
    kcall c = {.op = row->op, .w = &small, .tokens = data};
    c.x = (kmat){data, form, n_tokens, w->k, w->k, w->mode == W_PLAIN ? 64 : w->group_size};
    c.y = (kmat){data, DT_F32, n_tokens, 64, 64, 0};
    if (row->op == KOP_EMBED) c.y.cols = c.y.stride = w->k;
    kweight outer = small;
    if (row->op == KOP_MATMUL_EXPERTS) {
        outer.experts = &small, outer.n_experts = 1;
        outer.codes = outer.scales = outer.biases = outer.packed = NULL;
        c.w = &outer, c.n_chosen = 1;
        c.z = (kmat){data, DT_F32, n_tokens, 2, 2, 0};
    }
    return kreg_takes(row, &c);
}

static void name_weight(const kweight *w, char text[48]) {
    if (w->mode == W_PLAIN)
        snprintf(text, 48, "%s", dtype_name(w->type));
    else if (w->mode != W_AFFINE)
        snprintf(text, 48, "%s", wmode_name(w->mode));
    else
        snprintf(text, 48, "%d-bit g%d %s", w->bits, w->group_size, dtype_name(w->type));
}

static void init_matmul(bench_call *b, const krow *row, int variant, int64_t n_tokens) {
    kweight *w = &b->w;
    char text[48];
    *w = weight_variant(variant);
    if (!wants_weight(row, w, n_tokens)) return;
    w->n = 64;
    /* Whole tiles of outputs, whatever the tile. */
    w->n = n_tokens > 1 ? MANY_OUTPUTS : (int64_t)(WEIGHT_MB * 1e6 / (weight_bytes(w) / 64)) / 256 * 256;
    fill_weight(b, row);
    kcall *c = &b->call;
    c->w = w;
    c->x = take_x(b, row, n_tokens, w->k, w->mode == W_PLAIN ? 64 : w->group_size);
    c->y = take_matrix(b, n_tokens, w->n);
    b->bytes = weight_bytes(w);
    b->flops = 2.0 * (double)n_tokens * (double)w->n * (double)w->k;
    name_weight(w, text);
    snprintf(b->what, sizeof b->what, "%lldx%lldx%lld %s", (long long)n_tokens, (long long)w->n, (long long)w->k, text);
}

/* One token chooses so many experts that caches do not hold them; of many each chooses some of a few. */
static void init_experts(bench_call *b, const krow *row, int variant, int64_t n_tokens) {
    kweight *w = &b->w;
    kcall *c = &b->call;
    char text[48];
    *w = weight_variant(variant);
    if (!wants_weight(row, w, n_tokens)) return;
    w->n = EXPERT_OUTPUTS;
    const int64_t n = n_tokens > 1 ? EXPERTS : (int64_t)(WEIGHT_MB * 1e6 / weight_bytes(w)) + 1;
    b->bytes = weight_bytes(w) * (double)n;
    fill_experts(b, row, n);
    c->w = w;
    c->n_chosen = n_tokens > 1 ? CHOSEN : n;
    c->x = take_x(b, row, n_tokens, w->k, w->group_size);
    c->y = take_matrix(b, n_tokens, c->n_chosen * w->n);
    c->z = take_matrix(b, n_tokens, 2 * c->n_chosen);
    for (int64_t i = 0; i < n_tokens * c->n_chosen && c->z.data; i++) /* 5 and 32 have no common factor */
        ((float *)c->z.data)[i / c->n_chosen * c->z.stride + i % c->n_chosen] =
            (float)(n_tokens > 1 ? (i / c->n_chosen * 7 + i % c->n_chosen * 5) % n : i);
    b->flops = 2.0 * (double)(n_tokens * c->n_chosen) * (double)w->n * (double)w->k;
    name_weight(w, text);
    snprintf(b->what, sizeof b->what, "%lldx%lld of %lld [%lld, %lld] %s", (long long)n_tokens, (long long)c->n_chosen,
             (long long)n, (long long)w->n, (long long)w->k, text);
}

static void init_embed(bench_call *b, const krow *row, int variant, int64_t n_tokens) {
    char text[48];
    b->w = weight_variant(variant);
    if (!wants_weight(row, &b->w, n_tokens)) return;
    b->w.n = 8192;
    fill_weight(b, row);
    int32_t *tokens = take(b, (size_t)n_tokens * sizeof *tokens);
    for (int64_t i = 0; i < n_tokens && tokens; i++) tokens[i] = (int32_t)(i * 7919 % b->w.n);
    b->call.w = &b->w;
    b->call.tokens = tokens;
    b->call.scale = 1;
    b->call.y = take_matrix(b, n_tokens, b->w.k);
    b->bytes = weight_bytes(&b->w) / (double)b->w.n * (double)n_tokens;
    name_weight(&b->w, text);
    snprintf(b->what, sizeof b->what, "%lldx%lld %s", (long long)n_tokens, (long long)b->w.k, text);
}

/* ---- Attention ------------------------------------------------------------------------------------------------- */

/* Keys and values of heads / 4 heads (grouped queries), one sequence. */
static void init_cache(bench_call *b, dtype type) {
    int64_t n_heads = HIDDEN / HEAD_DIM / 4, n_pages = CONTEXT / PAGE;
    kcall *c = &b->call;
    c->keys = (kpages){NULL, type, n_pages, n_heads, PAGE, HEAD_DIM};
    c->values = c->keys;
    c->keys.data = take_floats(b, type, (int64_t)CONTEXT * n_heads * HEAD_DIM, 1);
    c->values.data = take_floats(b, type, (int64_t)CONTEXT * n_heads * HEAD_DIM, 1);
    int32_t *pages = take(b, (size_t)n_pages * sizeof *pages);
    for (int64_t i = 0; i < n_pages && pages; i++) pages[i] = (int32_t)(n_pages - 1 - i);
    const int32_t **tables = take(b, CONTEXT * sizeof *tables);
    for (int64_t i = 0; i < CONTEXT && tables; i++) tables[i] = pages;
    c->tables = tables;
}

static void init_attention(bench_call *b, int variant, int64_t n_tokens) {
    dtype type = floats[variant];
    int64_t kv_cols = HIDDEN / 4;
    kcall *c = &b->call;
    init_cache(b, type);
    c->positions = take_positions(b, n_tokens, CONTEXT - n_tokens);
    double seen = (double)n_tokens * (CONTEXT - (double)(n_tokens - 1) / 2); /* pairs of query and key */
    if (c->op == KOP_KV_STORE) {
        c->x = take_matrix(b, n_tokens, kv_cols);
        b->bytes = (double)(n_tokens * kv_cols) * (4.0 + (double)dtype_size(type));
    } else {
        c->x = take_matrix(b, n_tokens, HIDDEN);
        c->y = take_matrix(b, n_tokens, HIDDEN);
        c->scale = 0.088f;
        b->bytes = 2.0 * CONTEXT * (double)kv_cols * (double)dtype_size(type);
        b->flops = 4.0 * seen * HIDDEN;
    }
    snprintf(b->what, sizeof b->what, "%lld of %d, %d heads of %d, %s", (long long)n_tokens, CONTEXT,
             (int)(kv_cols / HEAD_DIM), HEAD_DIM, dtype_name(type));
}

/* ---- The other operations -------------------------------------------------------------------------------------- */

static void init_quantize(bench_call *b, int variant, int64_t n_tokens) {
    static const dtype narrow[] = {DT_F16, DT_BF16};
    b->call.x = take_matrix(b, n_tokens, HIDDEN);
    if (variant >= 3) { /* rounded to 16 bits */
        const dtype type = narrow[variant - 3];
        b->call.y = (kmat){take_floats(b, type, n_tokens * HIDDEN, 1), type, n_tokens, HIDDEN, HIDDEN, 0};
        b->bytes = (double)(n_tokens * HIDDEN) * 6;
        snprintf(b->what, sizeof b->what, "%lldx%d %s", (long long)n_tokens, HIDDEN, dtype_name(type));
        return;
    }
    int group = group_sizes[variant];
    b->call.y = take_form(b, n_tokens, HIDDEN, group);
    b->bytes = (double)(n_tokens * HIDDEN) * (4 + XFORM_PLANES);
    snprintf(b->what, sizeof b->what, "%lldx%d g%d", (long long)n_tokens, HIDDEN, group);
}

static void init_rows(bench_call *b, int64_t n_tokens) {
    kcall *c = &b->call;
    int64_t heads = HIDDEN / HEAD_DIM, cols = c->op == KOP_ROPE_TABLE ? HEAD_DIM : HIDDEN;
    double operands = 2;
    c->x = c->op == KOP_ROPE_TABLE ? (kmat){0} : take_matrix(b, n_tokens, cols);
    c->y = take_matrix(b, n_tokens, cols);
    c->n_parts = c->op == KOP_ROPE ? heads : 1;
    c->positions = take_positions(b, n_tokens, 0);
    if (c->op == KOP_RMSNORM) {
        c->weight = (kvec){take_floats(b, DT_BF16, cols, 1), DT_BF16};
        c->eps = 1e-5f;
    } else if (c->op == KOP_ROPE) {
        c->z = take_matrix(b, n_tokens, HEAD_DIM);
    } else if (c->op == KOP_ROPE_TABLE) {
        double *freqs = take(b, HEAD_DIM / 2 * sizeof *freqs);
        for (int i = 0; i < HEAD_DIM / 2 && freqs; i++) freqs[i] = 1.0 / (1 + i);
        c->freqs = freqs;
        c->scale = 1;
        operands = 1;
    } else if (c->op == KOP_SELECT_ROWS) {
        c->rows = take_positions(b, n_tokens, 0);
    } else {
        c->act = ACT_SILU;
        c->z = take_matrix(b, n_tokens, cols);
        operands = 3;
    }
    b->bytes = operands * 4.0 * (double)(n_tokens * cols);
    snprintf(b->what, sizeof b->what, "%lldx%lld", (long long)n_tokens, (long long)cols);
}

/* x, z and y of so many columns each, 0 for none; named by those of x. */
static void take_operands(bench_call *b, int64_t n_tokens, int64_t x, int64_t z, int64_t y) {
    if (x) b->call.x = take_matrix(b, n_tokens, x);
    if (z) b->call.z = take_matrix(b, n_tokens, z);
    b->call.y = take_matrix(b, n_tokens, y);
    b->bytes = 4.0 * (double)(n_tokens * (x + z + y));
    snprintf(b->what, sizeof b->what, "%lldx%lld", (long long)n_tokens, (long long)(x ? x : y));
}

static void init_selection(bench_call *b, int64_t n_tokens) {
    enum { RUN = 256 }; /* of every second head */
    take_operands(b, n_tokens, 2 * HIDDEN, 0, HIDDEN);
    b->bytes = 8.0 * (double)(n_tokens * HIDDEN);
    int32_t *columns = take(b, HIDDEN * sizeof *columns);
    for (int32_t i = 0; i < HIDDEN && columns; i++) columns[i] = i / RUN * 2 * RUN + i % RUN;
    b->call.columns = columns;
}

/* One state, which all tokens share. */
static void take_states(bench_call *b, int64_t n_tokens, int64_t size) {
    b->call.states = (kstates){take_floats(b, DT_F32, size, 0.1f), 1, size};
    b->call.slots = take(b, (size_t)n_tokens * sizeof *b->call.slots);
    b->bytes += 2.0 * 4.0 * (double)size;
}

static void init_delta_net(bench_call *b, int64_t n_tokens) {
    const int64_t keys = KEY_HEADS * HEAD_DIM, values = VALUE_HEADS * HEAD_DIM, channels = 2 * keys + values;
    kcall *c = &b->call;
    c->n_keys = KEY_HEADS, c->n_parts = VALUE_HEADS, c->key_dim = HEAD_DIM;
    c->eps = 1e-6f;
    if (c->op == KOP_CONV1D) {
        b->w = (kweight){.mode = W_PLAIN, .type = DT_BF16, .n = channels, .k = 4};
        b->w.codes = take_floats(b, DT_BF16, channels * 4, 1);
        c->w = &b->w;
        c->act = ACT_SILU;
        take_operands(b, n_tokens, channels, 0, channels);
        take_states(b, n_tokens, 3 * channels);
    } else if (c->op == KOP_DELTA_GATES) {
        c->weight = (kvec){take_floats(b, DT_F32, VALUE_HEADS, 1), DT_F32};
        c->weight2 = (kvec){take_floats(b, DT_BF16, VALUE_HEADS, 1), DT_BF16};
        take_operands(b, n_tokens, VALUE_HEADS, VALUE_HEADS, 2 * VALUE_HEADS);
    } else {
        take_operands(b, n_tokens, channels, 2 * VALUE_HEADS, values);
        take_states(b, n_tokens, values * HEAD_DIM);
        /* decay, S k, the update and S q: a sum and a product each, but for the decay */
        b->flops = 7.0 * (double)n_tokens * (double)values * HEAD_DIM;
    }
}

/* Variants of DRAW: with samplers, and without. A token's logits are a model's, of many tokens they are fewer. */
static void init_sampling(bench_call *b, int variant, int64_t n_tokens) {
    enum { HISTORY = 64 };
    kcall *c = &b->call;
    const int64_t vocab = n_tokens > 1 ? HIDDEN : LOGITS;
    take_operands(b, n_tokens, vocab, 0, c->op == KOP_DRAW ? 1 : vocab);
    if (c->op == KOP_PENALIZE) c->y = c->x; /* in place, of a few logits */
    if (variant > 0) return;
    const nb_sampling s = {.temperature = 0.7f,
                           .top_p = 0.9f,
                           .top_k = 40,
                           .min_tokens_to_keep = 1,
                           .repetition_penalty = 1.1f,
                           .repetition_context_size = HISTORY};
    const int32_t *history = take_positions(b, HISTORY, 0);
    uint8_t *samplers = take(b, (size_t)n_tokens * ksampler_bytes(&s, HISTORY));
    int32_t *slots = take(b, (size_t)n_tokens * sizeof *slots);
    for (int64_t t = 0; t < n_tokens && !b->failed; t++)
        slots[t] = ksampler_append(&s, history, HISTORY, samplers, &c->samplers_bytes);
    c->samplers = samplers;
    c->slots = slots;
    if (c->op == KOP_PENALIZE) b->bytes = 2.0 * sizeof(float) * HISTORY * (double)n_tokens;
}

int bench_call_variants(const krow *row) {
    switch (row->op) {
    case KOP_DRAW:
        return 2;
    case KOP_MATMUL:
    case KOP_MATMUL_EXPERTS:
    case KOP_EMBED:
        return WEIGHT_VARIANTS;
    case KOP_ATTENTION:
    case KOP_KV_STORE:
        return 3;
    case KOP_QUANTIZE:
        return 5;
    default:
        return 1;
    }
}

bool bench_call_init(bench_call *b, const krow *row, int variant, int64_t n_tokens) {
    *b = (bench_call){.call.op = row->op};
    switch (row->op) {
    case KOP_MATMUL:
        init_matmul(b, row, variant, n_tokens);
        break;
    case KOP_MATMUL_EXPERTS:
        init_experts(b, row, variant, n_tokens);
        break;
    case KOP_EMBED:
        init_embed(b, row, variant, n_tokens);
        break;
    case KOP_SELECT_COLS:
        init_selection(b, n_tokens);
        break;
    case KOP_SCALE:
    case KOP_SOFTCAP:
        b->call.scale = 30;
        take_operands(b, n_tokens, n_tokens > 1 ? HIDDEN : LOGITS, 0, n_tokens > 1 ? HIDDEN : LOGITS);
        break;
    case KOP_ROUTE:
        b->call.n_chosen = CHOSEN;
        take_operands(b, n_tokens, ROUTED, 0, 2 * CHOSEN);
        break;
    case KOP_SUM_EXPERTS:
        b->call.n_chosen = CHOSEN;
        take_operands(b, n_tokens, CHOSEN * HIDDEN, 2 * CHOSEN, HIDDEN);
        break;
    case KOP_CONV1D:
    case KOP_DELTA_GATES:
    case KOP_DELTA:
        init_delta_net(b, n_tokens);
        break;
    case KOP_PENALIZE:
    case KOP_DRAW:
        init_sampling(b, variant, n_tokens);
        break;
    case KOP_ATTENTION:
    case KOP_KV_STORE:
        init_attention(b, variant, n_tokens);
        break;
    case KOP_QUANTIZE:
        init_quantize(b, variant, n_tokens);
        break;
    default:
        init_rows(b, n_tokens);
        break;
    }
    return !b->failed && kreg_takes(row, &b->call);
}
