/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of the operations that make activations for a matmul: QUANTIZE, and RMSNORM and SILU_MUL either to fp32 or
 * straight into the activation form, which spares a step and a trip through memory. A task is a token. */
#include <immintrin.h>
#include <math.h>

#include "base/half.h"
#include "base/num.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "quant/xform.h"

enum { CHUNK = 128 }; /* columns worked out at a time; the form's groups are never larger */

static bool y_is_known(const kmat *y) {
    return y->type == DT_F32 ||
           (y->type == DT_XI8X3 && (y->group == 32 || y->group == 64 || y->group == 128) && y->cols % y->group == 0);
}

static int64_t tasks_of_tokens(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(c->x.rows, 1);
}

static const float *row_of(const kmat *m, int64_t t) {
    return (const float *)m->data + t * m->stride;
}

static float horizontal_sum(__m256 a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static int32_t horizontal_sum_int(__m256i a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
}

/* ---- Into the form ------------------------------------------------------------------------------------------- */

static uint32_t largest_bits(const float *x, int64_t n) {
    const __m256i absolute = _mm256_set1_epi32(0x7fffffff);
    __m256i most = _mm256_setzero_si256();
    for (int64_t j = 0; j < n; j += 8)
        most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + j)), absolute));
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
    m = _mm_max_epu32(m, _mm_unpackhi_epi64(m, m));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(m, _mm_shuffle_epi32(m, 1)));
}

/* The lowest bytes of 32 integers, in their order. The packs keep values that fit, and weave the halves of vectors. */
static __m256i low_bytes(const __m256i q[4]) {
    const __m256i mask = _mm256_set1_epi32(0xff);
    __m256i a = _mm256_packus_epi32(_mm256_and_si256(q[0], mask), _mm256_and_si256(q[1], mask));
    __m256i b = _mm256_packus_epi32(_mm256_and_si256(q[2], mask), _mm256_and_si256(q[3], mask));
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* 32 columns as three planes of bytes, see xform_encode. Returns the sums of q in 8 lanes. */
static __m256i quantize_block(const float *x, __m256 inverse, int8_t *to) {
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    __m256i q[4], total = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inverse));
        total = _mm256_add_epi32(total, q[i]);
        q[i] = _mm256_add_epi32(q[i], _mm256_set1_epi32(0x8080));
    }
    for (int plane = XFORM_PLANES - 1; plane >= 0; plane--) {
        __m256i bytes = low_bytes(q);
        if (plane > 0) bytes = _mm256_xor_si256(bytes, flip);
        _mm256_storeu_si256((__m256i *)(to + plane * XFORM_BLOCK), bytes);
        for (int i = 0; i < 4; i++) q[i] = _mm256_srli_epi32(q[i], 8);
    }
    return total;
}

/* xform_encode of the group that starts at column `at`, bit for bit; what is not finite is left to it. */
static void quantize_group(const kmat *y, int64_t row, int64_t at, const float *x) {
    int64_t g = at / y->group, n_groups = y->cols / y->group;
    uint32_t largest = largest_bits(x, y->group);
    if (largest >= 0x7f800000u) {
        xform_encode(y, row, g, x);
        return;
    }
    float scale = xform_scale(largest);
    const __m256 inverse = _mm256_set1_ps(xform_inverse(scale));
    int8_t *codes = xform_codes(y, row) + at * XFORM_PLANES;
    __m256i total = _mm256_setzero_si256();
    for (int64_t j = 0; j < y->group; j += XFORM_BLOCK)
        total = _mm256_add_epi32(total, quantize_block(x + j, inverse, codes + j * XFORM_PLANES));
    xform_scales(y)[row * n_groups + g] = scale;
    xform_sums(y)[row * n_groups + g] = scale * (float)horizontal_sum_int(total);
}

static bool quantize_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->y.type == DT_XI8X3 && y_is_known(&c->y);
}

static void quantize_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++)
        for (int64_t j = 0; j < c->y.cols; j += c->y.group) quantize_group(&c->y, t, j, row_of(&c->x, t) + j);
}

/* ---- RMSNORM ------------------------------------------------------------------------------------------------- */

static bool rmsnorm_takes(const krow *row, const kcall *c) {
    (void)row;
    int64_t size = c->x.cols / c->n_parts;
    return c->x.type == DT_F32 && y_is_known(&c->y) && (c->y.type == DT_F32 || size % c->y.group == 0);
}

static float sum_of_squares(const float *x, int64_t n) {
    __m256 sums[4] = {_mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps()};
    int64_t j = 0;
    for (; j + 32 <= n; j += 32)
        for (int i = 0; i < 4; i++) {
            __m256 a = _mm256_loadu_ps(x + j + 8 * i);
            sums[i] = _mm256_fmadd_ps(a, a, sums[i]);
        }
    float rest = 0;
    for (; j < n; j++) rest += x[j] * x[j];
    return horizontal_sum(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3]))) + rest;
}

static __m256 load_8(const kvec *v, int64_t i) {
    if (v->type == DT_F32) return _mm256_loadu_ps((const float *)v->data + i);
    __m128i half = _mm_loadu_si128((const __m128i *)((const uint16_t *)v->data + i));
    if (v->type == DT_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* y = x * factor * weight[at..at + n) */
static void scale_columns(const float *x, float factor, const kvec *weight, int64_t at, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) {
        __m256 a = _mm256_mul_ps(_mm256_loadu_ps(x + j), _mm256_set1_ps(factor));
        _mm256_storeu_ps(y + j, weight->data ? _mm256_mul_ps(a, load_8(weight, at + j)) : a);
    }
    for (; j < n; j++)
        y[j] = x[j] * factor * (weight->data ? (float)float_at(weight->data, weight->type, at + j) : 1.0f);
}

static void rmsnorm_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    int64_t size = c->x.cols / c->n_parts;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        for (int64_t start = 0; start < c->x.cols; start += size) {
            const float *x = row_of(&c->x, t) + start;
            float factor = 1.0f / sqrtf(sum_of_squares(x, size) / (float)size + c->eps);
            if (c->y.type == DT_F32) {
                scale_columns(x, factor, &c->weight, 0, size, (float *)c->y.data + t * c->y.stride + start);
                continue;
            }
            for (int64_t j = 0; j < size; j += c->y.group) {
                float y[CHUNK];
                scale_columns(x + j, factor, &c->weight, j, c->y.group, y);
                quantize_group(&c->y, t, start + j, y);
            }
        }
    }
}

/* ---- SILU_MUL ------------------------------------------------------------------------------------------------ */

static bool silu_mul_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->x.type == DT_F32 && c->z.type == DT_F32 && y_is_known(&c->y);
}

/* e^x: 2^n e^r with |r| <= ln 2 / 2, and 8 terms of the series of e^r, whose rest is below 6e-9. ln 2 is taken off in
 * two parts, of which the first has few enough bits for n times it to be exact. x is cut to where e^x is normal. */
static __m256 exp_8(__m256 x) {
    x = _mm256_min_ps(_mm256_max_ps(x, _mm256_set1_ps(-87.3f)), _mm256_set1_ps(88.0f));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), 8);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    static const float factorials[7] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f};
    __m256 sum = _mm256_set1_ps(1.0f / 5040);
    for (int i = 0; i < 7; i++) sum = _mm256_fmadd_ps(sum, r, _mm256_set1_ps(factorials[i]));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(sum, _mm256_castsi256_ps(power));
}

static __m256 silu_mul_8(__m256 x, __m256 z) {
    __m256 below = _mm256_add_ps(_mm256_set1_ps(1), exp_8(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f))));
    return _mm256_mul_ps(_mm256_div_ps(x, below), z);
}

static void silu_mul_columns(const float *x, const float *z, int64_t n, float *y) {
    int64_t j = 0;
    for (; j + 8 <= n; j += 8) _mm256_storeu_ps(y + j, silu_mul_8(_mm256_loadu_ps(x + j), _mm256_loadu_ps(z + j)));
    if (j < n) {
        const __m256i rest =
            _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n - j)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        _mm256_maskstore_ps(y + j, rest, silu_mul_8(_mm256_maskload_ps(x + j, rest), _mm256_maskload_ps(z + j, rest)));
    }
}

static void silu_mul_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->x.rows); t++) {
        const float *x = row_of(&c->x, t), *z = row_of(&c->z, t);
        if (c->y.type == DT_F32) {
            silu_mul_columns(x, z, c->x.cols, (float *)c->y.data + t * c->y.stride);
            continue;
        }
        for (int64_t j = 0; j < c->x.cols; j += c->y.group) {
            float y[CHUNK];
            silu_mul_columns(x + j, z + j, c->y.group, y);
            quantize_group(&c->y, t, j, y);
        }
    }
}

#define ROW(what, operation)                                                                                           \
    {                                                                                                                  \
        .name = #what ".avx2", .backend = "cpu", .op = operation, .rank = 20, .needs = CPU_AVX2,                       \
        .takes = what##_takes, .tasks = tasks_of_tokens, .run = what##_run,                                            \
    }

static const krow rows[] = {ROW(quantize, KOP_QUANTIZE), ROW(rmsnorm, KOP_RMSNORM), ROW(silu_mul, KOP_SILU_MUL)};
const krow_table activations_avx2_rows = KROW_TABLE(rows);
