/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks rows of the registry against the reference: makes calls of every shape, type and kind of numbers, runs rows on
 * them between guards, and compares by the error model of docs/verification.md. The kernel tests and `nibble verify`
 * are walks over the same cases. */
#ifndef NB_VERIFY_CHECK_H
#define NB_VERIFY_CHECK_H

#include "kernels/device.h"
#include "verify/finding.h"

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
    int64_t k;          /* MATMUL, MATMUL_EXPERTS: inputs; CONV1D: kernel; DRAW: logits of a row */
    int64_t parts;      /* RMSNORM, ROPE: heads; ATTENTION: query heads; DELTA: value heads */
    int64_t rotated;    /* ROPE; KV_STORE: 0 without a table */
    bool interleaved;   /* ROPE, KV_STORE */
    bool normed;        /* MATMUL, ROPE, KV_STORE */
    bool in_place;      /* y is x (of PENALIZE always); MATMUL, SUM_EXPERTS, every other RMSNORM: the residual */
    bool strided;       /* rows stand apart */
    bool misaligned;    /* what a file stores lies at an odd address */
    bool bias;          /* MATMUL, MATMUL_EXPERTS; also ATTENTION's sinks and ROUTE's weights */
    bool residual;      /* MATMUL, RMSNORM, SUM_EXPERTS */
    bool offset;        /* RMSNORM, what is normed: 1 */
    bool scaled;        /* RMSNORM */
    kact act;           /* ACT_MUL, CONV1D; MATMUL, MATMUL_EXPERTS: of gated pairs */
    bool one_factor;    /* ACT_MUL: x has one column */
    int64_t n_experts, n_chosen;
    bool normalize;          /* ROUTE */
    bool own_x;              /* MATMUL_EXPERTS: x has a part for each chosen expert */
    bool same_experts;       /* all tokens have chosen the same ones */
    int64_t n_keys, key_dim; /* DELTA */
    bool samplers;           /* PENALIZE, DRAW: each row has one of its own */
    dtype x_type, y_type;
    int64_t group; /* of the form of x or y */
    wmode mode;
    dtype w_type; /* weights, scales, norm weights; DT_NONE: absent */
    int bits, group_size;
    bool no_biases;                     /* of an affine weight */
    bool as_many_outputs, as_long_rows; /* of a weight (kweight) */
    dtype kv_type;
    int64_t kv_heads, head_dim, page_size, window;
    int64_t softcap;       /* ATTENTION; 0: none */
    int64_t n_seqs, start; /* sequences in the call; KV: the position of the first one's first token */
} check_spec;

/* One line that names everything about a spec. */
void check_spec_text(const check_spec *s, char *text, size_t size);

/* LEAN: every row meets a case or two. QUICK: the types and sizes that kernels tell apart. FULL: all of it. */
typedef enum check_level { CHECK_LEAN, CHECK_QUICK, CHECK_FULL } check_level;

/* Calls visit for every spec of an operation; stops when it returns false. Another seed makes other numbers and other
 * choices of what is not gone through in full. */
typedef bool check_visit(void *user, const check_spec *spec);
bool check_specs(kop op, check_level level, uint64_t seed, check_visit *visit, void *user);
/* Those of all operations that the registry has rows of. */
bool check_each(const kregistry *r, check_level level, uint64_t seed, check_visit *visit, void *user);

/* One case at a time: the operands of a spec and what the reference says of them. */
typedef struct check check;
nb_status check_new(check **out, nb_error *err);
void check_free(check *c);

/* Hears of each run of a row, and of packing for it: just before, when its code is loaded, with the seconds that the
 * reference took for as much; and after. What a check does besides, the reference above all, is no row's time. */
typedef struct check_clock {
    void (*begins)(void *user, double reference);
    void (*ends)(void *user);
    void *user;
} check_clock;
void check_set_clock(check *c, const check_clock *clock);

nb_status check_load(check *c, const check_spec *spec, nb_error *err);
/* The same, unless the case has a fused part or activations of 16 bits and no row of the registry takes it: what is of
 * no use is not filled with numbers. *taken: whether it was loaded. */
nb_status check_load_for(check *c, const check_spec *spec, const kregistry *r, bool *taken, nb_error *err);

/* Whether a row takes the loaded case, its weight being in the row's layout. */
bool check_takes(check *c, const krow *row);

/* Runs a row that has just been found to take the loaded case, after packing the weight: as a whole, twice, then in
 * random pieces and orders, and with fewer tokens. NB_OK: found->kind says whether anything was wrong, *worst is the
 * largest error as a share of its bound. Errors: no memory; a device that is lost, which session.c blames on the row.
 */
nb_status check_row(check *c, device *d, const krow *row, finding *found, double *worst, nb_error *err);

/* Seconds that a row takes for the loaded case, which it takes: the fastest of several runs, on one thread. */
nb_status check_time(check *c, device *d, const krow *row, double min_seconds, double *seconds, nb_error *err);

/* Whether the numbers of a spec are such that roundings are random (src/ref/variance.c), so that check_row also looks
 * at the errors as a whole. */
bool check_is_random(const check_spec *spec);

/* Where a faulting address lies, if it is in the unreadable page behind an operand: "2 bytes past the end of x"; else
 * NULL. May be called in the handler of a signal. */
enum { CHECK_ADDRESS_TEXT = 64 };
const char *check_address_text(const check *c, const void *address, char text[CHECK_ADDRESS_TEXT]);

/* Calls whose operands reach past 2^31 elements, in memory of which only what is touched exists. n counts those that
 * the row was run on, left_out those for which there was no memory; the first that is wrong ends it. */
typedef struct check_far_count {
    int64_t n, left_out;
} check_far_count;
nb_status check_far(device *d, const krow *row, uint64_t seed, const check_clock *clock, finding *found,
                    check_far_count *count, double *worst, nb_error *err); /* clock: may be NULL */

/* Walks all specs of all operations over all rows of the device's registry, tallies[i] being of row i. found(user, f)
 * hears of each finding (a row is left alone after its third); running(user, row, spec) is told before each run and may
 * be NULL. A row that took no case is a finding too. An error is no row's fault. */
typedef struct check_tally {
    size_t cases, findings;
    int64_t far_left_out;
    double worst; /* the largest error, as a share of its bound */
} check_tally;
typedef struct check_report {
    void *user;
    void (*found)(void *user, const finding *f);
    void (*running)(void *user, const krow *row, const check_spec *spec);
} check_report;
nb_status check_walk(device *d, check_level level, uint64_t seed, const check_report *report, check_tally *tallies,
                     nb_error *err);

#endif
