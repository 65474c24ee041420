/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks rows of the registry against the reference: makes calls of every shape, type and kind of numbers, runs rows on
 * them between guards, and compares by the error model of docs/verification.md. The kernel tests and `nibble verify`
 * are walks over the same cases. */
#ifndef NB_VERIFY_CHECK_H
#define NB_VERIFY_CHECK_H

#include "kernels/registry.h"

enum { CHECK_MAX_EXPERTS = 16 }; /* of a case's weight */

/* Kinds of numbers in the inputs. */
typedef enum check_pattern {
    CHECK_NORMAL,      /* random, about 1 */
    CHECK_SMALL,       /* random, about 1e-4 */
    CHECK_LARGE,       /* random, about 1e3 */
    CHECK_WIDE,        /* random exponents, 1e-6 to 1e4 */
    CHECK_ZERO,        /* all zero */
    CHECK_ONE_HOT,     /* one element in 61 is not zero */
    CHECK_SIGNED_ZERO, /* zeros of both signs, and now and then a number */
    CHECK_EXTREME,     /* 1e15, 1e-15, 0 and 1 of both signs */
    CHECK_SUBNORMAL,   /* fp32 numbers below the smallest normal one */
    CHECK_ALTERNATE,   /* one size, alternating signs */
    CHECK_PATTERNS
} check_pattern;

/* A call to make: everything about it but the numbers, which follow from pattern and seed. Fields that an operation
 * does not use are zero. */
typedef struct check_spec {
    kop op;
    check_pattern pattern;
    uint64_t seed;
    int64_t rows, cols; /* of y; KV_STORE: of x */
    int64_t k;          /* MATMUL, MATMUL_EXPERTS: inputs; CONV1D: kernel */
    int64_t parts;      /* RMSNORM, ROPE: heads; ATTENTION: query heads; DELTA: value heads */
    int64_t rotated;    /* ROPE */
    bool interleaved;   /* ROPE */
    bool in_place;      /* y is x; MATMUL: the residual */
    bool strided;       /* rows stand apart */
    bool bias;          /* MATMUL, MATMUL_EXPERTS; also ATTENTION's sinks and ROUTE's weights */
    bool residual;
    bool offset;     /* RMSNORM: 1 */
    kact act;        /* ACT_MUL, CONV1D */
    bool one_factor; /* ACT_MUL: x has one column */
    int64_t n_experts, n_chosen;
    bool normalize;          /* ROUTE */
    bool own_x;              /* MATMUL_EXPERTS: x has a part for each chosen expert */
    bool same_experts;       /* all tokens have chosen the same ones */
    int64_t n_keys, key_dim; /* DELTA */
    dtype x_type, y_type;
    int64_t group; /* of the form of x or y */
    wmode mode;
    dtype w_type; /* weights, scales, norm weights; DT_NONE: absent */
    int bits, group_size;
    bool no_biases; /* of an affine weight */
    dtype kv_type;
    int64_t kv_heads, head_dim, page_size, window;
    int64_t n_seqs, start; /* sequences in the call; KV: the position of the first one's first token */
} check_spec;

/* One line that names everything about a spec. */
void check_spec_text(const check_spec *s, char *text, size_t size);

typedef enum check_level { CHECK_QUICK, CHECK_FULL } check_level;

/* Calls visit for every spec of an operation; stops when it returns false. */
typedef bool check_visit(void *user, const check_spec *spec);
bool check_specs(kop op, check_level level, check_visit *visit, void *user);

/* One case at a time: the operands of a spec and what the reference says of them. */
typedef struct check check;
nb_status check_new(check **out, nb_error *err);
void check_free(check *c);
nb_status check_load(check *c, const check_spec *spec, nb_error *err);

/* Whether a row takes the loaded case, its weight being in the row's layout. */
bool check_takes(check *c, const krow *row);

/* Runs a row that has just been found to take the loaded case, after packing the weight: as a whole, in random pieces
 * and orders, and with fewer tokens. NB_OK when every element is within its bound, the runs agree bit for bit and
 * nothing else was written; else NB_ERR_INTERNAL with the row, the case and the first wrong element. */
nb_status check_row(check *c, const krow *row, nb_error *err);

/* The error model: the most that element of value y and magnitude mag (src/ref/ref.h) may be off, apart from rounding
 * into an activation form. */
double check_bound(const kcall *c, double y, double mag);
/* Half a step of an activation form, for a group whose largest element is `largest`, with the rounding of the step. */
double check_half_step(double largest);

/* Walks all specs of all operations over all rows of the registry. failed(user, text) hears of each failure (a row is
 * left alone after its third); running(user, row, spec) is told before each run and may be NULL. cases[i] counts those
 * that row i took. NB_OK: all right; a row that took no case is a failure. */
typedef struct check_report {
    void *user;
    void (*failed)(void *user, const char *text);
    void (*running)(void *user, const krow *row, const check_spec *spec);
} check_report;
nb_status check_walk(const kregistry *r, check_level level, const check_report *report, size_t *cases, nb_error *err);

#endif
