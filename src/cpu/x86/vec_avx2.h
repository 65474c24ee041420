/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 8 floats with AVX2, FMA and F16C, by the names that the bodies of src/cpu for any width use. */
#ifndef NB_CPU_X86_VEC_AVX2_H
#define NB_CPU_X86_VEC_AVX2_H

#include <immintrin.h>
#include <string.h>

#include "base/half.h"

enum { LANES = 8 };
typedef __m256 vfloat, vmask;
typedef __m256i vint;

#define v_load(p)     _mm256_loadu_ps(p)
#define v_store(p, a) _mm256_storeu_ps(p, a)
#define v_set1        _mm256_set1_ps
#define v_add         _mm256_add_ps
#define v_sub         _mm256_sub_ps
#define v_mul         _mm256_mul_ps
#define v_div         _mm256_div_ps
#define v_min         _mm256_min_ps
#define v_max         _mm256_max_ps
#define v_fma         _mm256_fmadd_ps
#define v_first       _mm256_cvtss_f32
#define v_add_int     _mm256_add_epi32
#define v_from_int    _mm256_cvtepi32_ps

static inline vfloat v_neg(vfloat a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
static inline vfloat v_abs(vfloat a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
/* |a| with the sign of b, for a >= 0. */
static inline vfloat v_with_sign(vfloat a, vfloat b) {
    return _mm256_or_ps(a, _mm256_and_ps(b, _mm256_set1_ps(-0.0f)));
}
static inline vfloat v_round(vfloat a) {
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vfloat v_power(vfloat n) {
    __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
static inline vmask v_less(vfloat a, vfloat b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
static inline vfloat v_and_not(vmask mask, vfloat a) {
    return _mm256_andnot_ps(mask, a);
}
static inline vfloat v_blend(vmask mask, vfloat yes, vfloat no) {
    return _mm256_blendv_ps(no, yes, mask);
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
static inline int32_t v_sum_int(vint a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
}
/* The sums of 4 vectors. */
static inline void v_sum4(const vfloat a[4], float out[4]) {
    __m256 s = _mm256_hadd_ps(_mm256_hadd_ps(a[0], a[1]), _mm256_hadd_ps(a[2], a[3]));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1)));
}

/* a[v] lane i holds element v * LANES + i of an array of fours; makes it a[j] lane i = element j of four i. */
static inline void v_turn4(vfloat a[4]) {
    __m256 p = _mm256_permute2f128_ps(a[0], a[2], 0x20), q = _mm256_permute2f128_ps(a[0], a[2], 0x31);
    __m256 r = _mm256_permute2f128_ps(a[1], a[3], 0x20), s = _mm256_permute2f128_ps(a[1], a[3], 0x31);
    __m256 pq = _mm256_unpacklo_ps(p, q), rs = _mm256_unpacklo_ps(r, s);
    a[0] = _mm256_shuffle_ps(pq, rs, 0x44), a[1] = _mm256_shuffle_ps(pq, rs, 0xee);
    pq = _mm256_unpackhi_ps(p, q), rs = _mm256_unpackhi_ps(r, s);
    a[2] = _mm256_shuffle_ps(pq, rs, 0x44), a[3] = _mm256_shuffle_ps(pq, rs, 0xee);
}

static inline __m256i v_lanes_below(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
/* The first n lanes, n in [0, LANES]; the others are 0. */
static inline vfloat v_load_part(const float *p, int n) {
    return n == LANES ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, v_lanes_below(n));
}
static inline void v_store_part(float *p, int n, vfloat a) {
    if (n == LANES)
        _mm256_storeu_ps(p, a);
    else
        _mm256_maskstore_ps(p, v_lanes_below(n), a);
}

static inline vfloat load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline vfloat load_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
/* LANES elements of an array of f32, f16 or bf16, from element i on. */
static inline vfloat load_stored(const void *data, dtype type, int64_t i) {
    if (type == DT_F32) return _mm256_loadu_ps((const float *)data + i);
    const uint16_t *halves = (const uint16_t *)data + i;
    return type == DT_F16 ? load_f16(halves) : load_bf16(halves);
}

#include "cpu/vec_math.h"

#endif
