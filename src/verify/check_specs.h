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
    uint64_t n;      /* the last case's seed */
    uint64_t state;  /* of the choices that turn */
    uint64_t seen;   /* cases made, visited or not */
    uint64_t stride; /* LEAN: only every so manieth is visited... */
    uint64_t phase;  /* ...from this one on */
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

/* Visits a case, whose pattern and numbers follow from the count of cases; now and then with a 16-bit output too. */
void emit(visitor *v, check_spec s);
/* The same, with numbers whose roundings are random. */
void emit_random(visitor *v, check_spec s);

/* check_specs_forms.c: forms of a case that some rows take beside it. */
void visit_forms(visitor *v, const check_spec *ordinary);
void product_forms(visitor *v, kop op);

/* Calls of many tokens are made with few outputs, or not at all. */
enum { MANY_TOKENS = 512 };

static inline const int64_t *token_counts(visitor *v, size_t *n) {
    static const int64_t many[] = {1, 2, 3, 8, 13, 64, 130, MANY_TOKENS}, few[] = {1, 3, 33};
    static const int64_t one_of[] = {1, 2, 3, 5, 8, 13};
    *n = v->level == CHECK_FULL ? COUNT(many) : v->level == CHECK_QUICK ? COUNT(few) : 1;
    return v->level == CHECK_FULL ? many : v->level == CHECK_QUICK ? few : &one_of[turn(v, COUNT(one_of))];
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

/* Cases of MATMUL and MATMUL_EXPERTS that every kind of weight has. */
void product_specs(visitor *v, kop op);

/* check_specs_mixed.c: mixtures of experts, delta nets, drawing tokens. */
void route_specs(visitor *v);
void matmul_experts_specs(visitor *v);
void sum_experts_specs(visitor *v);
void conv1d_specs(visitor *v);
void delta_gates_specs(visitor *v);
void delta_specs(visitor *v);
void sampling_specs(visitor *v, kop op);

#endif
