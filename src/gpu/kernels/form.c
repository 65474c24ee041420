/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations as integers with a scale for each group (quant/xform.h, bit for bit), as they are or normalized. */
#define NB_GPU_DEVICE_CODE
#include <stdbool.h>

#include "eight.h"
#include "form_params.h"
#include "reduce.h"

#if !defined(__AMDGCN__) /* where nothing reads the form */
/* A byte of each of eight codes, as two words. */
INLINE u32x2 bytes_of(const u32 q[8], u32 shift) {
    u32x2 w = {0, 0};
    UNROLL for (u32 i = 0; i < 8; i++) w[i / 4] |= (q[i] >> shift & 255) << i % 4 * 8;
    return w;
}

/* Eight columns from `column` on of a row; the group / 8 threads of a group stand side by side in a warp and all come
 * here, those behind the last column too. A NaN or an infinity makes the group's scale and sum NaN. */
INLINE void form_put(const struct form_params *p, const eight *e, u32 row, u32 column) {
    float largest = 0;
    bool finite = true;
    UNROLL for (u32 i = 0; i < 8; i++) {
        largest = __builtin_fmaxf(largest, __builtin_fabsf(e->v[i]));
        finite = finite && (as_u32(e->v[i]) & 0x7fffffff) < 0x7f800000;
    }
    largest = lanes_max(finite ? largest : as_f32(0x7f800000), p->group / 8);
    finite = as_u32(largest) < 0x7f800000;
    const u32 exponent = (as_u32(largest) + 0x20000) >> 23, scale_bits = (exponent > 23 ? exponent - 22 : 1) << 23;
    const float inverse = as_f32((254u << 23) - scale_bits);
    u32 q[8];
    i32 sum = 0;
    UNROLL for (u32 i = 0; i < 8; i++) {
        const i32 code = finite ? (i32)__builtin_rintf(e->v[i] * inverse) : 0;
        sum += code;
        q[i] = (u32)code + 0x8080;
    }
    for (u32 m = p->group / 16; m > 0; m /= 2) sum += (i32)as_u32(shfl_xor(as_f32((u32)sum), m));
    if (column >= p->x.cols) return;
    GLOBAL u8 *codes = p->to + p->codes_at + ((u64)row * p->x.cols + column / 32 * 32) * 3 + column % 32;
    *(GLOBAL u32x2 *)codes = bytes_of(q, 16);
    *(GLOBAL u32x2 *)(codes + 32) = bytes_of(q, 8) ^ 0x80808080;
    *(GLOBAL u32x2 *)(codes + 64) = bytes_of(q, 0) ^ 0x80808080;
    if (column % p->group != 0) return;
    const u32 groups = p->x.cols / p->group;
    const float scale = as_f32(finite ? scale_bits : 0x7fc00000);
    GLOBAL float *scales = (GLOBAL float *)p->to + (u64)row * groups + column / p->group;
    scales[0] = scale;
    scales[(u64)p->x.rows * groups] = scale * (float)sum;
}

/* Zeros behind the last column. */
INLINE void form_load(eight *e, const struct form_params *p, u32 row, u32 column) {
    UNROLL for (u32 i = 0; i < 8; i++) e->v[i] = 0;
    if (column < p->x.cols) eight_load(e, p->x.data, p->x.type, (u64)row * (u64)p->x.stride + column);
}

/* Grid: (columns / (block * FORM_EACH), rows). */
KERNEL void form(struct form_params p) {
    const u32 column = (bid_x() * FORM_THREADS + tid()) * FORM_EACH;
    for (u32 row = bid_y(); row < p.x.rows; row += 65535) {
        eight e;
        form_load(&e, &p, row, column);
        form_put(&p, &e, row, column);
    }
}

/* A block a row. */
KERNEL void form_normed(struct form_params p) {
    const u32 row = bid_x();
    eight held[FORM_HELD];
    float squares = 0;
    UNROLL for (u32 h = 0; h < FORM_HELD; h++) {
        form_load(&held[h], &p, row, (h * FORM_THREADS + tid()) * FORM_EACH);
        UNROLL for (u32 i = 0; i < 8; i++) squares += held[h].v[i] * held[h].v[i];
    }
    squares = block_sum(squares, (SHARED float *)shared_memory());
    const float factor = norm_factor(squares, p.x.cols, p.eps);
    UNROLL for (u32 h = 0; h < FORM_HELD; h++) {
        const u32 column = (h * FORM_THREADS + tid()) * FORM_EACH;
        if (h * FORM_THREADS * FORM_EACH >= p.x.cols) continue;
        eight w = {{1, 1, 1, 1, 1, 1, 1, 1}};
        if (p.weight.data && column < p.x.cols) eight_load(&w, p.weight.data, p.weight.type, column);
        UNROLL for (u32 i = 0; i < 8; i++) held[h].v[i] *= factor * (p.offset + w.v[i]);
        form_put(&p, &held[h], row, column);
    }
}
#endif
