/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds instructions by name. Each valu_*.c has a table of its own; a new file means one more line in the list here. */
#include "gfx/valu_lanes.h"

#include <pthread.h>
#include <stdlib.h>

extern const valu_table valu_int_table, valu_bits_table, valu_carry_table, valu_cmp_int_table, valu_f32_table,
    valu_cmp_f_table, valu_int16_table, valu_f16_table, valu_mix_table, valu_f64_table, valu_div_table,
    valu_round_table, valu_cvt_table, valu_math_table;

static const valu_table *const tables[] = {
    &valu_int_table,   &valu_bits_table,  &valu_carry_table, &valu_cmp_int_table, &valu_f32_table,
    &valu_cmp_f_table, &valu_int16_table, &valu_f16_table,   &valu_mix_table,     &valu_f64_table,
    &valu_div_table,   &valu_round_table, &valu_cvt_table,   &valu_math_table,
};

enum { MOST = 1024 };
static const gfx_valu *sorted[MOST];
static size_t n_sorted;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static int by_name(const void *a, const void *b) {
    return strcmp((*(const gfx_valu *const *)a)->name, (*(const gfx_valu *const *)b)->name);
}

static void sort_all(void) {
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t]->n; i++) {
            if (n_sorted == MOST) abort(); /* a test would not have passed */
            sorted[n_sorted++] = &tables[t]->ops[i];
        }
    qsort(sorted, n_sorted, sizeof *sorted, by_name);
}

const gfx_valu *gfx_valu_find(const char *name) {
    pthread_once(&once, sort_all);
    const gfx_valu key = {.name = name}, *at = &key;
    const gfx_valu *const *found = bsearch(&at, sorted, n_sorted, sizeof *sorted, by_name);
    return found ? *found : NULL;
}

const gfx_valu *gfx_valu_at(size_t i) {
    pthread_once(&once, sort_all);
    return i < n_sorted ? sorted[i] : NULL;
}
