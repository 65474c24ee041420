/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the embedding: one weight a thread, in any form, at any address. A pass reads one row a token, so that codes
 * can be taken byte by byte. */
#define NB_GPU_DEVICE_CODE
#include "ops_params.h"

enum { PLAIN, AFFINE, MXFP4, MXFP8, NVFP4 }; /* wmode */

/* A float of few bits without a sign bit, at its place in an fp32 of the same value times 2^(bias - 127). */
INLINE float small_float(u32 size, u32 mantissa_bits, float rescale) {
    return as_f32(size << (23 - mantissa_bits)) * rescale;
}
INLINE float e4m3(u32 code) {
    const float size = (code & 127) == 127 ? as_f32(0x7fc00000) : small_float(code & 127, 3, 0x1p120f);
    return code & 128 ? -size : size;
}
INLINE float e2m1(u32 code) {
    const float size = small_float(code & 7, 1, 0x1p126f);
    return code & 8 ? -size : size;
}
/* 2^(code - 127), which is no normal number for 0; 255 is NaN. */
INLINE float e8m0(u32 code) {
    return as_f32(code == 0 ? 1u << 22 : code == 255 ? 0x7fc00000 : code << 23);
}

INLINE float embed_weight(const struct embed_params *p, u64 row, u32 col) {
    const u64 at = row * p->w.k + col;
    if (p->mode == PLAIN) return load_any(p->w.codes, p->w.type, (i64)at);
    const u64 group = at / p->w.group_size, bit = at * p->bits; /* rows are whole bytes */
    const GLOBAL u8 *code_at = p->w.codes + bit / 8;
    u32 code = code_at[0];
    const u32 shift = (u32)bit % 8;
    if (shift + p->bits > 8) code |= (u32)code_at[1] << 8;
    code = code >> shift & ((1u << p->bits) - 1);
    if (p->mode == AFFINE) {
        const float bias = p->w.biases ? load_any(p->w.biases, p->w.type, (i64)group) : 0;
        return load_any(p->w.scales, p->w.type, (i64)group) * (float)code + bias;
    }
    const u32 scale = p->w.scales[group];
    return (p->mode == NVFP4 ? e4m3(scale) : e8m0(scale)) * (p->mode == MXFP8 ? e4m3(code) : e2m1(code));
}

KERNEL void embed(struct embed_params p) {
    const u32 col = bid_x() * bdim() + tid();
    if (col >= p.y.cols) return;
    for (u32 row = bid_y(); row < p.y.rows; row += 65535)
        store_from_f32(p.y.data, p.y.type, row * p.y.stride + col, p.scale * embed_weight(&p, (u64)p.tokens[row], col));
}
