/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION with AVX2 and FMA: the vectors of attention_tmpl.h are 8 lanes. */
#include <immintrin.h>

#include "kernels/kernel.h"

enum { LANES = 8 };
typedef __m256 vfloat, vmask;

#define v_load(p)     _mm256_loadu_ps(p)
#define v_store(p, a) _mm256_storeu_ps(p, a)
#define v_set1        _mm256_set1_ps
#define v_add         _mm256_add_ps
#define v_sub         _mm256_sub_ps
#define v_mul         _mm256_mul_ps
#define v_max         _mm256_max_ps
#define v_fma         _mm256_fmadd_ps
#define v_first       _mm256_cvtss_f32

static inline vfloat v_blend(vmask mask, vfloat yes, vfloat no) {
    return _mm256_blendv_ps(no, yes, mask);
}

static inline vmask v_between(int lo, int hi, int first) {
    __m256i i = _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(lo), i);
    return _mm256_castsi256_ps(_mm256_andnot_si256(below, _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), i)));
}

static inline float v_sum(vfloat a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float v_largest(vfloat a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

/* e^x = 2^n e^r with n = round(x / ln 2), |r| <= ln 2 / 2; the Taylor series of e^r to r^7 / 7! is off by less than
 * 6e-9 of it. n ln 2 is taken off in two parts, the first short enough for an exact product. Arguments here are at most
 * 0; a NaN stays one (min and max give their second operand then). */
static inline vfloat v_exp(vfloat x) {
    const vfloat least = _mm256_set1_ps(-87.33654f); /* ln of the smallest normal number */
    vmask tiny = _mm256_cmp_ps(x, least, _CMP_LT_OQ);
    x = _mm256_max_ps(least, x);
    vfloat n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(0x1.715476p+0f)), 8);
    vfloat r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.62e4p-1f), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0x1.7f7d1cp-20f), r);
    vfloat p = _mm256_set1_ps(1.0f / 5040);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 720));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 120));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 24));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f / 6));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.5f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.0f));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_andnot_ps(tiny, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}

static inline vfloat load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

static inline vfloat load_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline void dot8(const float *q, const float *k, int64_t dim, float *out) {
    __m256 a[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) a[i] = _mm256_setzero_ps();
    for (int64_t d = 0; d < dim; d += LANES) {
        __m256 x = _mm256_loadu_ps(q + d);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) a[i] = _mm256_fmadd_ps(x, _mm256_loadu_ps(k + i * dim + d), a[i]);
    }
    __m256 low = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    __m256 high = _mm256_hadd_ps(_mm256_hadd_ps(a[4], a[5]), _mm256_hadd_ps(a[6], a[7]));
    _mm256_storeu_ps(out,
                     _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31)));
}

#include "cpu/attention_tmpl.h"

static const krow rows[] = {ATTENTION_ROW("avx2", 20, CPU_AVX2)};
const krow_table attention_avx2_rows = KROW_TABLE(rows);
