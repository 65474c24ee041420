/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of affine and mxfp4 weights with AVX2: 8 rows a tile. Codes are bytes that vpmaddubsw multiplies by the three
 * byte planes of the activations, as many products adding up in 16 bits as never overflow. */
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"
#include "cpu/x86/affine_layout.h"
#include "cpu/x86/vec_avx2.h"
#include "quant/xform.h"

enum { TILES = 2, MAX_TOKENS = 2, PREFETCH = 8192 }; /* bytes of weights ahead */

/* 2^(s - 127), which is no normal number for s = 0; NaN for 255. */
static inline vfloat scales_e8m0(__m128i bytes) {
    __m256i s = _mm256_cvtepu8_epi32(bytes);
    __m256i is_nan = _mm256_cmpeq_epi32(s, _mm256_set1_epi32(255));
    __m256i bits = _mm256_max_epi32(_mm256_slli_epi32(s, 23), _mm256_set1_epi32(0x00400000));
    return _mm256_castsi256_ps(_mm256_blendv_epi8(bits, _mm256_set1_epi32(0x7fc00000), is_nan));
}
static inline vfloat load_scales(const uint8_t *p, dtype type) {
    return type == DT_U8 ? scales_e8m0(_mm_loadl_epi64((const __m128i *)p)) : load_stored(p, type, 0);
}

/* A value that the compiler must have here: otherwise it gathers the terms of a sum in memory and adds them at last. */
#define SETTLE(v) __asm__("" : "+x"(v))

/* Pointers that the compiler must not know: otherwise it keeps what it read through them, on the stack. */
#define RELOAD(n, pointers) UNROLL for (int i_ = 0; i_ < (n); i_++) __asm__("" : "+r"((pointers)[i_]))

ALWAYS_INLINE vint load_vector(const uint8_t *p, int i) {
    return _mm256_loadu_si256((const __m256i *)(p + 32 * i));
}
/* A field of every byte: bits [from, from + width) moved to bit `to`. */
ALWAYS_INLINE vint field(vint a, int from, int width, int to) {
    if (from > to) a = _mm256_srli_epi16(a, from - to);
    if (from < to) a = _mm256_slli_epi16(a, to - from);
    return _mm256_and_si256(a, _mm256_set1_epi8((char)(((1 << width) - 1) << to)));
}
/* The codes of step i (4 columns) of a block, as bytes; of 8 bits their low (half 0) or high (half 1) 4 bits. */
ALWAYS_INLINE vint step_codes(const uint8_t *block, int i, int bits, int half) {
    if (bits == 8) return field(load_vector(block, i), 4 * half, 4, 0);
    if (bits < 4) {
        vint low = field(load_vector(block, i / 4), 2 * (i % 4), 2, 0);
        return bits == 2 ? low : _mm256_or_si256(low, field(load_vector(block, 2), i, 1, 2));
    }
    vint low = field(load_vector(block, i / 2), 4 * (i % 2), 4, 0);
    if (bits == 5) return _mm256_or_si256(low, field(load_vector(block, 4), i, 1, 4));
    if (bits == 6) return _mm256_or_si256(low, field(load_vector(block, 4 + i / 4), 2 * (i % 4), 2, 4));
    if (bits == E2M1) return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(E2M1_CODES)), low);
    return low;
}

ALWAYS_INLINE void set_zero(int tiles, int tokens, vint dots[TILES][MAX_TOKENS]) {
    UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) dots[v][t] = _mm256_setzero_si256();
}

/* Adds a block to the dot products. A 16-bit lane takes `chain` products of two codes: 2 * 128 * largest code * chain <
 * 2^15; so codes of 8 bits are multiplied in halves. */
ALWAYS_INLINE void add_block(int tiles, int tokens, int bits, int half, const uint8_t *const *w,
                             const int32_t *const *x, vint upper[TILES][MAX_TOKENS], vint lower[TILES][MAX_TOKENS]) {
    const int chain = bits <= 4 || bits == 8 ? 8 : bits == 5 || bits == E2M1 ? 4 : 2, unit = half ? 16 : 1;
    vint part[XFORM_PLANES][TILES][MAX_TOKENS];
    UNROLL for (int i = 0; i < 8; i++) {
        vint codes[TILES];
        UNROLL for (int v = 0; v < tiles; v++) codes[v] = step_codes(w[v], i, bits, half);
        UNROLL for (int t = 0; t < tokens; t++) UNROLL for (int p = 0; p < XFORM_PLANES; p++) {
            vint q = _mm256_set1_epi32(x[t][p * X_PLANE + i]);
            UNROLL for (int v = 0; v < tiles; v++) {
                vint products = _mm256_maddubs_epi16(codes[v], q);
                part[p][v][t] = i % chain == 0 ? products : _mm256_add_epi16(part[p][v][t], products);
                SETTLE(part[p][v][t]);
            }
        }
        if (i % chain < chain - 1) continue;
        UNROLL for (int p = 0; p < XFORM_PLANES; p++) {
            const vint weight = _mm256_set1_epi16((short)(p == 0 ? 256 * unit : unit));
            UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) {
                vint *to = p < 2 ? &upper[v][t] : &lower[v][t];
                *to = _mm256_add_epi32(*to, _mm256_madd_epi16(part[p][v][t], weight));
            }
        }
    }
}

ALWAYS_INLINE void group_dot(int tiles, int tokens, int bits, const uint8_t *const *w, const int32_t *const *x,
                             int n_blocks, vint upper[TILES][MAX_TOKENS], vint lower[TILES][MAX_TOKENS]) {
    const int width = bits == E2M1 ? 4 : bits;
    set_zero(tiles, tokens, upper), set_zero(tiles, tokens, lower);
    for (int b = 0; b < n_blocks; b++) {
        const uint8_t *block[TILES];
        const int32_t *q[MAX_TOKENS];
        UNROLL for (int v = 0; v < tiles; v++) block[v] = w[v] + b * width * 32;
        UNROLL for (int t = 0; t < tokens; t++) q[t] = x[t] + b * X_BLOCK;
        if (tokens == 1)
            UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int i = 0; i < width; i += 2)
                _mm_prefetch((const char *)(block[v] + 32 * i + PREFETCH), _MM_HINT_T1);
        add_block(tiles, tokens, bits, 0, block, q, upper, lower);
        RELOAD(tokens, q);
        if (bits == 8) add_block(tiles, tokens, bits, 1, block, q, upper, lower);
    }
}

#include "cpu/x86/matmul_affine_tmpl.h"

#define STEP(bits, tokens)                                                                                             \
    static void step_##bits##_##tokens(const job *j, int64_t pair, int64_t token) {                                    \
        step(j, pair, token, tokens, bits);                                                                            \
    }
#define RUN(bits)                                                                                                      \
    STEP(bits, 1)                                                                                                      \
    STEP(bits, 2)                                                                                                      \
    static void run_##bits(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {               \
        (void)row;                                                                                                     \
        static step_fn *const steps[MAX_TOKENS] = {step_##bits##_1, step_##bits##_2};                                  \
        run_tasks(c, begin, end, scratch, steps);                                                                      \
    }
RUN(2)
RUN(3)
RUN(4)
RUN(5)
RUN(6)
RUN(8)
RUN(E2M1)

#define ROW(bits, group, scales, suffix)                                                                               \
    AFFINE_ROWS("affine" #bits ".g" #group "." suffix ".avx2", bits, group, scales, 20, CPU_AVX2, &affine_r8)
#define ROWS_OF_GROUP(bits, group)                                                                                     \
    ROW(bits, group, DT_F16, "f16"), ROW(bits, group, DT_BF16, "bf16"), ROW(bits, group, DT_F32, "f32")
#define ROWS(bits) ROWS_OF_GROUP(bits, 32), ROWS_OF_GROUP(bits, 64), ROWS_OF_GROUP(bits, 128)

static const krow rows[] = {ROWS(2),
                            ROWS(3),
                            ROWS(4),
                            ROWS(5),
                            ROWS(6),
                            ROWS(8),
                            AFFINE_ROWS("mxfp4.avx2", E2M1, 32, DT_U8, 20, CPU_AVX2, &affine_r8)};
const krow_table matmul_affine_avx2_rows = KROW_TABLE(rows);
