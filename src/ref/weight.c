/* SPDX-License-Identifier: Apache-2.0
 *
 * What an element of a stored weight is: plain floats, and the affine mode of mlx.core.quantize, where the codes of a
 * row are one little-endian stream of bits and each group of columns has a scale and a bias. */
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

double ref_weight(const kweight *w, int64_t i, int64_t j) {
    if (w->mode == W_PLAIN) return float_at(w->codes, w->type, i * w->k + j);
    int64_t group = i * (w->k / w->group_size) + j / w->group_size;
    return float_at(w->scales, w->type, group) * ref_code(w, i, j) + float_at(w->biases, w->type, group);
}

double ref_weight_magnitude(const kweight *w, int64_t i, int64_t j) {
    if (w->mode == W_PLAIN) return fabs(ref_weight(w, i, j));
    int64_t group = i * (w->k / w->group_size) + j / w->group_size;
    return fabs(float_at(w->scales, w->type, group)) * ref_code(w, i, j) + fabs(float_at(w->biases, w->type, group));
}
