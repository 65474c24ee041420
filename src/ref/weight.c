/* SPDX-License-Identifier: Apache-2.0
 *
 * What an element of a stored weight is: plain floats, and the modes of mlx.core.quantize, where the codes of a row are
 * one little-endian stream of bits and each group of columns has a scale. Affine codes are integers, and groups have a
 * bias as well. The others hold small floats: OCP Microscaling Formats 1.0 (E2M1 section 5.3.3, scales E8M0
 * section 5.4) and OCP FP8 1.0 (E4M3, table 1). */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

/* The stream is read byte by byte: bit b of a row is bit b % 8 of its byte b / 8. MLX stores it as uint32 words, which
 * on a little-endian machine are the same bytes, so 3-, 5- and 6-bit codes may straddle words. */
uint32_t ref_code(const kweight *w, int64_t i, int64_t j) {
    const uint8_t *row = (const uint8_t *)w->codes + i * (w->k * w->bits / 8);
    uint32_t code = 0;
    for (int b = 0; b < w->bits; b++) {
        int64_t bit = j * w->bits + b;
        code |= (uint32_t)(row[bit / 8] >> (bit % 8) & 1) << b;
    }
    return code;
}

/* A float of the given number of mantissa bits, and the bias of its exponent, by its sign, exponent and mantissa. */
static double small_float(uint32_t code, int exponent_bits, int mantissa_bits, int bias) {
    int exponent = (int)(code >> mantissa_bits & ((1u << exponent_bits) - 1));
    double fraction = (code & ((1u << mantissa_bits) - 1)) / (double)(1u << mantissa_bits);
    double size = exponent == 0 ? ldexp(fraction, 1 - bias) : ldexp(1 + fraction, exponent - bias);
    return code >> (exponent_bits + mantissa_bits) & 1 ? -size : size;
}

double ref_e2m1(uint32_t code) {
    return small_float(code, 2, 1, 1);
}

double ref_e4m3(uint32_t code) {
    return (code & 0x7f) == 0x7f ? NAN : small_float(code, 4, 3, 7);
}

double ref_e8m0(uint32_t code) {
    return code == 255 ? NAN : ldexp(1, (int)code - 127);
}

/* The scale of a group times the number that a code stands for. */
static double scaled_code(const kweight *w, int64_t group, uint32_t code) {
    switch (w->mode) {
    case W_MXFP4:
        return ref_e8m0(((const uint8_t *)w->scales)[group]) * ref_e2m1(code);
    case W_MXFP8:
        return ref_e8m0(((const uint8_t *)w->scales)[group]) * ref_e4m3(code);
    case W_NVFP4:
        return ref_e4m3(((const uint8_t *)w->scales)[group]) * ref_e2m1(code);
    default:
        return float_at(w->scales, w->type, group) * code;
    }
}

double ref_weight(const kweight *w, int64_t i, int64_t j) {
    if (w->mode == W_PLAIN) return float_at(w->codes, w->type, i * w->k + j);
    int64_t group = i * (w->k / w->group_size) + j / w->group_size;
    double bias = w->biases ? float_at(w->biases, w->type, group) : 0.0;
    return scaled_code(w, group, ref_code(w, i, j)) + bias;
}

double ref_weight_magnitude(const kweight *w, int64_t i, int64_t j) {
    if (w->mode == W_PLAIN) return fabs(ref_weight(w, i, j));
    int64_t group = i * (w->k / w->group_size) + j / w->group_size;
    double bias = w->biases ? float_at(w->biases, w->type, group) : 0.0;
    /* An e2m1 number may be taken as affine too: codes in steps of 1/2 from -6 on. */
    if (w->mode == W_MXFP4) bias = 6 * ref_e8m0(((const uint8_t *)w->scales)[group]);
    return fabs(scaled_code(w, group, ref_code(w, i, j))) + fabs(bias);
}
