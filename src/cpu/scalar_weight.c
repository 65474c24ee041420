/* SPDX-License-Identifier: Apache-2.0
 *
 * Portable building blocks: a weight row as fp32, a dot product. */
#include "cpu/scalar_weight.h"

#include "base/half.h"

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
        float scale = float_at_f32(w->scales, w->type, group), bias = float_at_f32(w->biases, w->type, group);
        unpack32(row, w->bits, y + at);
        for (int j = 0; j < 32; j++) y[at + j] = scale * y[at + j] + bias;
    }
}

void scalar_weight_row(const kweight *w, int64_t i, float *y) {
    if (w->mode == W_AFFINE) {
        affine_row(w, i, y);
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
