/* SPDX-License-Identifier: Apache-2.0
 *
 * The way of a block of few_stage.h through its work. Whoever includes this says before what form a kernel has, what
 * its operands take in shared memory, and how a step is multiplied: few_form with the field tiles (of 8 tokens),
 * few_shape_of, few_multiply; and with FEW_WARPGROUPS, where the block's halves have different outputs, few_end. */
#include "few_stage.h"

/* As mma.sync leaves them: [tile of outputs][tile of tokens]. */
typedef float few_sums[2][FEW_TILES][4];

INLINE few_shape few_shape_of(const few_part *p, few_form f);
INLINE void few_multiply(few_sums sums, const few_stage *s, const few_shape *shape, few_form f, u32 types);
/* What a unit's sums become; `memory` is a stage's. */
INLINE void few_end(const struct few_params *all, const few_at *at, const few_shape *shape, few_form f, few_sums sums,
                    SHARED u8 *memory);

enum { FEW_SUM_STRIDE = FEW_ROWS + 4 /* between tokens, so that lanes meet different banks */ };

/* Of a unit that has all terms, or in sums of its own. */
INLINE void few_finish(const struct few_params *all, const few_at *at, const few_shape *shape,
                       const SHARED float *sums) {
    const qmv_part *p = &all->part[at->part].of;
    GLOBAL float *to = all->part[at->part].sums;
    const u32 n = p->act ? p->n / 2 : p->n, rows = rows_of_matrix(p), first = at->block * rows;
    const u32 row = tid() % rows, output = first + row;
    if (output >= n) return;
    ROLLED for (u32 i = tid() / rows; i < shape->tokens && at->token + i < p->rows; i += FEW_THREADS / rows) {
        const u32 token = at->token + i;
        const float v = sums[i * FEW_SUM_STRIDE + row], second = p->act ? sums[i * FEW_SUM_STRIDE + rows + row] : 0;
        if (to) {
            GLOBAL float *at_token = to + ((u64)at->split * p->rows + token) * p->n + output;
            at_token[0] = v;
            if (p->act) at_token[n] = second;
        } else {
            qmv_end(p, v, second, qmv_residual(p, token, output), token, output, 0, 0);
        }
    }
}

#if !FEW_WARPGROUPS
/* The sums of both halves, [token][row], in memory that all have done with. */
INLINE void few_join(SHARED float *all, few_form f, few_sums sums) {
    SHARED float *own = all + lane_id() % 4 * 2 * FEW_SUM_STRIDE + lane_id() / 4;
    UNROLL for (u32 turn = 0; turn < 2; turn++) {
        barrier();
        if (warp_half() == turn) continue; /* the second half comes first */
        UNROLL for (u32 i = 0; i < f.tiles * 8; i++) {
            const u32 tile = i / 8, r = i / 4 % 2, e = i % 4;
            SHARED float *at = own + (tile * 8 + e % 2) * FEW_SUM_STRIDE + row_of(r, e / 2 * 8);
            *at = turn == 0 ? sums[r][tile][e] : sums[r][tile][e] + *at;
        }
    }
    barrier();
}

INLINE void few_end(const struct few_params *all, const few_at *at, const few_shape *shape, few_form f, few_sums sums,
                    SHARED u8 *memory) {
    few_join((SHARED float *)memory, f, sums);
    few_finish(all, at, shape, (SHARED float *)memory);
}
#endif

/* Copies are on their way for all stages but the one that is computed. */
INLINE void few_wait(u32 stages) {
    if (stages <= 2)
        ASYNC_WAIT(0);
    else if (stages == 3)
        ASYNC_WAIT(1);
    else
        ASYNC_WAIT(2);
}

INLINE void few_fetch(const struct few_params *p, const few_shape *shape, u32 units, few_at *ahead, few_source *from,
                      u32 stage) {
    if (ahead->unit < units) {
        const few_stage s = few_stage_at(shape, stage);
        few_fetch_weight(p, shape, ahead, from, &s);
        few_fetch_x(p, shape, ahead, from, &s);
        few_advance_source(p, shape, units, ahead, from);
    }
    async_commit();
}

/* Grid: as many blocks as run at once, or fewer. The first step's weights are known before the work in front of this
 * launch is done. */
INLINE void few(const struct few_params *p, few_form f) {
    const few_shape shape = few_shape_of(&p->part[0], f);
    const u32 stages = p->part[0].stages, units = few_units(p, &shape);
    few_at now = {.unit = bid_x()}, ahead;
    few_source from = {0};
    few_begin(p, &shape, &now);
    few_aim(p, &shape, &now, &from);
    few_hold_scales(p, &shape, &now, &from);
    ahead = now;
    const few_stage first = few_stage_at(&shape, 0);
    few_fetch_weight(p, &shape, &ahead, &from, &first);
    previous_done();
    few_fetch_x(p, &shape, &ahead, &from, &first);
    few_advance_source(p, &shape, units, &ahead, &from);
    async_commit();
    ROLLED for (u32 i = 1; i + 1 < stages; i++) few_fetch(p, &shape, units, &ahead, &from, i);
    few_sums sums = {{{0}}};
    ROLLED for (u32 stage = 0; now.unit < units; stage = stage + 1 < stages ? stage + 1 : 0) {
        const few_stage s = few_stage_at(&shape, stage);
        few_wait(stages);
        if (shape.x_places == FEW_X_TILES) wgmma_written();
        barrier();
        if (stages > 1) few_fetch(p, &shape, units, &ahead, &from, stage > 0 ? stage - 1 : stages - 1);
        few_multiply(sums, &s, &shape, f, p->part[now.part].of.types);
        if (now.left == 1) {
            few_end(p, &now, &shape, f, sums, s.x);
            UNROLL for (u32 i = 0; i < f.tiles; i++) UNROLL for (u32 e = 0; e < 8; e++) sums[e / 4][i][e % 4] = 0;
        }
        if (stages == 1) {
            barrier();
            few_fetch(p, &shape, units, &ahead, &from, 0);
        }
        few_advance(p, &shape, &now);
    }
}
