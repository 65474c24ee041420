/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of plain fp32, fp16 and bf16 weights, of nvfp4 and of mxfp8 with AVX-512; the body is matmul_plain_tmpl.h. */
#include <string.h>

#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/small_floats.h"
#include "cpu/unroll.h"
#include "cpu/x86/vec_avx512.h"

enum { ROWS = 4, MAX_TOKENS = 6 };
ALWAYS_INLINE vfloat load_first_weights(const void *p, dtype type, int n) {
    if (type == DT_F32) return v_load_part(p, n);
    __m256i half = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p);
    if (type == DT_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
/* 16 codes of 4 bits: each lane shifts its own to the bottom, where 4 bits look up the number. */
ALWAYS_INLINE vfloat load_e2m1(const uint8_t *p) {
    static const float values[] = {E2M1_VALUES};
    const __m512i halves = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    const __m512i down = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    int64_t sixteen;
    memcpy(&sixteen, p, sizeof sixteen);
    __m512i all = _mm512_permutexvar_epi32(halves, _mm512_set1_epi64(sixteen));
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(all, down), _mm512_loadu_ps(values));
}
/* The bits of e4m3 as those of fp16, which is 2^8 times smaller. */
ALWAYS_INLINE vfloat load_e4m3(const uint8_t *p) {
    __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)p)), 7);
    __m512 half = _mm512_cvtph_ps(_mm256_and_si256(wide, _mm256_set1_epi16((short)0xbf80)));
    return _mm512_mul_ps(half, _mm512_set1_ps(256));
}

#include "cpu/x86/matmul_plain_tmpl.h"

#define STEP(type, tokens)                                                                                             \
    static void step_##type##_##tokens(const job *j, int64_t row, int64_t token) {                                     \
        step(j, row, token, tokens, type);                                                                             \
    }
#define RUN(type)                                                                                                      \
    STEP(type, 1)                                                                                                      \
    STEP(type, 2)                                                                                                      \
    STEP(type, 3)                                                                                                      \
    STEP(type, 4)                                                                                                      \
    STEP(type, 5)                                                                                                      \
    STEP(type, 6)                                                                                                      \
    static void run_##type(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {               \
        (void)row;                                                                                                     \
        static step_fn *const steps[MAX_TOKENS] = {step_##type##_1, step_##type##_2, step_##type##_3,                  \
                                                   step_##type##_4, step_##type##_5, step_##type##_6};                 \
        run_tasks(c, begin, end, scratch, steps);                                                                      \
    }
RUN(DT_F32)
RUN(DT_F16)
RUN(DT_BF16)
RUN(NVFP4)
RUN(MXFP8)

#define ROW(of, name) PLAIN_ROWS(of, name ".avx512", 30, CPU_AVX512)

static const krow rows[] = {ROW(DT_F32, "plain.f32"), ROW(DT_F16, "plain.f16"), ROW(DT_BF16, "plain.bf16"),
                            ROW(NVFP4, "nvfp4"), ROW(MXFP8, "mxfp8")};
const krow_table matmul_plain_avx512_rows = KROW_TABLE(rows);
