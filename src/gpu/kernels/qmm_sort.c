/* SPDX-License-Identifier: Apache-2.0
 *
 * Sorts the pairs of a token and a place among its experts by expert, each expert's in order of the tokens, and lists
 * the tiles that a product of them falls into (qmm_params.h). A block an expert; a thread looks through a stretch of
 * all pairs. The host never learns the counts: the list is as long as the worst case, its rest empty. */
#define NB_GPU_DEVICE_CODE
#include "qmm_params.h"

INLINE u32 expert_at(const struct sort_params *p, u32 pair) {
    return (u32)((const GLOBAL float *)p->z.data)[pair / p->n_chosen * p->z.stride + pair % p->n_chosen];
}

/* The thread's stretch of pairs. */
INLINE void stretch(const struct sort_params *p, u32 *first, u32 *end) {
    const u32 each = (p->n_pairs + QMM_THREADS - 1) / QMM_THREADS;
    *first = tid() * each < p->n_pairs ? tid() * each : p->n_pairs;
    *end = *first + each < p->n_pairs ? *first + each : p->n_pairs;
}

INLINE u32 count_mine(const struct sort_params *p, u32 expert) {
    u32 first, end, n = 0;
    stretch(p, &first, &end);
    for (u32 i = first; i < end; i++) n += expert_at(p, i) == expert;
    return n;
}

/* The sum of v over the threads in front of this one, and over all. */
INLINE u32 sum_before(u32 v, SHARED u32 *sums, u32 *all) {
    sums[tid()] = v;
    barrier();
    for (u32 step = 1; step < QMM_THREADS; step *= 2) {
        const u32 add = tid() >= step ? sums[tid() - step] : 0;
        barrier();
        sums[tid()] += add;
        barrier();
    }
    const u32 before = sums[tid()] - v;
    *all = sums[QMM_THREADS - 1];
    barrier();
    return before;
}

KERNEL void qmm_count(struct sort_params p) {
    SHARED u32 *sums = (SHARED u32 *)shared_memory();
    u32 all;
    sum_before(count_mine(&p, bid_x()), sums, &all);
    if (tid() == 0) p.counts[bid_x()] = all;
}

KERNEL void qmm_sort(struct sort_params p) {
    SHARED u32 *sums = (SHARED u32 *)shared_memory();
    const u32 expert = bid_x();
    u32 pairs = 0, tiles = 0, first_pair, first_tile, count;
    for (u32 e = tid(); e < expert; e += QMM_THREADS) {
        pairs += p.counts[e];
        tiles += (p.counts[e] + p.tile_rows - 1) / p.tile_rows;
    }
    sum_before(pairs, sums, &first_pair);
    sum_before(tiles, sums, &first_tile);
    u32 at = first_pair + sum_before(count_mine(&p, expert), sums, &count), first, end;
    stretch(&p, &first, &end);
    for (u32 i = first; i < end; i++)
        if (expert_at(&p, i) == expert) p.pairs[at++] = i;
    const u32 n_tiles = (count + p.tile_rows - 1) / p.tile_rows;
    /* The last expert's block clears what is behind its tiles. */
    const u32 n_entries = expert + 1 == p.n_experts ? p.max_tiles - first_tile : n_tiles;
    for (u32 t = tid(); t < n_entries; t += QMM_THREADS) {
        GLOBAL u32 *entry = p.tiles + (first_tile + t) * QMM_ENTRY;
        const u32 begin = t * p.tile_rows, left = t < n_tiles ? count - begin : 0;
        entry[0] = expert;
        entry[1] = first_pair + begin;
        entry[2] = left < p.tile_rows ? left : p.tile_rows;
        entry[3] = 0;
    }
}
