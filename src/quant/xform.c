/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory layout of the quantized activation forms: scales, sums, then (64-byte aligned) the codes of each row; and
 * the portable encoder. */
#include "quant/xform.h"

#include <float.h>
#include <math.h>

#include "base/half.h"
#include "base/num.h"

static size_t codes_offset(int64_t rows, int64_t cols, int64_t group) {
    return round_up((size_t)(2 * rows * (cols / group)) * sizeof(float), 64);
}

size_t xform_bytes(dtype form, int64_t rows, int64_t cols, int64_t group) {
    (void)form; /* both take two bytes an element */
    return round_up(codes_offset(rows, cols, group) + (size_t)(rows * cols) * 2, 64);
}

float *xform_scales(const kmat *m) {
    return m->data;
}

float *xform_sums(const kmat *m) {
    return (float *)m->data + m->rows * (m->cols / m->group);
}

void *xform_codes(const kmat *m, int64_t row) {
    return (char *)m->data + codes_offset(m->rows, m->cols, m->group) + row * m->cols * 2;
}

double xform_get(const kmat *m, int64_t i, int64_t j) {
    double scale = (double)xform_scales(m)[i * (m->cols / m->group) + j / m->group];
    if (m->type == DT_XI16) return scale * ((const int16_t *)xform_codes(m, i))[j];
    const int8_t *high = (const int8_t *)xform_codes(m, i) + j / 4 * 8 + j % 4;
    return scale * (256 * high[0] + high[4]);
}

/* The largest |x| is found among the bit patterns, where NaN > infinity > every number. */
void xform_encode(const kmat *m, int64_t i, int64_t g, const float *x) {
    int64_t n = m->group, n_groups = m->cols / n;
    char *codes = (char *)xform_codes(m, i) + 2 * g * n;
    uint32_t largest = 0;
    for (int64_t j = 0; j < n; j++) {
        uint32_t a = f32_bits(x[j]) & 0x7fffffffu;
        if (a > largest) largest = a;
    }
    float step = f32_from_bits(largest) / (float)XFORM_MAX, inverse = 1.0f / step;
    bool finite = largest < 0x7f800000u, tiny = finite && step < FLT_MIN;
    int32_t total = 0;
    for (int64_t j = 0; j < n; j++) {
        int32_t q = finite && !tiny ? (int32_t)lrintf(x[j] * inverse) : 0;
        total += q;
        if (m->type == DT_XI16) {
            ((int16_t *)codes)[j] = (int16_t)q;
        } else {
            int8_t *high = (int8_t *)codes + j / 4 * 8 + j % 4;
            high[4] = (int8_t)(uint8_t)(q & 0xff);
            high[0] = (int8_t)((q - high[4]) / 256);
        }
    }
    float scale = !finite ? NAN : tiny ? 0.0f : step;
    xform_scales(m)[i * n_groups + g] = scale;
    xform_sums(m)[i * n_groups + g] = scale * (float)total;
}
