/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes up cases: choices that turn with a counter, and tables that several operations share. Internal to the
 * check. */
#ifndef NB_VERIFY_CHECK_SPECS_H
#define NB_VERIFY_CHECK_SPECS_H

#include "base/num.h"
#include "verify/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TURN(array)  ((array)[turn(v, COUNT(array))])

typedef struct visitor {
    check_level level;
    check_visit *visit;
    void *user;
    uint64_t n;     /* cases made */
    uint64_t state; /* of the choices that turn */
    bool stopped;
} visitor;

/* A number below n that depends on the state: the high bits of a linear congruence (Knuth's MMIX constants). */
static inline size_t turn(visitor *v, size_t n) {
    v->state = v->state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)((v->state >> 33) % n);
}

static inline bool coin(visitor *v) {
    return turn(v, 2) == 1;
}

static inline void emit(visitor *v, check_spec s) {
    if (v->stopped) return;
    s.seed = ++v->n;
    s.pattern = (check_pattern)(v->n % CHECK_PATTERNS);
    v->stopped = !v->visit(v->user, &s);
}

static inline const int64_t *token_counts(const visitor *v, size_t *n) {
    static const int64_t many[] = {1, 2, 3, 5, 8, 13, 33, 64, 130}, few[] = {1, 3, 33};
    *n = v->level == CHECK_FULL ? COUNT(many) : COUNT(few);
    return v->level == CHECK_FULL ? many : few;
}

#define FOR_TOKENS(rows)                                                                                               \
    size_t n_counts_;                                                                                                  \
    const int64_t *counts_ = token_counts(v, &n_counts_);                                                              \
    for (int64_t rows, i_ = 0; i_ < (int64_t)n_counts_ && (rows = counts_[i_], true); i_++)

static const int check_widths[] = {2, 3, 4, 5, 6, 8};
static const int64_t check_groups[] = {32, 64, 128};
static const dtype check_stored[] = {DT_F32, DT_F16, DT_BF16};

/* The modes whose codes are small floats: there is one width and group for each. */
enum { FLOAT_MODES = 3 };
check_spec float_mode_spec(kop op, int64_t rows, size_t i);

/* check_specs_mixed.c: mixtures of experts and delta nets. */
void route_specs(visitor *v);
void matmul_experts_specs(visitor *v);
void sum_experts_specs(visitor *v);
void conv1d_specs(visitor *v);
void delta_gates_specs(visitor *v);
void delta_specs(visitor *v);

#endif
