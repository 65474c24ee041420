/* SPDX-License-Identifier: Apache-2.0
 *
 * What an element of a stored weight is: plain floats, and the modes of mlx.core.quantize, where the codes of a row are
 * one little-endian stream of bits and each group of columns has a scale. Affine codes are integers, and groups have a
 * bias as well. The others hold small floats: OCP Microscaling Formats 1.0 (E2M1 section 5.3.3, scales E8M0
 * section 5.4) and OCP FP8 1.0 (E4M3, table 1). */
#include "ref/ref_ops.h"

#include <math.h>

#include "base/half.h"

/* Bit b of a row is bit b % 8 of its byte b / 8, and a code lies in two bytes at most. MLX stores the stream as uint32
 * words, which on a little-endian machine are the same bytes, so 3-, 5- and 6-bit codes may straddle words. */
uint32_t ref_code(const kweight *w, int64_t i, int64_t j) {
    int64_t bit = j * w->bits, shift = bit % 8;
    const uint8_t *at = (const uint8_t *)w->codes + i * (w->k * w->bits / 8) + bit / 8;
    uint32_t two = at[0];
    if (shift + w->bits > 8) two |= (uint32_t)at[1] << 8;
    return two >> shift & ((1u << w->bits) - 1);
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

static double scale_of(const kweight *w, int64_t group) {
    if (w->mode == W_AFFINE) return float_at(w->scales, w->type, group);
    uint8_t byte = ((const uint8_t *)w->scales)[group];
    return w->mode == W_NVFP4 ? ref_e4m3(byte) : ref_e8m0(byte);
}

/* What a code stands for before it is scaled. */
static double number_of(wmode mode, uint32_t code) {
    return mode == W_AFFINE ? code : mode == W_MXFP8 ? ref_e4m3(code) : ref_e2m1(code);
}

double ref_weight(const kweight *w, int64_t i, int64_t j) {
    if (w->mode == W_PLAIN) return float_at(w->codes, w->type, i * w->k + j);
    int64_t group = i * (w->k / w->group_size) + j / w->group_size;
    double bias = w->biases ? float_at(w->biases, w->type, group) : 0.0;
    return scale_of(w, group) * number_of(w->mode, ref_code(w, i, j)) + bias;
}

/* The same for a row, with each group's scale and bias looked up once. An e2m1 number may be taken as affine too: codes
 * in steps of 1/2 from -6 on. */
void ref_weight_row(const kweight *w, int64_t i, double *values, double *biases) {
    int64_t group_size = w->mode == W_PLAIN ? w->k : w->group_size, n_groups = w->k / group_size;
    for (int64_t g = 0; g < n_groups; g++) {
        int64_t first = g * group_size, group = i * n_groups + g;
        double scale = w->mode == W_PLAIN ? 1 : scale_of(w, group);
        double bias = w->biases ? float_at(w->biases, w->type, group) : 0.0;
        for (int64_t j = first; j < first + group_size; j++) {
            values[j] = w->mode == W_PLAIN ? float_at(w->codes, w->type, i * w->k + j)
                                           : scale * number_of(w->mode, ref_code(w, i, j)) + bias;
            biases[j] = w->mode == W_MXFP4 ? -6 * scale : bias;
        }
    }
}
