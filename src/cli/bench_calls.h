/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls with which kernels are timed: typical shapes, random operands. */
#ifndef NB_CLI_BENCH_CALLS_H
#define NB_CLI_BENCH_CALLS_H

#include "kernels/kernel.h"

enum { BENCH_CALL_MEMORY = 16 };

typedef struct bench_call {
    kcall call;
    kweight w;
    char what[96];       /* the shape, for people */
    double bytes, flops; /* that it cannot do without */
    void *memory[BENCH_CALL_MEMORY];
    int n_memory;
    bool failed; /* out of memory */
} bench_call;

/* How many different calls of its operation bench_call_init can make for a row, for so many tokens; most suit only some
 * rows. */
int bench_call_variants(const krow *row);
/* Makes one. False when the row does not take it, or (call->failed) there is no memory; bench_call_free in any case. */
bool bench_call_init(bench_call *b, const krow *row, int variant, int64_t n_tokens);
void bench_call_free(bench_call *b);

#endif
