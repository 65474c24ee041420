/* SPDX-License-Identifier: Apache-2.0
 *
 * The activation form DT_XI8X3 ("xi8x3"): a matrix of activations as 24-bit integers with one fp32 scale a group of
 * columns, x ~ scale * q. Products with integer weight codes then become exact integer sums that 8-bit multiply-add
 * instructions make (VNNI vpdpbusd, AVX2 vpmaddubsw, NEON sdot), for which q is split into three signed bytes,
 * q = 65536 * high + 256 * middle + low. The scale is the smallest power of two that keeps |q| <= XFORM_MAX, so x is
 * off by at most half a step of 2^-22 of the group's largest |x|, much like fp32's own rounding of that element; and
 * finding q takes no rounding but the last. With the groups' sums scale * sum(q), which the affine bias needs. */
#ifndef NB_QUANT_XFORM_H
#define NB_QUANT_XFORM_H

#include "base/half.h"
#include "kernels/kernel.h"

enum {
    XFORM_MAX = 127 * 65536, /* the high byte stays within [-127, 127] */
    XFORM_PLANES = 3,
    XFORM_BLOCK = 32, /* columns; a group is one or more blocks */
};

/* Bytes of a [rows, cols] matrix in this form; cols must be a multiple of group. Offsets inside: */
size_t xform_bytes(int64_t rows, int64_t cols, int64_t group);
/* Scales and sums, fp32 [rows, cols / group] each. */
float *xform_scales(const kmat *m);
float *xform_sums(const kmat *m);
/* The codes of one row: for each 32 columns 32 high bytes, 32 middle ones, 32 low ones. */
int8_t *xform_codes(const kmat *m, int64_t row);
/* What element (i, j) stands for. */
double xform_get(const kmat *m, int64_t i, int64_t j);

/* The scale of a group from the bits of its largest |x|, which must be finite: 2^e with |x| < 127/128 * 2^(e + 23), but
 * never below the normal numbers, so that 1 / scale is a normal number too. */
static inline float xform_scale(uint32_t largest) {
    uint32_t exponent = (largest + 0x20000u) >> 23;
    return f32_from_bits((exponent > 23 ? exponent - 22 : 1) << 23);
}
static inline float xform_inverse(float scale) {
    return f32_from_bits((254u << 23) - f32_bits(scale));
}

/* Puts x[0..group) into group g of row i: codes, scale and sum. A group with a NaN or an infinity gets NaN as scale and
 * sum. The SIMD rows do the same, bit for bit. */
void xform_encode(const kmat *m, int64_t i, int64_t g, const float *x);

#endif
