/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights of all modes as f16 or bf16, two to a word: 32 of a row at a time, which is the size of the smallest group
 * but nvfp4's, and with any width of codes a whole number of words. Each result is rounded once; products of small
 * floats with their scales are exact. */
#ifndef NB_GPU_KERNELS_DEQUANT_H
#define NB_GPU_KERNELS_DEQUANT_H

#include <stdbool.h>

#include "weight.h"

typedef enum dq_mode { DQ_PLAIN, DQ_AFFINE, DQ_MXFP4, DQ_MXFP8, DQ_NVFP4 } dq_mode;

/* How a kernel's weights are stored, constant at its compilation, and what they become. */
typedef struct dq_form {
    dq_mode mode;
    u32 bits;
    bool bf16;
} dq_form;

/* 32 codes as they are stored; affine: scale and bias twice in a word; nvfp4: a scale for each half; mxfp: scale[0]. */
typedef struct dq_unit {
    u32 codes[8];
    u32 scale[2], bias;
} dq_unit;

/* ---- Pairs of 16-bit floats ---------------------------------------------------------------------------------------
 */

INLINE u32 dq_pack(float lo, float hi, bool bf16) {
#if defined(__NVPTX__)
    u32 r;
    if (bf16)
        __asm__("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    else
        __asm__("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
#else
    return bf16 ? f32_to_bf16(lo) | (u32)f32_to_bf16(hi) << 16 : f32_to_f16(lo) | (u32)f32_to_f16(hi) << 16;
#endif
}
INLINE float dq_low(u32 pair, bool bf16) {
    return f32_of_half(pair, bf16 ? G_BF16 : G_F16, false);
}
INLINE float dq_high(u32 pair, bool bf16) {
    return f32_of_half(pair, bf16 ? G_BF16 : G_F16, true);
}
/* a * b + c, rounded once. */
INLINE u32 dq_fma(u32 a, u32 b, u32 c, bool bf16) {
#if defined(__NVPTX__)
    u32 r;
    if (bf16)
        __asm__("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    else
        __asm__("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
#else
#    if defined(__AMDGCN__)
    if (!bf16) {
        const f16x2 x = __builtin_bit_cast(f16x2, a), y = __builtin_bit_cast(f16x2, b),
                    z = __builtin_bit_cast(f16x2, c);
#        if __has_builtin(__builtin_elementwise_fma)
        return __builtin_bit_cast(u32, __builtin_elementwise_fma(x, y, z));
#        else /* older than clang 17 */
        const f16x2 v = {__builtin_fmaf16(x[0], y[0], z[0]), __builtin_fmaf16(x[1], y[1], z[1])};
        return __builtin_bit_cast(u32, v);
#        endif
    }
#    endif
    /* A product of two such floats is exact in fp32. */
    return dq_pack(dq_low(a, bf16) * dq_low(b, bf16) + dq_low(c, bf16),
                   dq_high(a, bf16) * dq_high(b, bf16) + dq_high(c, bf16), bf16);
#endif
}
INLINE u32 dq_twice(u16 h) {
    return h | (u32)h << 16;
}

/* ---- Codes --------------------------------------------------------------------------------------------------------
 */

/* Codes 2 j and 2 j + 1, one in each half of the word. */
INLINE u32 dq_codes(const u32 *w, u32 bits, u32 j) {
#if defined(__NVPTX__) /* one permutation of bytes brings both to their places */
    if (bits == 4) return pick_bytes(w[j / 4], w[j / 4] >> 4, 0x4400 + j % 4 * 0x1111) & 0x000f000f;
    if (bits == 8) return pick_bytes(w[j / 2], 0, 0x4140 + j % 2 * 0x0202);
#endif
    const u32 at = 2 * j * bits, shift = at % 32, mask = (1u << bits) - 1;
    u32 two = w[at / 32] >> shift;
    if (shift + 2 * bits > 32) two |= w[at / 32 + 1] << (32 - shift);
    return (two & mask) | (two << (16 - bits) & mask << 16);
}

/* 1024 and 128 in both halves: with an integer in the last bits they are so much more. */
enum { DQ_OFFSET_F16 = 0x64006400, DQ_OFFSET_BF16 = 0x43004300 };
INLINE u32 dq_less_offset(u32 v, bool bf16) {
    return bf16 ? dq_fma(v, 0x3f803f80, 0xc300c300, true) : dq_fma(v, 0x3c003c00, 0xe400e400, false);
}
/* Integers up to 255 as floats: exact. */
INLINE u32 dq_integers(u32 codes, u32 bits, bool bf16) {
    if (!bf16) return dq_less_offset(codes | DQ_OFFSET_F16, false);
    /* 128 + the low seven bits; codes of 128 and more are just that. */
    u32 less = 0xc300c300;
    if (bits == 8) less = ((~codes >> 7) & 0x00010001) * 0xc300;
    return dq_fma((codes & 0x007f007f) | DQ_OFFSET_BF16, 0x3f803f80, less, true);
}

/* Small floats, sign apart, put where bf16 has exponent and mantissa: right but for the exponent's bias, also below the
 * smallest normal number. */
INLINE u32 dq_e2m1(u32 codes) {
    return dq_fma((codes & 0x00080008) << 12 | (codes & 0x00070007) << 6, 0x7e807e80, 0x80008000, true); /* * 2^126 */
}
INLINE u32 dq_e4m3(u32 codes) {
    const u32 size = codes & 0x007f007f;
    u32 v = dq_fma((codes & 0x00800080) << 8 | size << 4, 0x7b807b80, 0x80008000, true); /* * 2^120 */
    const u32 nan = (size + 0x00010001) & 0x00800080;                                    /* 7f is NaN */
    if (nan) v |= (nan >> 7) * 0x7fff;
    return v;
}
INLINE float dq_e4m3_one(u32 code) {
    const u32 size = code & 0x7f;
    const float v = as_f32(size << 20) * 0x1p120f;
    return size == 0x7f ? as_f32(0x7fc00000) : code & 0x80 ? -v : v;
}
INLINE float dq_e8m0(u32 code) {
    return as_f32(code == 0 ? 0x00400000 : code == 255 ? 0x7fc00000 : code << 23);
}

/* ---- Units --------------------------------------------------------------------------------------------------------
 */

INLINE void dq_load_words(u32 *to, const GLOBAL u8 *p, u32 n, bool aligned) {
    if (n % 4 == 0 && aligned) {
        UNROLL for (u32 i = 0; i < n / 4; i++) {
            const u32x4 v = ((const GLOBAL u32x4 *)p)[i];
            UNROLL for (u32 j = 0; j < 4; j++) to[4 * i + j] = v[j];
        }
    } else if (n % 2 == 0 && aligned) {
        UNROLL for (u32 i = 0; i < n / 2; i++) {
            const u32x2 v = ((const GLOBAL u32x2 *)p)[i];
            to[2 * i] = v[0];
            to[2 * i + 1] = v[1];
        }
    } else {
        UNROLL for (u32 i = 0; i < n; i++) to[i] = ((const GLOBAL u32 *)p)[i];
    }
}

/* Columns 32 unit and on of a row; codes lie at multiples of 4 bytes, or with `aligned` of 16, scales and biases at
 * multiples of their size. Not for plain weights. */
INLINE void dq_load(dq_unit *u, const one_matrix *m, dq_form f, u32 k, u32 group_size, u64 row, u32 unit,
                    bool aligned) {
    dq_load_words(u->codes, m->codes + (row * (k / 32) + unit) * f.bits * 4, f.bits, aligned);
    if (f.mode == DQ_AFFINE) {
        const u64 group = row * (k / group_size) + unit * 32 / group_size;
        u->scale[0] = dq_twice(((const GLOBAL u16 *)m->scales)[group]);
        u->bias = m->biases ? dq_twice(((const GLOBAL u16 *)m->biases)[group]) : 0x80008000;
    } else if (f.mode == DQ_NVFP4) {
        UNROLL for (u32 i = 0; i < 2; i++) u->scale[i] = m->scales[(row * (k / 32) + unit) * 2 + i];
    } else {
        u->scale[0] = m->scales[row * (k / 32) + unit];
    }
}

/* The small scales as pairs, once for the unit. */
INLINE void dq_prepare(dq_unit *u, dq_form f) {
    if (f.mode == DQ_AFFINE) return;
    UNROLL for (u32 i = 0; i < 2; i++) {
        if (i == 1 && f.mode != DQ_NVFP4) continue;
        const float s = f.mode == DQ_NVFP4 ? dq_e4m3_one(u->scale[i]) : dq_e8m0(u->scale[i]);
        u->scale[i] = dq_pack(s, s, true);
    }
}

/* Weights 2 j and 2 j + 1 of the unit. */
INLINE u32 dq_pair(const dq_unit *u, dq_form f, u32 j) {
    const u32 codes = dq_codes(u->codes, f.bits, j);
    if (f.mode == DQ_AFFINE) return dq_fma(dq_integers(codes, f.bits, f.bf16), u->scale[0], u->bias, f.bf16);
    const u32 v = f.mode == DQ_MXFP8 ? dq_e4m3(codes) : dq_e2m1(codes);
    return dq_fma(v, u->scale[f.mode == DQ_NVFP4 ? j / 8 : 0], 0x80008000, true);
}

#endif
