/* SPDX-License-Identifier: Apache-2.0
 *
 * AVX2 rows of the small operations on each token: EMBED of affine tables here, the others by ops_tmpl.h and
 * route_tmpl.h with vectors of 8 lanes. They move a few kilobytes a token, so wider vectors would gain nothing. */
#include <math.h>
#include <string.h>

#include "cpu/x86/vec_avx2.h"
#include "kernels/kernel.h"

#define INSTRUCTIONS "avx2"
#define NEEDS        CPU_AVX2

/* Pairs (a[i], b[i]), i < half. */
static void rotate_halves(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    int64_t i = 0;
    for (; i + 8 <= half; i += 8) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + half + i);
        __m256 cs = _mm256_loadu_ps(cosine + i), sn = _mm256_loadu_ps(sine + i);
        _mm256_storeu_ps(y + i, _mm256_fmsub_ps(a, cs, _mm256_mul_ps(b, sn)));
        _mm256_storeu_ps(y + half + i, _mm256_fmadd_ps(b, cs, _mm256_mul_ps(a, sn)));
    }
    for (; i < half; i++) {
        float a = x[i], b = x[half + i];
        y[i] = fmaf(a, cosine[i], -(b * sine[i]));
        y[half + i] = fmaf(b, cosine[i], a * sine[i]);
    }
}

/* Pairs (x[2i], x[2i + 1]): 4 a vector, the angles doubled up; fmaddsub subtracts in the even lanes. */
static void rotate_pairs(const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    const __m256i twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    int64_t i = 0;
    for (; i + 4 <= half; i += 4) {
        __m256 pairs = _mm256_loadu_ps(x + 2 * i), swapped = _mm256_permute_ps(pairs, 0xb1);
        __m256 cs = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cosine + i)), twice);
        __m256 sn = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sine + i)), twice);
        _mm256_storeu_ps(y + 2 * i, _mm256_fmaddsub_ps(pairs, cs, _mm256_mul_ps(swapped, sn)));
    }
    for (; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        y[2 * i] = fmaf(a, cosine[i], -(b * sine[i]));
        y[2 * i + 1] = fmaf(b, cosine[i], a * sine[i]);
    }
}

static void rotate(const kcall *c, const float *x, const float *cosine, const float *sine, int64_t half, float *y) {
    if (c->interleaved)
        rotate_pairs(x, cosine, sine, half, y);
    else
        rotate_halves(x, cosine, sine, half, y);
}

static void store_f16(const float *x, int64_t n, uint16_t *y) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm_storeu_si128((__m128i *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), 0));
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

/* A NaN keeps its high bits and becomes quiet. */
static void store_bf16(const float *x, int64_t n, uint16_t *y) {
    const __m256i one = _mm256_set1_epi32(1), below_half = _mm256_set1_epi32(0x7fff);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 f = _mm256_loadu_ps(x + i);
        __m256i u = _mm256_castps_si256(f), odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), one);
        __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(u, _mm256_add_epi32(below_half, odd)), 16);
        __m256i quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
        __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(f, f, _CMP_UNORD_Q));
        __m256i h = _mm256_blendv_epi8(rounded, quiet, is_nan);
        __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
        _mm_storeu_si128((__m128i *)(y + i), packed);
    }
    for (; i < n; i++) y[i] = f32_to_bf16(x[i]);
}

#include "cpu/ops_tmpl.h"
#include "cpu/route_tmpl.h"

/* ---- EMBED --------------------------------------------------------------------------------------------------- */

static bool embed_takes(const krow *row, const kcall *c) {
    (void)row;
    return c->y.type == DT_F32 && c->w->mode == W_AFFINE;
}

static float stored_float(const void *data, dtype type, int64_t i) {
    return (float)float_at(data, type, i);
}

/* 8 codes of `bits` bits from the `bits` bytes at p: two halves of 4 codes, each within 4 bytes, shifted apart. The
 * bytes are gathered first, so that nothing behind them is read. */
static __m256 unpack8(const uint8_t *p, int bits) {
    uint64_t stream = 0;
    memcpy(&stream, p, (size_t)bits);
    uint32_t low = (uint32_t)stream, high = (uint32_t)(stream >> (4 * bits));
    __m256i halves =
        _mm256_setr_epi32((int)low, (int)low, (int)low, (int)low, (int)high, (int)high, (int)high, (int)high);
    __m256i shifts = _mm256_setr_epi32(0, bits, 2 * bits, 3 * bits, 0, bits, 2 * bits, 3 * bits);
    __m256i codes = _mm256_and_si256(_mm256_srlv_epi32(halves, shifts), _mm256_set1_epi32((1 << bits) - 1));
    return _mm256_cvtepi32_ps(codes);
}

static void embed_row(const kweight *w, int64_t token, float factor, float *y) {
    int64_t n_groups = w->k / w->group_size;
    const uint8_t *codes = (const uint8_t *)w->codes + token * (w->k / 8) * w->bits;
    for (int64_t g = 0; g < n_groups; g++) {
        const __m256 scale = _mm256_set1_ps(stored_float(w->scales, w->type, token * n_groups + g));
        const __m256 bias = _mm256_set1_ps(w->biases ? stored_float(w->biases, w->type, token * n_groups + g) : 0);
        for (int64_t j = g * w->group_size; j < (g + 1) * w->group_size; j += 8) {
            __m256 value = _mm256_fmadd_ps(scale, unpack8(codes + j / 8 * w->bits, w->bits), bias);
            _mm256_storeu_ps(y + j, _mm256_mul_ps(value, _mm256_set1_ps(factor)));
        }
    }
}

static void embed_run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)row, (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++)
        embed_row(c->w, c->tokens[t], c->scale, row_out(&c->y, t));
}

static const krow rows[] = {
    {
        .name = "embed.affine.avx2",
        .backend = "cpu",
        .op = KOP_EMBED,
        .rank = 20,
        .needs = CPU_AVX2,
        .takes = embed_takes,
        .tasks = tasks_of_y,
        .run = embed_run,
    },
    ROW(rope, KOP_ROPE, takes_f32),
    COMMON_ROWS,
    ROUTE_ROWS,
};
const krow_table ops_avx2_rows = KROW_TABLE(rows);
