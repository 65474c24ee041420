/* SPDX-License-Identifier: Apache-2.0
 *
 * QUANTIZE, RMSNORM and ACT_MUL with AVX2 and FMA: the vectors of activations_tmpl.h are 8 lanes. */
#include "cpu/x86/vec_avx2.h"
#include "kernels/kernel.h"
#include "quant/xform.h"

#define INSTRUCTIONS "avx2"
#define NEEDS        CPU_AVX2

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
