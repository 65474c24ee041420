/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of plain fp32, fp16 and bf16 weights, of nvfp4 and of mxfp8 with AVX2; the body is matmul_plain_tmpl.h. */
#include <string.h>

#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/small_floats.h"
#include "cpu/unroll.h"
#include "cpu/x86/vec_avx2.h"

enum { ROWS = 3, MAX_TOKENS = 4 };
ALWAYS_INLINE vfloat load_first_weights(const void *p, dtype type, int n) {
    if (type == DT_F32) return v_load_part(p, n);
    uint16_t half[LANES] = {0};
    memcpy(half, p, (size_t)n * sizeof *half);
    return load_stored(half, type, 0);
}

/* 8 codes of 4 bits: each lane shifts its own to the bottom, where 3 bits look up the size, and to the top for the
 * sign. */
ALWAYS_INLINE vfloat load_e2m1(const uint8_t *p) {
    static const float values[] = {E2M1_VALUES};
    const __m256i down = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    const __m256i up = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
    uint32_t eight;
    memcpy(&eight, p, sizeof eight);
    __m256i all = _mm256_set1_epi32((int)eight);
    __m256 sizes = _mm256_permutevar8x32_ps(_mm256_loadu_ps(values), _mm256_srlv_epi32(all, down));
    __m256 signs = _mm256_and_ps(_mm256_castsi256_ps(_mm256_sllv_epi32(all, up)), _mm256_set1_ps(-0.0f));
    return _mm256_xor_ps(sizes, signs);
}
/* The bits of e4m3 as those of fp16, which is 2^8 times smaller. */
ALWAYS_INLINE vfloat load_e4m3(const uint8_t *p) {
    __m128i wide = _mm_slli_epi16(_mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i *)p)), 7);
    __m256 half = _mm256_cvtph_ps(_mm_and_si128(wide, _mm_set1_epi16((short)0xbf80)));
    return _mm256_mul_ps(half, _mm256_set1_ps(256));
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
    static void run_##type(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {               \
        (void)row;                                                                                                     \
        static step_fn *const steps[MAX_TOKENS] = {step_##type##_1, step_##type##_2, step_##type##_3,                  \
                                                   step_##type##_4};                                                   \
        run_tasks(c, begin, end, scratch, steps);                                                                      \
    }
RUN(DT_F32)
RUN(DT_F16)
RUN(DT_BF16)
RUN(NVFP4)
RUN(MXFP8)

#define ROW(of, name) PLAIN_ROWS(of, name ".avx2", 20, CPU_AVX2)

static const krow rows[] = {ROW(DT_F32, "plain.f32"), ROW(DT_F16, "plain.f16"), ROW(DT_BF16, "plain.bf16"),
                            ROW(NVFP4, "nvfp4"), ROW(MXFP8, "mxfp8")};
const krow_table matmul_plain_avx2_rows = KROW_TABLE(rows);
