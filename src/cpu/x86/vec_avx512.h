/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of 16 floats with AVX-512 F, BW, VL, DQ, by the names that the bodies of src/cpu for any width use. */
#ifndef NB_CPU_X86_VEC_AVX512_H
#define NB_CPU_X86_VEC_AVX512_H

#include <immintrin.h>

#include "base/half.h"

enum { LANES = 16 };
typedef __m512 vfloat;
typedef __m512i vint;
typedef __mmask16 vmask;

#define v_load(p)     _mm512_loadu_ps(p)
#define v_store(p, a) _mm512_storeu_ps(p, a)
#define v_set1        _mm512_set1_ps
#define v_add         _mm512_add_ps
#define v_sub         _mm512_sub_ps
#define v_mul         _mm512_mul_ps
#define v_div         _mm512_div_ps
#define v_min         _mm512_min_ps
#define v_max         _mm512_max_ps
#define v_fma         _mm512_fmadd_ps
#define v_first       _mm512_cvtss_f32
#define v_sum         _mm512_reduce_add_ps
#define v_largest     _mm512_reduce_max_ps
#define v_abs         _mm512_abs_ps
#define v_from_int    _mm512_cvtepi32_ps

static inline vfloat v_neg(vfloat a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
/* |a| with the sign of b, for a >= 0. */
static inline vfloat v_with_sign(vfloat a, vfloat b) {
    return _mm512_or_ps(a, _mm512_and_ps(b, _mm512_set1_ps(-0.0f)));
}
static inline vfloat v_round(vfloat a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vfloat v_power(vfloat n) {
    __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23));
}
static inline vmask v_less(vfloat a, vfloat b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
static inline vfloat v_and_not(vmask mask, vfloat a) {
    return _mm512_maskz_mov_ps((vmask)~mask, a);
}
static inline vfloat v_blend(vmask mask, vfloat yes, vfloat no) {
    return _mm512_mask_blend_ps(mask, no, yes);
}

/* Quarters of a and b, added in pairs: the quarters of a stand below those of b. */
static inline vfloat v_fold(vfloat a, vfloat b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
/* The sums of 4 vectors. */
static inline void v_sum4(const vfloat a[4], float out[4]) {
    vfloat s = v_fold(v_fold(a[0], a[1]), v_fold(a[2], a[3])); /* a quarter each */
    s = _mm512_add_ps(s, _mm512_permute_ps(s, 0x4e));
    s = _mm512_add_ps(s, _mm512_permute_ps(s, 0xb1));
    const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_ps(out, _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, s)));
}

/* a[v] lane i holds element v * LANES + i of an array of fours; makes it a[j] lane i = element j of four i. */
static inline void v_turn4(vfloat a[4]) {
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
    const __m512i second = _mm512_setr_epi32(2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
    __m512 p = _mm512_permutex2var_ps(a[0], first, a[1]), q = _mm512_permutex2var_ps(a[2], first, a[3]);
    __m512 r = _mm512_permutex2var_ps(a[0], second, a[1]), s = _mm512_permutex2var_ps(a[2], second, a[3]);
    a[0] = _mm512_shuffle_f32x4(p, q, 0x44), a[1] = _mm512_shuffle_f32x4(p, q, 0xee);
    a[2] = _mm512_shuffle_f32x4(r, s, 0x44), a[3] = _mm512_shuffle_f32x4(r, s, 0xee);
}

/* The first n lanes, n in [0, LANES]; the others are 0. */
static inline vfloat v_load_part(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline void v_store_part(float *p, int n, vfloat a) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), a);
}

static inline vfloat load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline vfloat load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
/* LANES elements of an array of f32, f16 or bf16, from element i on. */
static inline vfloat load_stored(const void *data, dtype type, int64_t i) {
    if (type == DT_F32) return _mm512_loadu_ps((const float *)data + i);
    const uint16_t *halves = (const uint16_t *)data + i;
    return type == DT_F16 ? load_f16(halves) : load_bf16(halves);
}

#include "cpu/vec_math.h"

#endif
