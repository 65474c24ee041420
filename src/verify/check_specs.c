/* SPDX-License-Identifier: Apache-2.0
 *
 * Which cases are made: per operation, the types and sizes that kernels tell apart are gone through in full, and the
 * other choices (pattern of numbers, strides, in place, ...) turn with a counter whose steps have no common divisor, so
 * that all their pairs come up. */
#include "verify/check.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TURN(array)  ((array)[turn(v, COUNT(array))])

static const int64_t many_tokens[] = {1, 2, 3, 5, 8, 13, 33, 64, 130}, few_tokens[] = {1, 3, 33};
static const dtype stored[] = {DT_F32, DT_F16, DT_BF16};
static const int64_t groups[] = {32, 64, 128};

typedef struct visitor {
    check_level level;
    check_visit *visit;
    void *user;
    uint64_t n;     /* cases made */
    uint64_t state; /* of the choices that turn */
    bool stopped;
} visitor;

/* A number below n that depends on the state: the high bits of a linear congruence (Knuth's MMIX constants). */
static size_t turn(visitor *v, size_t n) {
    v->state = v->state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((v->state >> 33) % n);
}

static bool coin(visitor *v) {
    return turn(v, 2) == 1;
}

static void emit(visitor *v, check_spec s) {
    if (v->stopped) return;
    s.seed = ++v->n;
    s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
    v->stopped = !v->visit(v->user, &s);
}

static const int64_t *token_counts(const visitor *v, size_t *n) {
    *n = v->level == CHECK_FULL ? COUNT(many_tokens) : COUNT(few_tokens);
    return v->level == CHECK_FULL ? many_tokens : few_tokens;
}

#define FOR_TOKENS(rows)                                                                                               \
    size_t n_counts_;                                                                                                  \
    const int64_t *counts_ = token_counts(v, &n_counts_);                                                              \
    for (int64_t rows, i_ = 0; i_ < (int64_t)n_counts_ && (rows = counts_[i_], true); i_++)

/* ---- MATMUL, EMBED ------------------------------------------------------------------------------------------- */

static const int widths[] = {2, 3, 4, 5, 6, 8};

/* The modes whose codes are small floats: there is one width and group for each. */
static const struct {
    wmode mode;
    int bits, group_size;
} float_modes[] = {{W_MXFP4, 4, 32}, {W_MXFP8, 8, 32}, {W_NVFP4, 4, 16}};

static check_spec float_mode_spec(kop op, int64_t rows, size_t i) {
    return (check_spec){.op = op,
                        .rows = rows,
                        .mode = float_modes[i].mode,
                        .w_type = DT_U8,
                        .bits = float_modes[i].bits,
                        .group_size = float_modes[i].group_size};
}

/* Outputs: multiples of tiles of 4 to 64 rows, one more, one less, primes, one. */
static void matmul_each(visitor *v, check_spec s, const int64_t *ks, size_t n_ks, int times) {
    static const int64_t outputs[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 37, 48, 63, 64, 65, 127, 130};
    for (int i = 0; i < times; i++) {
        s.k = ks[turn(v, n_ks)];
        s.cols = TURN(outputs);
        s.bias = coin(v);
        s.residual = coin(v);
        s.in_place = s.residual && coin(v);
        s.strided = coin(v);
        s.no_biases = s.mode == W_AFFINE && turn(v, 8) == 0;
        emit(v, s);
    }
}

/* Forms of activations go with groups of 32 or more (cpu_form_group in src/cpu/cpu.h). */
static void float_modes_each(visitor *v, int64_t rows, int times) {
    for (size_t i = 0; i < COUNT(float_modes); i++) {
        check_spec s = float_mode_spec(KOP_MATMUL, rows, i);
        int64_t group = s.group_size, lengths[] = {group, 2 * group, 3 * group, 5 * group, 9 * group, 576};
        s.x_type = DT_F32;
        matmul_each(v, s, lengths, COUNT(lengths), 2 * times);
        if (s.mode == W_NVFP4) continue;
        s.x_type = DT_XI8X3;
        s.group = group;
        matmul_each(v, s, lengths, COUNT(lengths), 3 * times);
    }
}

static void matmul_specs(visitor *v) {
    static const int64_t ks[] = {1, 7, 8, 15, 16, 17, 31, 33, 64, 100, 127, 129, 256, 576};
    int times = v->level == CHECK_FULL ? 6 : 2;
    FOR_TOKENS(rows) {
        float_modes_each(v, rows, times);
        for (size_t type = 0; type < COUNT(stored); type++) {
            check_spec plain = {.op = KOP_MATMUL, .rows = rows, .mode = W_PLAIN, .w_type = stored[type]};
            plain.x_type = DT_F32;
            matmul_each(v, plain, ks, COUNT(ks), 2 * times);
            plain.x_type = DT_XI8X3;
            plain.group = TURN(groups);
            matmul_each(v, plain, (int64_t[]){plain.group, 3 * plain.group}, 2, times);
            for (size_t width = 0; width < COUNT(widths); width++) {
                for (size_t g = 0; g < COUNT(groups); g++) {
                    int64_t group = groups[g], lengths[] = {group, 2 * group, 3 * group, 5 * group, 9 * group};
                    check_spec s = {.op = KOP_MATMUL, .rows = rows, .mode = W_AFFINE, .w_type = stored[type]};
                    s.bits = widths[width];
                    s.group_size = (int)group;
                    s.x_type = DT_F32;
                    if (v->level == CHECK_FULL) matmul_each(v, s, lengths, COUNT(lengths), 1);
                    s.x_type = DT_XI8X3;
                    s.group = group;
                    matmul_each(v, s, lengths, COUNT(lengths), 2 * times);
                }
            }
        }
    }
    for (size_t width = 0; v->level == CHECK_QUICK && width < COUNT(widths); width++) {
        int64_t lengths[] = {64, 320};
        check_spec s = {.op = KOP_MATMUL, .rows = 3, .mode = W_AFFINE, .w_type = DT_BF16, .x_type = DT_F32};
        s.bits = widths[width];
        s.group_size = 64;
        matmul_each(v, s, lengths, COUNT(lengths), 1);
    }
}

static void embed_specs(visitor *v) {
    static const int64_t plain_cols[] = {1, 7, 16, 33, 64, 577};
    FOR_TOKENS(rows) {
        for (size_t type = 0; type < COUNT(stored); type++) {
            check_spec s = {.op = KOP_EMBED, .rows = rows, .y_type = DT_F32, .w_type = stored[type]};
            s.mode = W_PLAIN;
            for (size_t i = 0; i < COUNT(plain_cols); i++) {
                s.cols = plain_cols[i];
                s.strided = coin(v);
                emit(v, s);
            }
            s.mode = W_AFFINE;
            for (size_t i = 0; i < COUNT(widths) * COUNT(groups); i++) {
                s.bits = widths[i / COUNT(groups)];
                s.group_size = (int)groups[i % COUNT(groups)];
                s.cols = s.group_size * (int64_t)(1 + turn(v, 4));
                s.strided = coin(v);
                s.no_biases = turn(v, 8) == 0;
                emit(v, s);
            }
        }
        for (size_t i = 0; i < 2 * COUNT(float_modes); i++) {
            check_spec s = float_mode_spec(KOP_EMBED, rows, i / 2);
            s.y_type = DT_F32;
            s.cols = s.group_size * (int64_t)(1 + turn(v, 9));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* ---- Operations on each token alone ---------------------------------------------------------------------------- */

static const int64_t lengths[] = {1, 2, 7, 8, 15, 16, 17, 31, 33, 64, 100, 127, 128, 576, 1000, 2051};

static void rmsnorm_specs(visitor *v) {
    static const dtype weights[] = {DT_NONE, DT_F32, DT_F16, DT_BF16};
    static const int64_t parts[] = {1, 1, 3, 9};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(lengths); i++) {
            for (size_t type = 0; type < COUNT(weights); type++) {
                check_spec s = {.op = KOP_RMSNORM, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
                s.w_type = weights[type];
                s.parts = lengths[i] <= 128 ? TURN(parts) : 1;
                s.cols = lengths[i] * s.parts;
                s.in_place = coin(v);
                s.strided = coin(v);
                emit(v, s);
            }
        }
        for (size_t i = 0; i < 2 * COUNT(groups) * COUNT(weights); i++) {
            check_spec s = {.op = KOP_RMSNORM, .rows = rows, .x_type = DT_F32, .parts = 1};
            s.y_type = DT_XI8X3;
            s.group = groups[i % 3];
            s.w_type = weights[i / 6];
            s.cols = s.group * (int64_t)(1 + turn(v, 9));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* SILU_MUL, ADD, SELECT_ROWS, QUANTIZE: only rows and columns matter. */
static void columns_specs(visitor *v, kop op) {
    FOR_TOKENS(rows) {
        for (size_t i = 0; op != KOP_QUANTIZE && i < COUNT(lengths); i++) {
            for (int variant = 0; variant < 2; variant++) {
                check_spec s = {.op = op, .rows = rows, .cols = lengths[i], .x_type = DT_F32, .y_type = DT_F32};
                s.in_place = variant == 1 && op != KOP_SELECT_ROWS;
                s.strided = coin(v);
                emit(v, s);
            }
        }
        for (size_t i = 0; (op == KOP_QUANTIZE || op == KOP_ACT_MUL) && i < COUNT(groups) * 8; i++) {
            check_spec s = {.op = op, .rows = rows, .x_type = DT_F32};
            s.y_type = DT_XI8X3;
            s.group = groups[i % 3];
            s.cols = s.group * (int64_t)(1 + turn(v, 20));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

static void rope_table_specs(visitor *v) {
    static const int64_t cols[] = {2, 4, 30, 64, 96, 128};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(cols); i++) {
            check_spec s = {.op = KOP_ROPE_TABLE, .rows = rows, .cols = cols[i], .y_type = DT_F32};
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

static void rope_specs(visitor *v) {
    static const struct {
        int64_t head_dim, rotated;
    } heads[] = {{2, 2}, {6, 4}, {16, 16}, {64, 64}, {64, 32}, {80, 20}, {96, 96}, {128, 128}, {256, 64}, {50, 50}};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(heads) * 4; i++) {
            check_spec s = {.op = KOP_ROPE, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.head_dim = heads[i / 4].head_dim;
            s.rotated = heads[i / 4].rotated;
            s.interleaved = i % 2;
            s.in_place = i / 2 % 2;
            s.parts = (int64_t)(1 + turn(v, 4));
            s.cols = s.parts * s.head_dim;
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* ---- KV_STORE, ATTENTION ------------------------------------------------------------------------------------- */

static const int64_t page_sizes[] = {1, 7, 16, 32, 64};
static const int64_t starts[] = {0, 1, 31, 32, 63, 100, 257};

static void kv_store_specs(visitor *v) {
    static const int64_t head_dims[] = {1, 7, 16, 64, 80, 128};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(head_dims) * COUNT(stored); i++) {
            check_spec s = {.op = KOP_KV_STORE, .rows = rows, .x_type = DT_F32};
            s.head_dim = head_dims[i / 3];
            s.kv_type = stored[i % 3];
            s.kv_heads = (int64_t)(1 + turn(v, 3));
            s.cols = s.kv_heads * s.head_dim;
            s.page_size = TURN(page_sizes);
            s.start = TURN(starts);
            s.n_seqs = min_i64(rows, (int64_t)(1 + turn(v, 3)));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

static void attention_specs(visitor *v) {
    static const int64_t head_dims[] = {5, 8, 16, 64, 80, 128, 256};
    static const int64_t windows[] = {0, 0, 1, 17, 64};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(head_dims) * COUNT(stored) * (v->level == CHECK_FULL ? 3 : 1); i++) {
            check_spec s = {.op = KOP_ATTENTION, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.head_dim = head_dims[i / 3 % COUNT(head_dims)];
            s.kv_type = stored[i % 3];
            s.kv_heads = (int64_t)(1 + turn(v, 3));
            s.parts = s.kv_heads * (int64_t)(1 + turn(v, 4));
            if (rows * s.head_dim > 64 * 64) s.kv_heads = 1, s.parts = (int64_t)(1 + turn(v, 2));
            s.cols = s.parts * s.head_dim;
            s.page_size = TURN(page_sizes);
            s.start = TURN(starts);
            s.window = TURN(windows);
            s.n_seqs = min_i64(rows, coin(v) ? 1 : (int64_t)(1 + turn(v, 5)));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

bool check_specs(kop op, check_level level, check_visit *visit, void *user) {
    visitor all = {.level = level, .visit = visit, .user = user, .state = (uint64_t)op + 1}, *v = &all;
    switch (op) {
    case KOP_EMBED:
        embed_specs(v);
        break;
    case KOP_RMSNORM:
        rmsnorm_specs(v);
        break;
    case KOP_MATMUL:
        matmul_specs(v);
        break;
    case KOP_ROPE_TABLE:
        rope_table_specs(v);
        break;
    case KOP_ROPE:
        rope_specs(v);
        break;
    case KOP_KV_STORE:
        kv_store_specs(v);
        break;
    case KOP_ATTENTION:
        attention_specs(v);
        break;
    case KOP_QUANTIZE:
    case KOP_ACT_MUL:
    case KOP_ADD:
    case KOP_SELECT_ROWS:
        columns_specs(v, op);
        break;
    default:
        break;
    }
    return !v->stopped;
}

/* ---- Text ---------------------------------------------------------------------------------------------------- */

static const char *const pattern_names[CHECK_PATTERNS] = {
    [CHECK_NORMAL] = "normal",
    [CHECK_SMALL] = "small",
    [CHECK_LARGE] = "large",
    [CHECK_WIDE] = "wide",
    [CHECK_ZERO] = "zero",
    [CHECK_ONE_HOT] = "one-hot",
    [CHECK_SIGNED_ZERO] = "signed-zero",
    [CHECK_EXTREME] = "extreme",
    [CHECK_SUBNORMAL] = "subnormal",
    [CHECK_ALTERNATE] = "alternate",
};

static void put_number(char *text, size_t size, size_t *at, const char *name, int64_t value) {
    if (value == 0 || *at >= size) return;
    int n = snprintf(text + *at, size - *at, " %s=%" PRId64, name, value);
    *at += n > 0 ? (size_t)n : 0;
}

static void put_type(char *text, size_t size, size_t *at, const char *name, dtype type) {
    if (type == DT_NONE || *at >= size) return;
    int n = snprintf(text + *at, size - *at, " %s=%s", name, dtype_name(type));
    *at += n > 0 ? (size_t)n : 0;
}

void check_spec_text(const check_spec *s, char *text, size_t size) {
    size_t at = (size_t)snprintf(text, size, "%s", kop_name(s->op));
    put_number(text, size, &at, "rows", s->rows);
    put_number(text, size, &at, "cols", s->cols);
    put_number(text, size, &at, "k", s->k);
    put_number(text, size, &at, "parts", s->parts);
    put_number(text, size, &at, "rotated", s->rotated);
    if (s->mode != W_PLAIN && at < size) at += (size_t)snprintf(text + at, size - at, " mode=%s", wmode_name(s->mode));
    put_number(text, size, &at, "bits", s->bits);
    put_number(text, size, &at, "no_biases", s->no_biases);
    put_number(text, size, &at, "group_size", s->group_size);
    put_number(text, size, &at, "group", s->group);
    put_type(text, size, &at, "weight", s->w_type);
    put_type(text, size, &at, "x", s->x_type);
    put_type(text, size, &at, "y", s->y_type);
    put_type(text, size, &at, "kv", s->kv_type);
    put_number(text, size, &at, "kv_heads", s->kv_heads);
    put_number(text, size, &at, "head_dim", s->head_dim);
    put_number(text, size, &at, "page_size", s->page_size);
    put_number(text, size, &at, "window", s->window);
    put_number(text, size, &at, "sequences", s->n_seqs);
    put_number(text, size, &at, "start", s->start);
    put_number(text, size, &at, "interleaved", s->interleaved);
    put_number(text, size, &at, "in_place", s->in_place);
    put_number(text, size, &at, "strided", s->strided);
    put_number(text, size, &at, "bias", s->bias);
    put_number(text, size, &at, "residual", s->residual);
    put_number(text, size, &at, "seed", (int64_t)s->seed);
    if (at < size) snprintf(text + at, size - at, " numbers=%s", pattern_names[s->pattern]);
}
