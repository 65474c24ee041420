/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION with AVX-512: the vectors of attention_tmpl.h are 16 lanes. */
#include <immintrin.h>

#include "kernels/kernel.h"

enum { LANES = 16 };
typedef __m512 vfloat;
typedef __mmask16 vmask;

#define v_load(p)     _mm512_loadu_ps(p)
#define v_store(p, a) _mm512_storeu_ps(p, a)
#define v_set1        _mm512_set1_ps
#define v_add         _mm512_add_ps
#define v_sub         _mm512_sub_ps
#define v_mul         _mm512_mul_ps
#define v_max         _mm512_max_ps
#define v_fma         _mm512_fmadd_ps
#define v_first       _mm512_cvtss_f32
#define v_sum         _mm512_reduce_add_ps
#define v_largest     _mm512_reduce_max_ps

static inline vfloat v_blend(vmask mask, vfloat yes, vfloat no) {
    return _mm512_mask_blend_ps(mask, no, yes);
}

static inline vmask v_between(int lo, int hi, int first) {
    unsigned below_hi = hi <= first ? 0 : hi - first >= LANES ? 0xffff : (1u << (hi - first)) - 1;
    unsigned below_lo = lo <= first ? 0 : lo - first >= LANES ? 0xffff : (1u << (lo - first)) - 1;
    return (vmask)(below_hi & ~below_lo);
}

/* As attention_avx2.c's. */
static inline vfloat v_exp(vfloat x) {
    const vfloat least = _mm512_set1_ps(-87.33654f);
    vmask tiny = _mm512_cmp_ps_mask(x, least, _CMP_LT_OQ);
    x = _mm512_max_ps(least, x);
    vfloat n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(0x1.715476p+0f)), 8);
    vfloat r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    vfloat p = _mm512_set1_ps(1.0f / 5040);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 720));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 120));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 24));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f / 6));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    __m512i power = _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
    return _mm512_maskz_mul_ps((vmask)~tiny, p, _mm512_castsi512_ps(power));
}

static inline vfloat load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

static inline vfloat load_bf16(const uint16_t *p) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

/* Quarters of a and b, added in pairs: the quarters of a stand below those of b. */
static inline __m512 fold(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

static inline void dot8(const float *q, const float *k, int64_t dim, float *out) {
    __m512 a[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) a[i] = _mm512_setzero_ps();
    for (int64_t d = 0; d < dim; d += LANES) {
        __m512 x = _mm512_loadu_ps(q + d);
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) a[i] = _mm512_fmadd_ps(x, _mm512_loadu_ps(k + i * dim + d), a[i]);
    }
    __m512 low = fold(fold(a[0], a[1]), fold(a[2], a[3])); /* a quarter each */
    __m512 high = fold(fold(a[4], a[5]), fold(a[6], a[7]));
    __m512 both = _mm512_add_ps(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
    both = _mm512_add_ps(both, _mm512_permute_ps(both, 0x4e));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, both)));
}

#include "cpu/attention_tmpl.h"

static const krow rows[] = {ATTENTION_ROW("avx512", 30, CPU_AVX512)};
const krow_table attention_avx512_rows = KROW_TABLE(rows);
