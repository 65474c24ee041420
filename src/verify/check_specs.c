/* SPDX-License-Identifier: Apache-2.0
 *
 * Which cases are made: per operation, the types and sizes that kernels tell apart are gone through in full, and the
 * other choices (pattern of numbers, strides, in place, ...) turn with a counter whose steps have no common divisor, so
 * that all their pairs come up. */
#include "verify/check_specs.h"

/* ---- Making a case ------------------------------------------------------------------------------------------- */

/* About what the reference's work is, in products. */
static int64_t cost_of(const check_spec *s) {
    int64_t keys = s->op == KOP_ATTENTION ? s->start + s->rows / s->n_seqs : 1;
    int64_t inputs = s->op == KOP_DELTA ? s->key_dim : s->k;
    return s->rows * s->cols * (inputs > 0 ? inputs : 1) * keys;
}

static bool has_float_output(const check_spec *s) {
    const bool other = s->op == KOP_KV_STORE || s->op == KOP_QUANTIZE || s->op == KOP_PENALIZE || s->op == KOP_DRAW;
    return !other && (s->y_type == DT_F32 || s->y_type == DT_NONE);
}

static void visit_case(visitor *v, check_spec s) {
    if (v->stopped) return;
    s.misaligned = s.seed % 7 < 2;
    v->stopped = !v->visit(v->user, &s);
    if (!v->stopped) visit_forms(v, &s);
    uint64_t choice = s.seed * 0x9e3779b97f4a7c15u >> 56; /* not in step with any list */
    if (v->stopped || v->level == CHECK_LEAN || choice % 3 != 0 || !has_float_output(&s)) return;
    s.y_type = choice / 3 % 2 ? DT_F16 : DT_BF16;
    s.in_place = false;
    v->stopped = !v->visit(v->user, &s);
}

void emit(visitor *v, check_spec s) {
    bool skipped = v->seen++ % v->stride != v->phase;
    if (s.rows == MANY_TOKENS && !kop_is_product(s.op)) skipped = v->seen % 4 != 0 || cost_of(&s) > 1 << 22;
    s.seed = ++v->n;
    s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
    if (!skipped) visit_case(v, s);
}

void emit_random(visitor *v, check_spec s) {
    s.pattern = CHECK_NORMAL;
    do s.seed = ++v->n;
    while (!check_is_random(&s));
    visit_case(v, s);
}

/* ---- MATMUL, EMBED ------------------------------------------------------------------------------------------- */

check_spec float_mode_spec(kop op, int64_t rows, size_t i) {
    static const check_spec modes[FLOAT_MODES] = {
        {.mode = W_MXFP4, .bits = 4, .group_size = 32},
        {.mode = W_MXFP8, .bits = 8, .group_size = 32},
        {.mode = W_NVFP4, .bits = 4, .group_size = 16},
    };
    check_spec s = modes[i];
    s.op = op;
    s.rows = rows;
    s.w_type = DT_U8;
    return s;
}

/* Outputs: multiples of tiles of 4 to 64 rows, one more, one less, primes, one. */
static void matmul_each(visitor *v, check_spec s, const int64_t *ks, size_t n_ks, int times) {
    static const int64_t outputs[] = {1, 7, 8, 15, 16, 17, 31, 32, 33, 37, 48, 63, 64, 65, 127, 130};
    static const int64_t few_outputs[] = {1, 7, 8, 15, 16, 17, 33};
    bool many = s.rows == MANY_TOKENS;
    for (int i = 0; i < (many ? 1 : times); i++) {
        s.k = ks[many ? 0 : turn(v, n_ks)];
        s.cols = many ? TURN(few_outputs) : TURN(outputs);
        s.bias = coin(v);
        s.residual = coin(v);
        s.in_place = s.residual && coin(v);
        s.strided = coin(v);
        s.no_biases = s.mode == W_AFFINE && turn(v, 8) == 0;
        emit(v, s);
    }
}

/* Forms of activations go with check_groups of 32 or more (lower_form_group in src/plan/lower.h). */
static void float_modes_each(visitor *v, int64_t rows, int times) {
    for (size_t i = 0; i < FLOAT_MODES; i++) {
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

/* Affine weights of one width and size of groups. Rows that read x in fp32 know no groups: fewer cases do for them. */
static void affine_each(visitor *v, int64_t rows, dtype type, int bits, int64_t group, int times) {
    int64_t lengths[] = {group, 2 * group, 3 * group, 5 * group, 9 * group};
    check_spec s = {.op = KOP_MATMUL, .rows = rows, .mode = W_AFFINE, .w_type = type, .bits = bits};
    s.group_size = (int)group;
    s.x_type = DT_F32;
    if (v->level == CHECK_FULL) matmul_each(v, s, lengths, COUNT(lengths), 1);
    s.x_type = DT_XI8X3;
    s.group = group;
    matmul_each(v, s, lengths, v->level == CHECK_LEAN ? 3 : COUNT(lengths), 2 * times);
}

/* Every kind of weight once, as `each` will have it. */
static void every_weight(visitor *v, check_spec s, void (*each)(visitor *, check_spec)) {
    for (size_t type = 0; type < COUNT(check_stored); type++) {
        s.w_type = check_stored[type];
        s.x_type = DT_F32;
        s.k = 33;
        each(v, s);
        for (size_t i = 0; i < COUNT(check_widths) * COUNT(check_groups); i++) {
            check_spec affine = s;
            affine.mode = W_AFFINE;
            affine.bits = check_widths[i / COUNT(check_groups)];
            affine.group = check_groups[i % COUNT(check_groups)];
            affine.group_size = (int)affine.group;
            affine.k = affine.group;
            affine.x_type = DT_XI8X3;
            each(v, affine);
            if (affine.group != 32 || s.w_type != DT_BF16) continue;
            affine.group = 0;
            affine.x_type = DT_F32;
            each(v, affine);
        }
    }
    for (size_t i = 0; i < FLOAT_MODES; i++) {
        check_spec float_mode = float_mode_spec(s.op, s.rows, i);
        float_mode.cols = s.cols;
        float_mode.n_experts = s.n_experts;
        float_mode.n_chosen = s.n_chosen;
        float_mode.k = float_mode.group_size;
        float_mode.x_type = DT_F32;
        each(v, float_mode);
        float_mode.group = float_mode.group_size;
        float_mode.x_type = DT_XI8X3;
        if (float_mode.mode == W_MXFP4) each(v, float_mode);
    }
}

/* So many outputs that a fault in one of a million shows. */
static void a_million(visitor *v, check_spec s) {
    emit_random(v, s);
}

/* So many tokens and terms that errors can be judged as a whole. */
static void long_sums(visitor *v, check_spec s) {
    static const dtype outputs[] = {DT_F32, DT_F16, DT_BF16};
    s.k *= s.mode == W_PLAIN ? 31 : 8;
    for (size_t i = 0; i < COUNT(outputs); i++) {
        s.y_type = outputs[i];
        emit_random(v, s);
    }
}

void product_specs(visitor *v, kop op) {
    check_spec s = {.op = op, .rows = 33, .cols = 34};
    if (op == KOP_MATMUL_EXPERTS) s.n_experts = 3, s.n_chosen = 2;
    if (v->level != CHECK_LEAN) every_weight(v, s, long_sums);
    s.rows = 1009;
    s.cols = 1000;
    if (v->level == CHECK_FULL) every_weight(v, s, a_million);
    product_forms(v, op);
}

static void matmul_specs(visitor *v) {
    static const int64_t ks[] = {1, 7, 8, 15, 16, 17, 31, 33, 64, 100, 127, 129, 256, 576};
    int times = v->level == CHECK_FULL ? 6 : 2;
    FOR_TOKENS(rows) {
        float_modes_each(v, rows, times);
        for (size_t type = 0; type < COUNT(check_stored); type++) {
            check_spec plain = {.op = KOP_MATMUL, .rows = rows, .mode = W_PLAIN, .w_type = check_stored[type]};
            plain.x_type = DT_F32;
            matmul_each(v, plain, ks, COUNT(ks), 2 * times);
            plain.x_type = DT_XI8X3;
            plain.group = TURN(check_groups);
            matmul_each(v, plain, (int64_t[]){plain.group, 3 * plain.group}, 2, times);
            for (size_t i = 0; i < COUNT(check_widths) * COUNT(check_groups); i++)
                affine_each(v, rows, check_stored[type], check_widths[i / COUNT(check_groups)],
                            check_groups[i % COUNT(check_groups)], times);
        }
    }
    for (size_t width = 0; v->level != CHECK_FULL && width < COUNT(check_widths); width++) {
        int64_t lengths[] = {64, 320};
        check_spec s = {.op = KOP_MATMUL, .rows = 3, .mode = W_AFFINE, .w_type = DT_BF16, .x_type = DT_F32};
        s.bits = check_widths[width];
        s.group_size = 64;
        matmul_each(v, s, lengths, COUNT(lengths), v->level == CHECK_LEAN ? 4 : 1);
    }
    product_specs(v, KOP_MATMUL);
}

static void embed_specs(visitor *v) {
    static const int64_t plain_cols[] = {1, 7, 16, 33, 64, 577};
    FOR_TOKENS(rows) {
        for (size_t type = 0; type < COUNT(check_stored); type++) {
            check_spec s = {.op = KOP_EMBED, .rows = rows, .y_type = DT_F32, .w_type = check_stored[type]};
            s.mode = W_PLAIN;
            for (size_t i = 0; i < COUNT(plain_cols); i++) {
                s.cols = plain_cols[i];
                s.strided = coin(v);
                emit(v, s);
            }
            s.mode = W_AFFINE;
            for (size_t i = 0; i < COUNT(check_widths) * COUNT(check_groups); i++) {
                s.bits = check_widths[i / COUNT(check_groups)];
                s.group_size = (int)check_groups[i % COUNT(check_groups)];
                s.cols = s.group_size * (int64_t)(1 + turn(v, 4));
                s.strided = coin(v);
                s.no_biases = turn(v, 8) == 0;
                emit(v, s);
            }
        }
        for (size_t i = 0; i < 2 * FLOAT_MODES; i++) {
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
                s.offset = s.w_type != DT_NONE && coin(v);
                s.in_place = coin(v);
                s.strided = coin(v);
                emit(v, s);
            }
        }
        for (size_t i = 0; i < 2 * COUNT(check_groups) * COUNT(weights); i++) {
            check_spec s = {.op = KOP_RMSNORM, .rows = rows, .x_type = DT_F32, .parts = 1};
            s.y_type = DT_XI8X3;
            s.group = check_groups[i % 3];
            s.w_type = weights[i / 6];
            s.offset = s.w_type != DT_NONE && coin(v);
            s.cols = s.group * (int64_t)(1 + turn(v, 9));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* QUANTIZE, ACT_MUL, ADD, SELECT_ROWS, SELECT_COLS, SCALE, SOFTCAP: only rows and columns matter. */
static void columns_specs(visitor *v, kop op) {
    bool gathers = op == KOP_SELECT_ROWS || op == KOP_SELECT_COLS;
    FOR_TOKENS(rows) {
        for (size_t i = 0; op != KOP_QUANTIZE && i < COUNT(lengths); i++) {
            for (int variant = 0; variant < 2; variant++) {
                check_spec s = {.op = op, .rows = rows, .cols = lengths[i], .x_type = DT_F32, .y_type = DT_F32};
                s.in_place = variant == 1 && !gathers;
                s.strided = coin(v);
                emit(v, s);
            }
        }
        for (size_t i = 0; op == KOP_QUANTIZE && i < COUNT(check_groups) * 8; i++) {
            check_spec s = {.op = op, .rows = rows, .x_type = DT_F32, .y_type = DT_XI8X3};
            s.group = check_groups[i % 3];
            s.cols = s.group * (int64_t)(1 + turn(v, 20));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

static void act_mul_specs(visitor *v) {
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(lengths) * ACT_COUNT; i++) {
            check_spec s = {.op = KOP_ACT_MUL, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.act = (kact)(i % ACT_COUNT);
            s.cols = lengths[i / ACT_COUNT];
            s.one_factor = turn(v, 4) == 0;
            s.in_place = !s.one_factor && coin(v);
            s.strided = coin(v);
            emit(v, s);
        }
        for (size_t i = 0; i < COUNT(check_groups) * ACT_COUNT * 2; i++) {
            check_spec s = {.op = KOP_ACT_MUL, .rows = rows, .x_type = DT_F32, .y_type = DT_XI8X3};
            s.act = (kact)(i % ACT_COUNT);
            s.group = check_groups[i % 3];
            s.cols = s.group * (int64_t)(1 + turn(v, 20));
            s.one_factor = turn(v, 4) == 0;
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
        for (size_t i = 0; i < COUNT(head_dims) * COUNT(check_stored); i++) {
            check_spec s = {.op = KOP_KV_STORE, .rows = rows, .x_type = DT_F32};
            s.head_dim = head_dims[i / 3];
            s.kv_type = check_stored[i % 3];
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
    static const int64_t windows[] = {0, 0, 1, 17, 64}, caps[] = {0, 0, 2, 50};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(head_dims) * COUNT(check_stored) * (v->level == CHECK_FULL ? 3 : 1); i++) {
            check_spec s = {.op = KOP_ATTENTION, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.head_dim = head_dims[i / 3 % COUNT(head_dims)];
            s.kv_type = check_stored[i % 3];
            s.kv_heads = (int64_t)(1 + turn(v, 3));
            s.parts = s.kv_heads * (int64_t)(1 + turn(v, 4));
            if (rows * s.head_dim > 64 * 64) s.kv_heads = 1, s.parts = (int64_t)(1 + turn(v, 2));
            s.cols = s.parts * s.head_dim;
            s.page_size = TURN(page_sizes);
            s.start = TURN(starts);
            s.window = TURN(windows);
            s.softcap = TURN(caps);
            s.bias = turn(v, 3) == 0;
            s.n_seqs = min_i64(rows, coin(v) ? 1 : (int64_t)(1 + turn(v, 5)));
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* Of what a lean walk leaves out: the step has no divisor with the lengths of the lists, so that all their entries come
 * up. */
static uint64_t lean_stride(kop op) {
    switch (op) {
    case KOP_MATMUL:
        return 4;
    case KOP_MATMUL_EXPERTS:
        return 2;
    case KOP_ATTENTION:
    case KOP_KV_STORE:
        return 5;
    case KOP_ROPE_TABLE:
    case KOP_DELTA:
        return 1;
    case KOP_PENALIZE:
    case KOP_DRAW:
        return 3;
    default:
        return 7;
    }
}

bool check_specs(kop op, check_level level, uint64_t seed, check_visit *visit, void *user) {
    visitor all = {.level = level, .visit = visit, .user = user}, *v = &all;
    v->state = ((uint64_t)op + 1) ^ seed * 0x9e3779b97f4a7c15u;
    v->n = seed * 1000003; /* seeds of cases do not meet those of another walk */
    v->stride = level == CHECK_LEAN ? lean_stride(op) : 1;
    if (v->stride > 1) v->phase = turn(v, v->stride);
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
    case KOP_ACT_MUL:
        act_mul_specs(v);
        break;
    case KOP_QUANTIZE:
    case KOP_ADD:
    case KOP_SELECT_ROWS:
    case KOP_SELECT_COLS:
    case KOP_SCALE:
    case KOP_SOFTCAP:
        columns_specs(v, op);
        break;
    case KOP_ROUTE:
        route_specs(v);
        break;
    case KOP_MATMUL_EXPERTS:
        matmul_experts_specs(v);
        break;
    case KOP_SUM_EXPERTS:
        sum_experts_specs(v);
        break;
    case KOP_CONV1D:
        conv1d_specs(v);
        break;
    case KOP_DELTA_GATES:
        delta_gates_specs(v);
        break;
    case KOP_DELTA:
        delta_specs(v);
        break;
    case KOP_PENALIZE:
    case KOP_DRAW:
        sampling_specs(v, op);
        break;
    case KOP_COUNT:
        break;
    }
    return !v->stopped;
}
