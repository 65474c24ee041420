/* SPDX-License-Identifier: Apache-2.0
 *
 * How MATMUL_EXPERTS falls into tasks. Which experts a batch chooses is known only when it runs, so the tasks of one
 * matrix are repeated for each of `units`: with few tokens a unit is a (token, slot) pair, with many an expert. A unit
 * multiplies all pairs of its expert at once, so that a matrix is read once; a pair whose expert an earlier pair has
 * chosen too has nothing left to do. */
#ifndef NB_CPU_EXPERTS_H
#define NB_CPU_EXPERTS_H

#include "base/num.h"
#include "kernels/kernel.h"

static inline int64_t experts_n_pairs(const kcall *c) {
    return c->x.rows * c->n_chosen;
}

static inline int64_t experts_units(const kcall *c) {
    return max_i64(1, min_i64(experts_n_pairs(c), c->w->n_experts));
}

/* Bytes of a list of pairs. */
static inline size_t experts_scratch(const kcall *c) {
    return (size_t)experts_n_pairs(c) * sizeof(int32_t);
}

/* The expert of the pair t * n_chosen + s, as ROUTE wrote it. */
static inline float expert_of(const kcall *c, int64_t pair) {
    return ((const float *)c->z.data)[pair / c->n_chosen * c->z.stride + pair % c->n_chosen];
}

/* Lists a unit's pairs, in order, and sets its expert; returns how many there are. */
static inline int64_t experts_list(const kcall *c, int64_t unit, int32_t *pairs, int64_t *expert) {
    const int64_t n_pairs = experts_n_pairs(c), n_experts = c->w->n_experts;
    const bool by_pair = n_pairs <= n_experts;
    if (unit >= n_pairs && by_pair) return 0;
    const float wanted = by_pair ? expert_of(c, unit) : (float)unit;
    if (!(wanted >= 0 && wanted < (float)n_experts)) return 0;
    int64_t n = 0, pair = 0;
    for (int64_t t = 0; t < c->x.rows; t++) {
        const float *chosen = (const float *)c->z.data + t * c->z.stride;
        for (int64_t s = 0; s < c->n_chosen; s++, pair++) {
            if (chosen[s] != wanted) continue;
            if (by_pair && pair < unit) return 0;
            pairs[n++] = (int32_t)pair;
        }
    }
    *expert = (int64_t)wanted;
    return n;
}

#endif
