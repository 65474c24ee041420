/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable building blocks: a weight row as fp32, a dot product. */
#include "cpu/scalar_weight.h"

#include <math.h>

#include "base/half.h"
#include "quant/quantize.h"

/* 32 codes are exactly `bits` words whatever the width, so a group of any size starts at a word. */
static void unpack32(const uint8_t *words, int bits, float *codes) {
    uint32_t mask = (1u << bits) - 1;
    for (int j = 0; j < 32; j++) {
        int word = j * bits / 32, shift = j * bits % 32;
        uint64_t pair = load_u32(words, word);
        if (shift + bits > 32) pair |= (uint64_t)load_u32(words, word + 1) << 32;
        codes[j] = (float)(int32_t)((uint32_t)(pair >> shift) & mask);
    }
}

static void affine_row(const kweight *w, int64_t i, float *y) {
    int64_t n_groups = w->k / w->group_size, bytes_per_32 = 4 * w->bits;
    const uint8_t *row = (const uint8_t *)w->codes + i * (w->k / 32) * bytes_per_32;
    for (int64_t at = 0; at < w->k; at += 32, row += bytes_per_32) {
        int64_t group = i * n_groups + at / w->group_size;
        float scale = float_at_f32(w->scales, w->type, group),
              bias = w->biases ? float_at_f32(w->biases, w->type, group) : 0.0f;
        unpack32(row, w->bits, y + at);
        for (int j = 0; j < 32; j++) y[at + j] = scale * y[at + j] + bias;
    }
}

/* 2^(code - 127); 255 is NaN (OCP Microscaling Formats 1.0, section 5.4.1). */
static float e8m0(uint8_t code) {
    if (code == 255) return NAN;
    return code == 0 ? 0x1p-127f : f32_from_bits((uint32_t)code << 23);
}

/* Codes that are small floats of 4 or 8 bits, with a byte of scale a group. */
static void float_row(const kweight *w, int64_t i, float *y) {
    int64_t n_groups = w->k / w->group_size;
    const uint8_t *codes = (const uint8_t *)w->codes + i * (w->k * w->bits / 8);
    const uint8_t *scales = (const uint8_t *)w->scales + i * n_groups;
    for (int64_t group = 0; group < n_groups; group++) {
        float scale = w->mode == W_NVFP4 ? quant_from_fp8(scales[group]) : e8m0(scales[group]);
        for (int64_t j = group * w->group_size; j < (group + 1) * w->group_size; j++)
            y[j] =
                scale * (w->bits == 8 ? quant_from_fp8(codes[j]) : quant_fp4_values[codes[j / 2] >> (j % 2 * 4) & 15]);
    }
}

void scalar_weight_row(const kweight *w, int64_t i, float *y) {
    if (w->mode == W_AFFINE) {
        affine_row(w, i, y);
        return;
    }
    if (w->mode != W_PLAIN) {
        float_row(w, i, y);
        return;
    }
    for (int64_t j = 0; j < w->k; j++) y[j] = float_at_f32(w->codes, w->type, i * w->k + j);
}

float scalar_dot(const float *a, const float *b, int64_t n) {
    float sums[16] = {0};
    int64_t j = 0;
    for (; j + 16 <= n; j += 16)
        for (int l = 0; l < 16; l++) sums[l] += a[j + l] * b[j + l];
    for (int l = 0; j + l < n; l++) sums[l] += a[j + l] * b[j + l];
    for (int width = 8; width > 0; width /= 2)
        for (int l = 0; l < width; l++) sums[l] += sums[l + width];
    return sums[0];
}
