/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations that work element by element, and small helpers of other rows. Each is there for one element a thread and
 * for four: grid (columns / (block * n), rows), where a block goes on to row + grid y. */
#define NB_GPU_DEVICE_CODE
#include "act.h"
#include "math.h"
#include "ops_params.h"
#include "ops_vec.h"

INLINE u32 first_col(u32 n) {
    return (bid_x() * bdim() + tid()) * n;
}

enum each_op { EACH_ADD, EACH_ACT_MUL, EACH_SCALE, EACH_SOFTCAP, EACH_CONVERT };

INLINE f32x4 each_of(enum each_op op, const struct each_params *p, f32x4 x, f32x4 z, u32 n) {
    f32x4 y = x;
    UNROLL for (u32 i = 0; i < n; i++) {
        if (op == EACH_ADD) y[i] = x[i] + z[i];
        if (op == EACH_ACT_MUL) y[i] = act_gated(p->act, x[i], z[i]);
        if (op == EACH_SCALE) y[i] = p->scale * x[i];
        if (op == EACH_SOFTCAP) y[i] = p->scale * tanh_f32(x[i] / p->scale);
    }
    return y;
}

INLINE void each(enum each_op op, const struct each_params *p, u32 n) {
    const u32 col = first_col(n);
    if (col >= p->y.cols) return;
    for (u32 row = bid_y(); row < p->y.rows; row += 65535) {
        const f32x4 z = op == EACH_ADD || op == EACH_ACT_MUL ? load_row(&p->z, row, col, n) : (f32x4){0, 0, 0, 0};
        f32x4 x;
        if (op == EACH_ACT_MUL && p->x.cols == 1)
            x = load_row(&p->x, row, 0, 1).xxxx;
        else
            x = load_row(&p->x, row, col, n);
        store_row(&p->y, row, col, n, each_of(op, p, x, z, n));
    }
}

KERNEL void add(struct each_params p) {
    each(EACH_ADD, &p, 1);
}
KERNEL void add4(struct each_params p) {
    each(EACH_ADD, &p, 4);
}
KERNEL void act_mul(struct each_params p) {
    each(EACH_ACT_MUL, &p, 1);
}
KERNEL void act_mul4(struct each_params p) {
    each(EACH_ACT_MUL, &p, 4);
}
KERNEL void scale(struct each_params p) {
    each(EACH_SCALE, &p, 1);
}
KERNEL void scale4(struct each_params p) {
    each(EACH_SCALE, &p, 4);
}
KERNEL void softcap(struct each_params p) {
    each(EACH_SOFTCAP, &p, 1);
}
KERNEL void softcap4(struct each_params p) {
    each(EACH_SOFTCAP, &p, 4);
}
KERNEL void convert(struct each_params p) {
    each(EACH_CONVERT, &p, 1);
}
KERNEL void convert4(struct each_params p) {
    each(EACH_CONVERT, &p, 4);
}

INLINE void select_rows_by(const struct select_params *p, u32 n) {
    const u32 col = first_col(n);
    if (col >= p->y.cols) return;
    for (u32 row = bid_y(); row < p->y.rows; row += 65535)
        store_row(&p->y, row, col, n, load_row(&p->x, (u32)p->which[row], col, n));
}

KERNEL void select_rows(struct select_params p) {
    select_rows_by(&p, 1);
}
KERNEL void select_rows4(struct select_params p) {
    select_rows_by(&p, 4);
}

KERNEL void select_cols(struct select_params p) {
    const u32 col = first_col(1);
    if (col >= p.y.cols) return;
    const u32 from = (u32)p.which[col];
    for (u32 row = bid_y(); row < p.y.rows; row += 65535) store_row(&p.y, row, col, 1, load_row(&p.x, row, from, 1));
}

/* Addresses of experts' matrices. */
KERNEL void fill_table(struct fill_table_params p) {
    if (tid() < 3 * p.n) p.table[3 * p.first + tid()] = p.entries[tid()];
}
