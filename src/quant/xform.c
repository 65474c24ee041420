/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory layout of the activation form: scales, sums, then (64-byte aligned) the codes of each row; and the
 * portable encoder. */
#include "quant/xform.h"

#include <math.h>

#include "base/num.h"

static size_t codes_offset(int64_t rows, int64_t cols, int64_t group) {
    return round_up((size_t)(2 * rows * (cols / group)) * sizeof(float), 64);
}

size_t xform_bytes(int64_t rows, int64_t cols, int64_t group) {
    return round_up(codes_offset(rows, cols, group) + (size_t)(rows * cols) * XFORM_PLANES, 64);
}

float *xform_scales(const kmat *m) {
    return m->data;
}

float *xform_sums(const kmat *m) {
    return (float *)m->data + m->rows * (m->cols / m->group);
}

int8_t *xform_codes(const kmat *m, int64_t row) {
    return (int8_t *)m->data + codes_offset(m->rows, m->cols, m->group) + row * m->cols * XFORM_PLANES;
}

/* The high byte of column j. */
static int8_t *place(const kmat *m, int64_t i, int64_t j) {
    return xform_codes(m, i) + j / XFORM_BLOCK * XFORM_BLOCK * XFORM_PLANES + j % XFORM_BLOCK;
}

double xform_get(const kmat *m, int64_t i, int64_t j) {
    double scale = (double)xform_scales(m)[i * (m->cols / m->group) + j / m->group];
    const int8_t *high = place(m, i, j);
    return scale * (65536 * high[0] + 256 * high[XFORM_BLOCK] + high[2 * XFORM_BLOCK]);
}

/* The largest |x| is found among the bit patterns, where NaN > infinity > every number. q + 0x8080 has the high byte as
 * it is, and the two others with 128 added. */
void xform_encode(const kmat *m, int64_t i, int64_t g, const float *x) {
    int64_t n = m->group, n_groups = m->cols / n;
    uint32_t largest = 0;
    for (int64_t j = 0; j < n; j++) {
        uint32_t a = f32_bits(x[j]) & 0x7fffffffu;
        if (a > largest) largest = a;
    }
    bool finite = largest < 0x7f800000u;
    float scale = finite ? xform_scale(largest) : NAN, inverse = xform_inverse(scale);
    int32_t total = 0;
    for (int64_t j = 0; j < n; j++) {
        int32_t q = finite ? (int32_t)lrintf(x[j] * inverse) : 0;
        uint32_t bytes = (uint32_t)q + 0x8080u;
        int8_t *high = place(m, i, g * n + j);
        high[0] = (int8_t)(uint8_t)(bytes >> 16);
        high[XFORM_BLOCK] = (int8_t)(uint8_t)(bytes >> 8 ^ 0x80);
        high[2 * XFORM_BLOCK] = (int8_t)(uint8_t)(bytes ^ 0x80);
        total += q;
    }
    xform_scales(m)[i * n_groups + g] = scale;
    xform_sums(m)[i * n_groups + g] = scale * (float)total;
}
