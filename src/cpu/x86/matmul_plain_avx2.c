/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of plain fp32, fp16 and bf16 weights with AVX2; the body is matmul_plain_tmpl.h. */
#include <immintrin.h>
#include <string.h>

#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"

enum { LANES = 8, ROWS = 3, MAX_TOKENS = 4 };
typedef __m256 vfloat;

static inline vfloat f_zero(void) {
    return _mm256_setzero_ps();
}
static inline vfloat f_fma(vfloat a, vfloat b, vfloat c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline vfloat f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
static inline vfloat f_load_first(const float *p, int n) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lanes));
}
static inline float f_sum(vfloat a) {
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

ALWAYS_INLINE vfloat load_weights(const void *p, dtype type) {
    if (type == DT_F32) return _mm256_loadu_ps(p);
    __m128i half = _mm_loadu_si128(p);
    if (type == DT_F16) return _mm256_cvtph_ps(half);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}
ALWAYS_INLINE vfloat load_first_weights(const void *p, dtype type, int n) {
    if (type == DT_F32) return f_load_first(p, n);
    uint16_t half[LANES] = {0};
    memcpy(half, p, (size_t)n * sizeof *half);
    return load_weights(half, type);
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
        (void)row, (void)scratch;                                                                                      \
        static step_fn *const steps[MAX_TOKENS] = {step_##type##_1, step_##type##_2, step_##type##_3,                  \
                                                   step_##type##_4};                                                   \
        run_tasks(c, begin, end, steps);                                                                               \
    }
RUN(DT_F32)
RUN(DT_F16)
RUN(DT_BF16)

#define ROW(of, suffix)                                                                                                \
    {                                                                                                                  \
        .name = "matmul.plain." suffix ".avx2", .backend = "cpu", .op = KOP_MATMUL, .rank = 20, .needs = CPU_AVX2,     \
        .x_type = DT_F32, .param = {of}, .takes = plain_takes, .tasks = plain_tasks, .run = run_##of,                  \
    }

static const krow rows[] = {ROW(DT_F32, "f32"), ROW(DT_F16, "f16"), ROW(DT_BF16, "bf16")};
const krow_table matmul_plain_avx2_rows = KROW_TABLE(rows);
