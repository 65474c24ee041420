/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs an instruction on operands of its types and compares each lane with what an expectation says: all corner values
 * with one another first, then random ones with random modifiers and modes. */
#ifndef NB_TESTS_GFX_CHECK_H
#define NB_TESTS_GFX_CHECK_H

#include "gfx/valu.h"
#include "gfx/valu_check/exact.h"

/* One lane. s are whole operands, 32 or 64 bits, before modifiers. */
typedef struct lane {
    const gfx_valu *op;
    const gfx_valu_in *in;
    uint64_t s[3];
    bool bit; /* carry or condition */
} lane;

typedef struct result {
    uint64_t value;
    bool bit;
    bool any; /* not looked at: nothing says what it is */
} result;

typedef result expectation(const lane *x);

/* What of modifiers and modes may be set when it is random. */
enum {
    VARY_SIGNS = 1,   /* neg and abs */
    VARY_OUT = 2,     /* clamp and omod */
    VARY_MODE = 4,    /* rounding, denormals, ieee, dx10_clamp */
    VARY_CLAMP = 8,   /* of integers */
    VARY_PACKED = 16, /* op_sel, op_sel_hi, neg, neg_hi */
    VARY_HALVES = 32, /* op_sel of 16-bit sources */
    VARY_NEG = 64,    /* neg only */
};

typedef struct check {
    const char *name;
    expectation *expect;
    unsigned vary;
} check;

void check_all(const check *checks, unsigned n);
/* One batch with given operands; fails with operands and results in the message. */
void check_lanes(const gfx_valu *op, const gfx_valu_in *in, expectation *expect);
bool check_was_done(const char *name);
void check_mark(const char *name);

uint64_t random64(void);
/* A value of the type: a corner or random bits. */
uint64_t some_value(gfx_type t);
/* All corners of a type; returns how many. */
unsigned corners(gfx_type t, const uint64_t **list);

/* ---- for expectations ---- */

format format_of(gfx_type t);
unsigned round_of(const lane *x, format f);
bool keeps_in(const lane *x, format f);  /* denormals of sources */
bool keeps_out(const lane *x, format f); /* and of results */
/* Source k as a float of the format: half, abs, neg, flushing. */
uint64_t float_source(const lane *x, unsigned k, format f);
/* Source k as bits of a 16-bit operand. */
uint32_t half_source(const lane *x, unsigned k);
/* Flushing, output modifier, clamp. */
uint64_t float_result(const lane *x, format f, uint64_t bits);
/* x^0 of n sources' NaNs: what valu.h says comes out. False: none is one. */
bool nan_result(format f, const uint64_t *s, unsigned n, uint64_t *out);

/* a b + c 2^scale, exactly and then rounded once. */
uint64_t fused(format f, uint64_t a, uint64_t b, uint64_t c, int scale, unsigned mode);

static inline result value(uint64_t v) {
    return (result){.value = v};
}

#endif
