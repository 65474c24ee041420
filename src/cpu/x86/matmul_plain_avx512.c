/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of plain fp32, fp16 and bf16 weights with AVX-512; the body is matmul_plain_tmpl.h. */
#include <immintrin.h>
#include <string.h>

#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"

enum { LANES = 16, ROWS = 4, MAX_TOKENS = 6 };
typedef __m512 vfloat;

static inline vfloat f_zero(void) {
    return _mm512_setzero_ps();
}
static inline vfloat f_fma(vfloat a, vfloat b, vfloat c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline vfloat f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
static inline vfloat f_load_first(const float *p, int n) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
static inline float f_sum(vfloat a) {
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

ALWAYS_INLINE vfloat widen(__m256i half, dtype type) {
    if (type == DT_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}
ALWAYS_INLINE vfloat load_weights(const void *p, dtype type) {
    return type == DT_F32 ? _mm512_loadu_ps(p) : widen(_mm256_loadu_si256(p), type);
}
ALWAYS_INLINE vfloat load_first_weights(const void *p, dtype type, int n) {
    __mmask16 first = (__mmask16)((1u << n) - 1);
    return type == DT_F32 ? _mm512_maskz_loadu_ps(first, p) : widen(_mm256_maskz_loadu_epi16(first, p), type);
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
        (void)row, (void)scratch;                                                                                      \
        static step_fn *const steps[MAX_TOKENS] = {step_##type##_1, step_##type##_2, step_##type##_3,                  \
                                                   step_##type##_4, step_##type##_5, step_##type##_6};                 \
        run_tasks(c, begin, end, steps);                                                                               \
    }
RUN(DT_F32)
RUN(DT_F16)
RUN(DT_BF16)

#define ROW(of, suffix)                                                                                                \
    {                                                                                                                  \
        .name = "matmul.plain." suffix ".avx512", .backend = "cpu", .op = KOP_MATMUL, .rank = 30, .needs = CPU_AVX512, \
        .x_type = DT_F32, .param = {of}, .takes = plain_takes, .tasks = plain_tasks, .run = run_##of,                  \
    }

static const krow rows[] = {ROW(DT_F32, "f32"), ROW(DT_F16, "f16"), ROW(DT_BF16, "bf16")};
const krow_table matmul_plain_avx512_rows = KROW_TABLE(rows);
