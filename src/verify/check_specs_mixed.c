/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of mixtures of experts, of delta nets, and of drawing tokens. */
#include "verify/check_specs.h"

/* ---- Experts ------------------------------------------------------------------------------------------------- */

/* Few experts for many tokens and many for few, one, all of them chosen. */
static const struct {
    int64_t n_experts, n_chosen;
} mixtures[] = {{1, 1}, {2, 1}, {3, 2}, {4, 4}, {5, 3}, {7, 1}, {8, 2}, {9, 4}};

static void choose_mixture(visitor *v, check_spec *s) {
    size_t i = turn(v, COUNT(mixtures));
    s->n_experts = mixtures[i].n_experts;
    s->n_chosen = mixtures[i].n_chosen;
}

void route_specs(visitor *v) {
    static const int64_t larger[] = {16, 31, 32, 60, 128, 256}, chosen[] = {1, 2, 4, 6, 8, 10};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < 4 * (COUNT(mixtures) + COUNT(larger)); i++) {
            check_spec s = {.op = KOP_ROUTE, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            choose_mixture(v, &s);
            if (i % 2) {
                s.n_experts = TURN(larger);
                s.n_chosen = TURN(chosen);
            }
            s.cols = 2 * s.n_chosen;
            s.normalize = coin(v);
            s.bias = coin(v);
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* What a kernel tells apart: the mode, the form of x. The rest turns. */
static void experts_each(visitor *v, check_spec s, const int64_t *ks, size_t n_ks, int times) {
    static const int64_t outputs[] = {1, 7, 8, 15, 16, 17, 31, 33, 48, 65};
    bool many = s.rows == MANY_TOKENS;
    for (int i = 0; i < (many ? 1 : times); i++) {
        choose_mixture(v, &s);
        s.k = ks[many ? 0 : turn(v, n_ks)];
        s.cols = s.n_chosen * TURN(outputs);
        s.bias = coin(v);
        s.own_x = coin(v);
        s.same_experts = turn(v, 4) == 0;
        s.strided = coin(v);
        emit(v, s);
    }
}

static void quantized_experts(visitor *v, check_spec s, int times) {
    int64_t group = s.group_size, ks[] = {group, 2 * group, 3 * group, 5 * group};
    s.x_type = DT_F32;
    experts_each(v, s, ks, COUNT(ks), times);
    if (s.mode == W_NVFP4) return;
    s.x_type = DT_XI8X3;
    s.group = group;
    experts_each(v, s, ks, COUNT(ks), 2 * times);
}

/* A size of groups a round, so that each width meets each size with each type; a lean walk has one round. */
static void affine_experts(visitor *v, check_spec s, size_t round, int times) {
    s.mode = W_AFFINE;
    for (size_t i = 0; i < COUNT(check_widths) * COUNT(check_groups); i++) {
        size_t width = i / COUNT(check_groups), group = i % COUNT(check_groups);
        if (v->level != CHECK_LEAN && group != (round + width) % COUNT(check_groups)) continue;
        s.bits = check_widths[width];
        s.group_size = (int)check_groups[group];
        s.no_biases = turn(v, 8) == 0;
        quantized_experts(v, s, times);
    }
}

void matmul_experts_specs(visitor *v) {
    static const int64_t plain_ks[] = {1, 7, 16, 33, 64, 100, 256};
    const int times = v->level == CHECK_FULL ? 3 : 1;
    size_t round = 0;
    FOR_TOKENS(rows) {
        for (size_t type = 0; type < COUNT(check_stored); type++) {
            check_spec s = {.op = KOP_MATMUL_EXPERTS, .rows = rows, .w_type = check_stored[type], .x_type = DT_F32};
            experts_each(v, s, plain_ks, COUNT(plain_ks), 3 * times);
            affine_experts(v, s, round, times);
        }
        for (size_t i = 0; i < FLOAT_MODES; i++)
            quantized_experts(v, float_mode_spec(KOP_MATMUL_EXPERTS, rows, i), 3 * times);
        round++;
    }
    product_specs(v, KOP_MATMUL_EXPERTS);
}

void sum_experts_specs(visitor *v) {
    static const int64_t lengths[] = {1, 7, 8, 16, 17, 33, 100, 577};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < 4 * COUNT(lengths); i++) {
            check_spec s = {.op = KOP_SUM_EXPERTS, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.cols = lengths[i % COUNT(lengths)];
            choose_mixture(v, &s);
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

/* ---- Delta nets ---------------------------------------------------------------------------------------------- */

static int64_t some_sequences(visitor *v, int64_t rows) {
    return min_i64(rows, coin(v) ? 1 : (int64_t)(1 + turn(v, 5)));
}

void conv1d_specs(visitor *v) {
    static const int64_t channels[] = {1, 7, 8, 16, 31, 64, 65, 100, 257}, kernels[] = {2, 3, 4, 4, 7};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(channels) * COUNT(check_stored) * 2; i++) {
            check_spec s = {.op = KOP_CONV1D, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.cols = channels[i / 6];
            s.k = TURN(kernels);
            s.w_type = check_stored[i % 3];
            s.act = coin(v) ? ACT_SILU : ACT_NONE;
            s.n_seqs = some_sequences(v, rows);
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

void delta_gates_specs(visitor *v) {
    static const int64_t heads[] = {1, 4, 7, 8, 16, 17, 32, 48, 64};
    FOR_TOKENS(rows) {
        for (size_t i = 0; i < COUNT(heads) * 3; i++) {
            check_spec s = {.op = KOP_DELTA_GATES, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            s.cols = 2 * heads[i / 3];
            s.w_type = check_stored[i % 3];
            s.strided = coin(v);
            emit(v, s);
        }
    }
}

void delta_specs(visitor *v) {
    static const int64_t key_dims[] = {4, 7, 8, 16, 24, 33, 64, 100, 128, 192, 256};
    static const int64_t value_dims[] = {1, 5, 8, 16, 17, 32, 64, 128};
    FOR_TOKENS(rows) {
        size_t n = v->level == CHECK_LEAN ? 3 : COUNT(key_dims) * (v->level == CHECK_FULL ? 4 : 2);
        for (size_t i = 0; i < n; i++) {
            check_spec s = {.op = KOP_DELTA, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
            bool usual = v->level == CHECK_LEAN && i == 0; /* what vectors of every width take */
            s.key_dim = usual ? 64 : v->level == CHECK_LEAN ? TURN(key_dims) : key_dims[i % COUNT(key_dims)];
            s.n_keys = (int64_t)(1 + turn(v, 3));
            s.parts = s.n_keys * (int64_t)(1 + turn(v, 3));
            int64_t value_dim = usual ? 16 : TURN(value_dims);
            if (rows * s.parts * s.key_dim * value_dim > 1 << 20) s.n_keys = s.parts = 1;
            s.cols = s.parts * value_dim;
            s.n_seqs = some_sequences(v, rows);
            s.strided = coin(v);
            emit(v, s);
        }
    }
    /* Prompts, for rows that take several tokens at a time: whole ones, and with rests of all sizes. */
    static const int64_t prompts[] = {128, 131, 143, 160, 250};
    for (size_t i = 0; i < (v->level == CHECK_LEAN ? 1 : COUNT(prompts) * 2); i++) {
        check_spec s = {.op = KOP_DELTA, .rows = prompts[turn(v, COUNT(prompts))], .x_type = DT_F32, .y_type = DT_F32};
        s.key_dim = i % 2 ? 128 : 64;
        s.n_keys = 1;
        s.parts = (int64_t)(1 + turn(v, 2));
        s.cols = s.parts * 16;
        s.n_seqs = some_sequences(v, s.rows);
        emit(v, s);
    }
}

/* ---- Drawing tokens ------------------------------------------------------------------------------------------ */

/* Every second case has logits as a model's (load_logits in check_case.c). */
static void sampling_case(visitor *v, kop op, int64_t rows, int64_t vocab, size_t i, bool samplers) {
    check_spec s = {.op = op, .rows = rows, .x_type = DT_F32, .y_type = DT_F32};
    s.in_place = op == KOP_PENALIZE;
    s.cols = op == KOP_PENALIZE ? vocab : 1;
    s.k = op == KOP_DRAW ? vocab : 0;
    s.samplers = op == KOP_PENALIZE || samplers;
    s.strided = coin(v);
    if (i % 2)
        emit_random(v, s);
    else
        emit(v, s);
}

/* Smaller than a kernel's slices are many, and larger. All vocabularies for so many tokens at once, and so on. */
void sampling_specs(visitor *v, kop op) {
    static const int64_t vocabularies[] = {1, 127, 11, 1009, 128, 3001, 2, 500, 129}, real[] = {49152, 151936, 248320};
    static const int64_t rows[] = {3, 8, 1, 33};
    const size_t each = COUNT(vocabularies), n = v->level == CHECK_FULL ? 4 : v->level == CHECK_QUICK ? 2 : 1;
    for (size_t i = 0; i < n * each; i++)
        sampling_case(v, op, rows[i / each], vocabularies[i % each], i, (i + i / each) % 3 != 1);
    for (size_t i = 0; v->level == CHECK_FULL && i < COUNT(real) * 4; i++)
        sampling_case(v, op, (int64_t)(1 + turn(v, 3)), real[i / 4], i, i % 4 > 0);
}
