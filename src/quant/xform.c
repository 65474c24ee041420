/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory layout of the quantized activation forms: scales, sums, then (64-byte aligned) the codes of each row. */
#include "quant/xform.h"

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
