/* SPDX-License-Identifier: Apache-2.0
 *
 * ATTENTION with AVX-512: the vectors of attention_tmpl.h are 16 lanes. */
#include "cpu/x86/vec_avx512.h"
#include "kernels/kernel.h"

static inline vmask v_between(int lo, int hi, int first) {
    unsigned below_hi = hi <= first ? 0 : hi - first >= LANES ? 0xffff : (1u << (hi - first)) - 1;
    unsigned below_lo = lo <= first ? 0 : lo - first >= LANES ? 0xffff : (1u << (lo - first)) - 1;
    return (vmask)(below_hi & ~below_lo);
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
    __m512 low = v_fold(v_fold(a[0], a[1]), v_fold(a[2], a[3])); /* a quarter each */
    __m512 high = v_fold(v_fold(a[4], a[5]), v_fold(a[6], a[7]));
    __m512 both = _mm512_add_ps(_mm512_unpacklo_ps(low, high), _mm512_unpackhi_ps(low, high));
    both = _mm512_add_ps(both, _mm512_permute_ps(both, 0x4e));
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, both)));
}

#include "cpu/attention_tmpl.h"

static const krow rows[] = {ATTENTION_ROW("avx512", 30, CPU_AVX512)};
const krow_table attention_avx512_rows = KROW_TABLE(rows);
