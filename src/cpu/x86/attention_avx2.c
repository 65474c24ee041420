/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION with AVX2 and FMA: the vectors of attention_tmpl.h are 8 lanes. */
#include "cpu/x86/vec_avx2.h"
#include "kernels/kernel.h"

static inline vmask v_between(int lo, int hi, int first) {
    __m256i i = _mm256_add_epi32(_mm256_set1_epi32(first), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(lo), i);
    return _mm256_castsi256_ps(_mm256_andnot_si256(below, _mm256_cmpgt_epi32(_mm256_set1_epi32(hi), i)));
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
