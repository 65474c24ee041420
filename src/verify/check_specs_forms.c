/* SPDX-License-Identifier: Apache-2.0
 *
 * Further forms of the cases of check_specs.c, which only some backends' rows take: activations in 16 bits, fused
 * parts, numbers of tokens and contexts that their kernels tell apart. Each ordinary case brings one such case with it,
 * whose choices follow from its seed, so that ordinary cases are the same with and without them. */
#include "verify/check_specs.h"

typedef struct chooser {
    uint64_t state;
} chooser;

static size_t choose(chooser *c, size_t n) {
    c->state = c->state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((c->state >> 33) % n);
}
#define CHOOSE(c, array) ((array)[choose(c, COUNT(array))])

static bool one_in(chooser *c, size_t n) {
    return choose(c, n) == 0;
}

/* More often 16 bits than fp32. */
static dtype some_type(chooser *c) {
    static const dtype types[] = {DT_BF16, DT_F16, DT_F32, DT_BF16};
    return CHOOSE(c, types);
}

static dtype some_16_bits(chooser *c) {
    return one_in(c, 3) ? DT_F16 : DT_BF16;
}

/* Results in fp32, or as the activations. */
static void choose_output(chooser *c, check_spec *s) {
    s->y_type = one_in(c, 2) ? DT_F32 : s->x_type == DT_F32 ? some_type(c) : s->x_type;
    s->group = 0;
    s->in_place &= s->x_type == s->y_type;
}

static bool is_special(const check_spec *s) {
    return s->x_type != DT_F32 || s->normed || s->act != ACT_NONE;
}

/* ---- Products -------------------------------------------------------------------------------------------------- */

static kact some_act(chooser *c) {
    static const kact acts[] = {ACT_SILU, ACT_GELU, ACT_SWIGLU_OAI, ACT_SILU};
    return CHOOSE(c, acts);
}

/* Sizes of tiles as well as what lies beside them; the reference's work stays small. */
static void choose_sizes(chooser *c, check_level level, check_spec *s) {
    static const int64_t rows[] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,  13,  14,
                                   15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129};
    static const int64_t cols[] = {32, 64, 128, 192, 256, 384}, tiles[] = {2, 4, 8, 16};
    const int64_t work = level == CHECK_FULL ? 1 << 24 : 1 << 22, places = s->n_chosen > 0 ? s->n_chosen : 1;
    if (s->rows < 1000) s->rows = s->rows == MANY_TOKENS ? MANY_TOKENS : CHOOSE(c, rows);
    if (one_in(c, 2)) s->cols = places * CHOOSE(c, cols);
    if (one_in(c, 2)) s->k = (s->mode == W_PLAIN ? 32 : s->group_size) * CHOOSE(c, tiles);
    while (s->rows * s->cols * s->k > work && s->rows > 17) s->rows /= 2;
}

static bool product_form(chooser *c, check_level level, check_spec *s) {
    s->x_type = some_type(c);
    choose_sizes(c, level, s);
    if (one_in(c, 3)) s->act = some_act(c);
    if (s->op == KOP_MATMUL && one_in(c, 3)) s->normed = true, s->offset = one_in(c, 3);
    if (!is_special(s)) s->act = some_act(c);
    choose_output(c, s);
    s->in_place = s->residual && s->y_type == DT_F32 && one_in(c, 2);
    return true;
}

static bool experts_form(chooser *c, check_level level, check_spec *s) {
    static const struct { int64_t n_experts, n_chosen; } larger[] = {{16, 4}, {16, 8}, {12, 1}, {16, 2}};
    const int64_t outputs = s->cols / s->n_chosen;
    if (one_in(c, 2)) {
        const size_t i = choose(c, COUNT(larger));
        s->n_experts = larger[i].n_experts;
        s->n_chosen = larger[i].n_chosen;
        s->cols = outputs * s->n_chosen;
    }
    return product_form(c, level, s);
}

/* ---- Attention ------------------------------------------------------------------------------------------------- */

/* Contexts of several pages, and of several splits among blocks. */
static void choose_context(chooser *c, check_spec *s) {
    static const int64_t starts[] = {0, 31, 63, 64, 100, 255, 257, 300, 511, 600, 1023, 1100, 2100};
    static const int64_t pages[] = {16, 32, 64, 64, 64, 64};
    s->start = CHOOSE(c, starts);
    s->page_size = CHOOSE(c, pages);
}

static bool attention_form(chooser *c, check_level level, check_spec *s) {
    static const int64_t dims[] = {64, 96, 128, 128, 192, 256, 512}, windows[] = {0, 0, 0, 17, 128, 512, 1024};
    static const int64_t rows[] = {1, 1, 2, 4, 7, 8, 15, 16, 17, 33, 64, 65}, groups[] = {1, 2, 4, 5, 8};
    static const int64_t caps[] = {0, 50, 0, 2};
    const int64_t work = level == CHECK_FULL ? 1 << 24 : 1 << 22;
    s->x_type = some_16_bits(c);
    choose_context(c, s);
    s->window = CHOOSE(c, windows);
    s->softcap = CHOOSE(c, caps);
    if (s->rows != MANY_TOKENS) s->rows = CHOOSE(c, rows);
    if (one_in(c, 2)) s->head_dim = CHOOSE(c, dims);
    s->parts = s->kv_heads * CHOOSE(c, groups);
    while (s->rows * s->parts * s->head_dim * (s->start + s->rows) > work) {
        if (s->kv_heads > 1)
            s->parts /= s->kv_heads, s->kv_heads = 1;
        else if (s->rows > 8)
            s->rows /= 2;
        else if (s->parts > 1)
            s->parts = (s->parts + 1) / 2;
        else
            break;
    }
    s->n_seqs = min_i64(s->rows, s->n_seqs);
    s->cols = s->parts * s->head_dim;
    choose_output(c, s);
    return true;
}

/* With a table the heads need a pair of columns. */
static bool kv_store_form(chooser *c, check_spec *s) {
    static const int64_t dims[] = {64, 96, 128, 256, 512};
    s->x_type = some_type(c);
    choose_context(c, s);
    if (one_in(c, 2)) s->head_dim = CHOOSE(c, dims);
    s->cols = s->kv_heads * s->head_dim;
    s->normed = one_in(c, 2);
    s->offset = s->normed && one_in(c, 3);
    if (s->head_dim > 1 && !one_in(c, 3)) s->rotated = one_in(c, 2) ? s->head_dim / 2 * 2 : (s->head_dim / 4 + 1) * 2;
    if (s->rotated > s->head_dim) s->rotated = s->head_dim / 2 * 2;
    s->interleaved = s->rotated > 0 && one_in(c, 4);
    return s->x_type != DT_F32 || s->normed || s->rotated > 0;
}

/* ---- Operations on each token alone ---------------------------------------------------------------------------- */

static bool rmsnorm_form(chooser *c, check_spec *s) {
    s->x_type = some_type(c);
    s->residual = one_in(c, 2) || s->x_type == DT_F32;
    s->scaled = s->residual && one_in(c, 2);
    choose_output(c, s);
    if (s->residual) s->in_place = (s->seed % 2 ? DT_F32 : s->x_type) == s->y_type && one_in(c, 2);
    return true;
}

static bool rope_form(chooser *c, check_spec *s) {
    s->x_type = some_type(c);
    s->normed = one_in(c, 2) || s->x_type == DT_F32;
    s->offset = s->normed && one_in(c, 3);
    choose_output(c, s);
    return true;
}

/* Rounded to 16 bits; any number of columns. */
static bool quantize_form(chooser *c, check_spec *s) {
    s->x_type = one_in(c, 4) ? some_16_bits(c) : DT_F32;
    s->y_type = some_16_bits(c);
    const bool usual = one_in(c, 2);
    if (usual)
        s->strided = false;
    else
        s->cols += (int64_t)choose(c, 40) - 20;
    s->group = 0;
    return true;
}

/* Half of them in pieces of eight columns, heads of a delta net of the usual size. */
static bool other_form(chooser *c, check_spec *s) {
    s->x_type = some_16_bits(c);
    const bool usual = one_in(c, 2);
    if (usual && s->op != KOP_ROUTE && s->op != KOP_DELTA && s->op != KOP_DELTA_GATES) {
        s->cols = (s->cols / 8 + 1) * 8;
        s->strided = false;
    } else if (s->op == KOP_DELTA) {
        if (s->seed % 2) s->x_type = DT_F32, s->strided = false;
        s->key_dim = 128;
        s->n_keys = 1;
        s->parts = 1 + (int64_t)choose(c, 2);
        s->cols = s->parts * 128;
        s->rows = min_i64(s->rows, 9);
        s->n_seqs = min_i64(s->n_seqs, s->rows);
    }
    choose_output(c, s);
    return true;
}

static bool sum_experts_form(chooser *c, check_spec *s) {
    other_form(c, s);
    if (one_in(c, 2)) s->x_type = DT_F32; /* as products leave it */
    s->residual = one_in(c, 2) || s->x_type == DT_F32;
    s->in_place = s->residual && s->y_type == DT_F32 && one_in(c, 2);
    return true;
}

/* False where there is none. */
static bool make_form(chooser *c, check_level level, check_spec *s) {
    switch (s->op) {
    case KOP_MATMUL:
        return product_form(c, level, s);
    case KOP_MATMUL_EXPERTS:
        return experts_form(c, level, s);
    case KOP_ATTENTION:
        return attention_form(c, level, s);
    case KOP_KV_STORE:
        return kv_store_form(c, s);
    case KOP_RMSNORM:
        return rmsnorm_form(c, s);
    case KOP_ROPE:
        return rope_form(c, s);
    case KOP_QUANTIZE:
        return quantize_form(c, s);
    case KOP_SUM_EXPERTS:
        return sum_experts_form(c, s);
    case KOP_EMBED:
        s->y_type = some_16_bits(c);
        return true;
    case KOP_ROPE_TABLE:
    case KOP_PENALIZE:
    case KOP_DRAW:
        return false;
    default:
        return other_form(c, s);
    }
}

void visit_forms(visitor *v, const check_spec *ordinary) {
    const bool few = ordinary->op == KOP_ATTENTION || ordinary->op == KOP_KV_STORE; /* cases of a lean walk */
    const int n = v->level == CHECK_LEAN ? (kop_is_product(ordinary->op) ? 0 : few ? 3 : 1) : 1;
    for (int i = 0; i < n && !v->stopped; i++) {
        chooser c = {(ordinary->seed * 4 + (uint64_t)i) * 0x9e3779b97f4a7c15u};
        check_spec s = *ordinary;
        if (make_form(&c, v->level, &s)) v->stopped = !v->visit(v->user, &s);
    }
}

/* ---- Every kind of product -------------------------------------------------------------------------------------- */

enum { KINDS = 3 + 6 + FLOAT_MODES };

static check_spec weight_kind(chooser *c, kop op, size_t kind, dtype x_type) {
    static const int64_t tiles[] = {64, 128};
    check_spec s = {.op = op};
    if (kind >= 9) {
        s = float_mode_spec(op, 1, kind - 9);
        s.k = 64 * (int64_t)(1 + choose(c, 2));
    } else if (kind >= 3) {
        s.mode = W_AFFINE;
        s.bits = check_widths[kind - 3];
        s.group_size = (int)CHOOSE(c, check_groups);
        s.w_type = x_type == DT_F32 || one_in(c, 4) ? CHOOSE(c, check_stored) : x_type;
        s.no_biases = one_in(c, 8);
        s.k = s.group_size * (int64_t)(s.group_size == 128 ? 1 : 2) * (int64_t)(1 + choose(c, 2));
    } else {
        s.w_type = check_stored[kind];
        s.k = CHOOSE(c, tiles);
    }
    return s;
}

/* Each kind of weight with each type of x, for one token, a few, a tile of them and more, at places and of sizes that
 * fast rows ask for. */
static void emit_kind(visitor *v, chooser *c, check_spec s, size_t tokens) {
    static const int64_t one[] = {1}, few[] = {2, 3, 4, 5, 6, 7, 8, 11, 13, 15, 16}, tile[] = {17, 20, 31, 32},
                         more[] = {33, 48, 64, 65, 129}, cols[] = {32, 64, 64, 72, 33};
    s.rows = tokens == 0 ? one[0] : tokens == 1 ? CHOOSE(c, few) : tokens == 2 ? CHOOSE(c, tile) : CHOOSE(c, more);
    s.cols = CHOOSE(c, cols);
    if (s.op == KOP_MATMUL_EXPERTS) {
        s.n_experts = one_in(c, 2) ? 4 : 8;
        s.n_chosen = 2;
        s.cols *= s.n_chosen;
        s.own_x = one_in(c, 3);
        s.same_experts = one_in(c, 4);
    } else {
        s.residual = one_in(c, 3);
        s.normed = one_in(c, tokens < 2 ? 2 : 6);
        s.offset = s.normed && one_in(c, 3);
    }
    s.bias = one_in(c, 3);
    if (one_in(c, 3)) s.act = some_act(c);
    choose_output(c, &s);
    s.in_place = s.residual && s.y_type == DT_F32 && one_in(c, 2);
    s.seed = ++v->n;
    s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
    v->stopped = !v->visit(v->user, &s);
}

/* With nothing fused, the scales of x's type, and everything as aligned as can be: what the most particular rows take.
 */
static void emit_plain_kind(visitor *v, chooser *c, kop op, size_t kind, dtype x_type) {
    static const int64_t rows[] = {24, 40};
    check_spec s = weight_kind(c, op, kind, x_type);
    s.x_type = x_type;
    s.y_type = DT_F32;
    s.no_biases = false;
    if (s.w_type != DT_U8) s.w_type = x_type;
    s.k = 256;
    s.cols = 32;
    if (op == KOP_MATMUL_EXPERTS) s.n_experts = 4, s.n_chosen = 2, s.cols *= 2;
    for (size_t i = 0; i < COUNT(rows) && !v->stopped; i++) {
        s.rows = rows[i];
        s.seed = ++v->n;
        s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
        v->stopped = !v->visit(v->user, &s);
    }
}

/* One token, or the experts of one or a few, over whole steps of what streams a weight: 1024 / bits columns. */
static void emit_one_token(visitor *v, chooser *c, kop op, int bits, dtype scales) {
    static const int64_t steps[] = {1, 2, 3, 4, 5, 6, 9, 16, 32}, cols[] = {16, 33, 64, 200, 272};
    check_spec s = {.op = op, .mode = W_AFFINE, .bits = bits, .w_type = scales, .rows = 1};
    s.group_size = (int)CHOOSE(c, check_groups);
    s.k = 1024 / bits * CHOOSE(c, steps);
    s.cols = CHOOSE(c, cols);
    s.x_type = CHOOSE(c, check_stored);
    if (op == KOP_MATMUL_EXPERTS) {
        s.rows = (int64_t)(1 + choose(c, 3));
        s.n_experts = 4;
        s.n_chosen = 2;
        s.cols *= s.n_chosen;
        s.own_x = one_in(c, 3);
    } else {
        s.residual = one_in(c, 3);
        s.normed = one_in(c, 2);
        s.offset = s.normed && one_in(c, 3);
    }
    s.as_many_outputs = one_in(c, 2);
    s.bias = one_in(c, 3);
    if (one_in(c, 3)) s.act = some_act(c);
    choose_output(c, &s);
    s.seed = ++v->n;
    s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
    v->stopped = !v->visit(v->user, &s);
}

void product_forms(visitor *v, kop op) {
    static const dtype types[] = {DT_F16, DT_BF16, DT_F32};
    chooser c = {v->n};
    for (size_t i = 0; i < KINDS * COUNT(types) * 4 && !v->stopped; i++) {
        const dtype x_type = types[i / 4 % COUNT(types)];
        if (x_type == DT_F32 && i % 2) continue; /* others see them as well */
        check_spec s = weight_kind(&c, op, i / (4 * COUNT(types)), x_type);
        s.x_type = x_type;
        if (s.mode == W_PLAIN && x_type != DT_F32 && one_in(&c, 2)) s.w_type = x_type;
        emit_kind(v, &c, s, i % 4);
    }
    for (size_t i = 2; i < KINDS && !v->stopped; i++) /* of plain ones all are the same here */
        for (size_t type = 0; type < 2; type++) emit_plain_kind(v, &c, op, i, types[type]);
    for (int i = 0; i < 4 * (v->level == CHECK_FULL ? 48 : 12) && !v->stopped; i++)
        emit_one_token(v, &c, op, i % 2 ? 8 : 4, types[i / 2 % 2]);
}
