/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul of affine and mxfp4 weights with AVX-512 VNNI: 16 rows a tile, codes as unsigned bytes, activations as three
 * planes of signed bytes, so that vpdpbusd multiplies 64 of any plane at once. */
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/unroll.h"
#include "cpu/x86/affine_layout.h"
#include "cpu/x86/vec_avx512.h"

enum { TILES = 2, MAX_TOKENS = 6, PREFETCH = 8192 }; /* bytes of weights ahead */

/* 2^(s - 127), which is no normal number for s = 0; NaN for 255. */
static inline vfloat scales_e8m0(__m128i bytes) {
    __m512i s = _mm512_cvtepu8_epi32(bytes);
    __mmask16 is_nan = _mm512_cmpeq_epi32_mask(s, _mm512_set1_epi32(255));
    __m512i bits = _mm512_max_epi32(_mm512_slli_epi32(s, 23), _mm512_set1_epi32(0x00400000));
    return _mm512_castsi512_ps(_mm512_mask_mov_epi32(bits, is_nan, _mm512_set1_epi32(0x7fc00000)));
}
static inline vfloat load_scales(const uint8_t *p, dtype type) {
    return type == DT_U8 ? scales_e8m0(_mm_loadu_si128((const __m128i *)p)) : load_stored(p, type, 0);
}

ALWAYS_INLINE vint load_vector(const uint8_t *p, int i) {
    return _mm512_loadu_si512(p + 64 * i);
}
/* A field of every byte: bits [from, from + width) moved to bit `to`. */
ALWAYS_INLINE vint field(vint a, int from, int width, int to) {
    if (from > to) a = _mm512_srli_epi16(a, (unsigned)(from - to));
    if (from < to) a = _mm512_slli_epi16(a, (unsigned)(to - from));
    return _mm512_and_si512(a, _mm512_set1_epi8((char)(((1 << width) - 1) << to)));
}
/* The codes of step i (4 columns) of a block, as bytes. */
ALWAYS_INLINE vint step_codes(const uint8_t *block, int i, int bits) {
    if (bits == 8) return load_vector(block, i);
    if (bits < 4) {
        vint low = field(load_vector(block, i / 4), 2 * (i % 4), 2, 0);
        return bits == 2 ? low : _mm512_or_si512(low, field(load_vector(block, 2), i, 1, 2));
    }
    vint low = field(load_vector(block, i / 2), 4 * (i % 2), 4, 0);
    if (bits == 5) return _mm512_or_si512(low, field(load_vector(block, 4), i, 1, 4));
    if (bits == 6) return _mm512_or_si512(low, field(load_vector(block, 4 + i / 4), 2 * (i % 4), 2, 4));
    if (bits == E2M1) return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_setr_epi8(E2M1_CODES)), low);
    return low;
}

ALWAYS_INLINE void set_zero(int tiles, int tokens, vint dots[TILES][MAX_TOKENS]) {
    UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) dots[v][t] = _mm512_setzero_si512();
}
ALWAYS_INLINE vint times_256(vint a) {
    return _mm512_slli_epi32(a, 8);
}

/* One plane of a group added to dots. */
ALWAYS_INLINE void add_plane(int tiles, int tokens, int bits, const uint8_t *const *w, const int32_t *const *x,
                             int n_blocks, int plane, vint dots[TILES][MAX_TOKENS]) {
    const int width = bits == E2M1 ? 4 : bits;
    for (int b = 0; b < n_blocks; b++) {
        UNROLL for (int i = 0; i < 8; i++) {
            vint codes[TILES];
            UNROLL for (int v = 0; v < tiles; v++) codes[v] = step_codes(w[v] + b * width * 64, i, bits);
            UNROLL for (int t = 0; t < tokens; t++) {
                vint q = _mm512_set1_epi32(x[t][b * X_BLOCK + plane * X_PLANE + i]);
                UNROLL for (int v = 0; v < tiles; v++) dots[v][t] = _mm512_dpbusd_epi32(dots[v][t], codes[v], q);
            }
        }
    }
}

/* With few tokens all planes are summed at once; with many there are registers for one sum each, so the high plane goes
 * first and the middle one on top of it. */
ALWAYS_INLINE void group_dot(int tiles, int tokens, int bits, const uint8_t *const *w, const int32_t *const *x,
                             int n_blocks, vint upper[TILES][MAX_TOKENS], vint lower[TILES][MAX_TOKENS]) {
    const int width = bits == E2M1 ? 4 : bits;
    set_zero(tiles, tokens, upper), set_zero(tiles, tokens, lower);
    if (tokens > 3) {
        add_plane(tiles, tokens, bits, w, x, n_blocks, 0, upper);
        UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) upper[v][t] =
            times_256(upper[v][t]);
        add_plane(tiles, tokens, bits, w, x, n_blocks, 1, upper);
        add_plane(tiles, tokens, bits, w, x, n_blocks, 2, lower);
        return;
    }
    vint high[TILES][MAX_TOKENS];
    set_zero(tiles, tokens, high);
    for (int b = 0; b < n_blocks; b++) {
        UNROLL for (int i = 0; i < 8; i++) {
            UNROLL for (int v = 0; v < tiles; v++) {
                const uint8_t *block = w[v] + b * width * 64;
                if (tokens == 1 && i < width) _mm_prefetch((const char *)(block + 64 * i + PREFETCH), _MM_HINT_T1);
                vint codes = step_codes(block, i, bits);
                UNROLL for (int t = 0; t < tokens; t++) {
                    const int32_t *q = x[t] + b * X_BLOCK + i;
                    high[v][t] = _mm512_dpbusd_epi32(high[v][t], codes, _mm512_set1_epi32(q[0]));
                    upper[v][t] = _mm512_dpbusd_epi32(upper[v][t], codes, _mm512_set1_epi32(q[X_PLANE]));
                    lower[v][t] = _mm512_dpbusd_epi32(lower[v][t], codes, _mm512_set1_epi32(q[2 * X_PLANE]));
                }
            }
        }
    }
    UNROLL for (int v = 0; v < tiles; v++) UNROLL for (int t = 0; t < tokens; t++) upper[v][t] =
        _mm512_add_epi32(upper[v][t], times_256(high[v][t]));
}

#include "cpu/x86/matmul_affine_tmpl.h"

#define STEP(bits, tokens)                                                                                             \
    static void step_##bits##_##tokens(const job *j, int64_t pair, int64_t token) {                                    \
        step(j, pair, token, tokens, bits);                                                                            \
    }
#define RUN(bits)                                                                                                      \
    STEP(bits, 1)                                                                                                      \
    STEP(bits, 2)                                                                                                      \
    STEP(bits, 3)                                                                                                      \
    STEP(bits, 4)                                                                                                      \
    STEP(bits, 5)                                                                                                      \
    STEP(bits, 6)                                                                                                      \
    static void run_##bits(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {               \
        (void)row;                                                                                                     \
        static step_fn *const steps[MAX_TOKENS] = {step_##bits##_1, step_##bits##_2, step_##bits##_3,                  \
                                                   step_##bits##_4, step_##bits##_5, step_##bits##_6};                 \
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
    AFFINE_ROWS("affine" #bits ".g" #group "." suffix ".avx512", bits, group, scales, 30, CPU_AVX512 | CPU_VNNI,       \
                &affine_r16)
#define ROWS_OF_GROUP(bits, group)                                                                                     \
    ROW(bits, group, DT_F16, "f16"), ROW(bits, group, DT_BF16, "bf16"), ROW(bits, group, DT_F32, "f32")
#define ROWS(bits) ROWS_OF_GROUP(bits, 32), ROWS_OF_GROUP(bits, 64), ROWS_OF_GROUP(bits, 128)

static const krow rows[] = {ROWS(2),
                            ROWS(3),
                            ROWS(4),
                            ROWS(5),
                            ROWS(6),
                            ROWS(8),
                            AFFINE_ROWS("mxfp4.avx512", E2M1, 32, DT_U8, 30, CPU_AVX512 | CPU_VNNI, &affine_r16)};
const krow_table matmul_affine_avx512_rows = KROW_TABLE(rows);
