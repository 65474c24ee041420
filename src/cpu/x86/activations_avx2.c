/* SPDX-License-Identifier: Apache-2.0
 *
 * QUANTIZE, RMSNORM and SILU_MUL with AVX2 and FMA: the vectors of activations_tmpl.h are 8 lanes. */
#include <immintrin.h>

#include "kernels/kernel.h"
#include "quant/xform.h"

#define INSTRUCTIONS "avx2"
#define NEEDS        CPU_AVX2

enum { LANES = 8 };
typedef __m256 vfloat;
typedef __m256i vint;

#define v_load    _mm256_loadu_ps
#define v_store   _mm256_storeu_ps
#define v_set1    _mm256_set1_ps
#define v_add     _mm256_add_ps
#define v_mul     _mm256_mul_ps
#define v_div     _mm256_div_ps
#define v_neg(a)  _mm256_xor_ps(a, _mm256_set1_ps(-0.0f))
#define v_fma     _mm256_fmadd_ps
#define v_add_int _mm256_add_epi32

static float v_sum(__m256 a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static int32_t v_sum_int(__m256i a) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 1)));
}

static __m256 load_stored(const void *data, dtype type, int64_t i) {
    if (type == DT_F32) return _mm256_loadu_ps((const float *)data + i);
    __m128i half = _mm_loadu_si128((const __m128i *)((const uint16_t *)data + i));
    if (type == DT_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

/* e^x: 2^n e^r with |r| <= ln 2 / 2, and 8 terms of the series of e^r, whose rest is below 6e-9. ln 2 is taken off in
 * two parts, of which the first has few enough bits for n times it to be exact. x is cut to where e^x is normal. */
static __m256 v_exp(__m256 x) {
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

static __m256i quantize_block(const float *x, float inverse, int8_t *to) {
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    __m256i q[4], total = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse)));
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

#include "cpu/activations_tmpl.h"

const krow_table activations_avx2_rows = KROW_TABLE(rows);
