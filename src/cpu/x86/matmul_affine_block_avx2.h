/* SPDX-License-Identifier: Apache-2.0
 *
 * Many tokens at once with AVX2, included by matmul_affine_avx2.c. vpmaddubsw needs two multiplications and more sums
 * for a product of 4-bit codes and 16-bit activations than vpmaddwd, which wants 16-bit codes; so for a block of tokens
 * the codes of two tiles and the activations are put into 16 bits once, a chunk of columns at a time, in a scratch that
 * stays in the first cache. The dot products are the same exact integers, and the groups are added in the same order.
 */
#include "cpu/x86/matmul_affine_tmpl.h"

enum { CHUNK = 256 }; /* columns; a multiple of every group size */

typedef struct block {
    int16_t codes[CHUNK / 4][2][TILES][2 * LANES]; /* steps of 4 columns: columns 0 and 2, then 1 and 3 of each row */
    float scales[CHUNK / AFFINE_BLOCK][TILES][LANES], biases[CHUNK / AFFINE_BLOCK][TILES][LANES];
    float sums[TOKEN_BLOCK / MAX_TOKENS][TILES][MAX_TOKENS][LANES];
    int32_t x[]; /* [tokens of the block][k / 2]: pairs of columns 0 and 2, 1 and 3 of every 4 */
} block;

static size_t block_scratch(const krow *row, const kcall *c) {
    (void)row;
    if (c->y.rows < BLOCK_MIN) return 0;
    return sizeof(block) + (size_t)min_i64(c->y.rows, TOKEN_BLOCK) * (size_t)c->w->k * sizeof(int16_t);
}

/* Of every 4 high and 4 low bytes, q0, q2, q1, q3. */
static void join_planes(const int32_t *from, int64_t cols, int32_t *to) {
    const vint high =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, 0, -1, 2, -1, 1, -1, 3, -1, 8, -1, 10, -1, 9, -1, 11));
    const vint low =
        _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, 4, -1, 6, -1, 5, -1, 7, -1, 12, -1, 14, -1, 13, -1, 15));
    for (int64_t i = 0; i < cols / 2; i += 8) {
        vint bytes = _mm256_loadu_si256((const __m256i *)(from + i));
        vint lows = _mm256_srai_epi16(_mm256_shuffle_epi8(bytes, low), 8);
        _mm256_store_si256((__m256i *)(to + i), _mm256_add_epi16(_mm256_shuffle_epi8(bytes, high), lows));
    }
}

/* The chunk's codes as 16-bit integers; its scales and biases as fp32. */
ALWAYS_INLINE void unpack_chunk(const job *j, int64_t tile, int64_t group, int64_t end_group, int bits, block *to) {
    const dtype type = j->call->w->type;
    const size_t scale_bytes = LANES * dtype_size(type);
    for (int v = 0; v < TILES; v++) {
        const uint8_t *w = j->weights + (size_t)min_i64(tile + v, j->n_tiles - 1) * j->tile_bytes;
        int step = 0;
        for (int64_t g = group; g < end_group; g++) {
            const uint8_t *from = w + (size_t)g * j->group_bytes;
            _mm256_storeu_ps(to->scales[g - group][v], load_scales(from, type));
            _mm256_storeu_ps(to->biases[g - group][v], load_scales(from + scale_bytes, type));
            from += 2 * scale_bytes;
            for (int b = 0; b < j->n_blocks; b++, from += bits * 32) UNROLL for (int i = 0; i < 8; i++, step++) {
                    vint codes = step_codes(from, i, bits);
                    vint even = _mm256_and_si256(codes, _mm256_set1_epi16(0xff)), odd = _mm256_srli_epi16(codes, 8);
                    _mm256_storeu_si256((__m256i *)to->codes[step][0][v], even);
                    _mm256_storeu_si256((__m256i *)to->codes[step][1][v], odd);
                }
        }
    }
}

/* Adds the chunk's groups to the sums of MAX_TOKENS tokens. */
static void multiply_chunk(const job *j, const block *b, int64_t token, int64_t group, int64_t end_group,
                           const int32_t *x, float sums[TILES][MAX_TOKENS][LANES]) {
    const int64_t n_groups = j->n_groups, n_blocks = j->n_blocks;
    const float *x_scale = j->scales + token * n_groups + group, *x_sum = j->sums + token * n_groups + group;
    const vint *codes = (const vint *)b->codes;
    const float *scales = b->scales[0][0], *biases = b->biases[0][0];
    const int32_t *q[MAX_TOKENS];
    UNROLL for (int t = 0; t < MAX_TOKENS; t++) q[t] = x + t * j->codes_stride;
    for (int64_t g = group; g < end_group; g++, x_scale++, x_sum++) {
        vint dots[TILES][MAX_TOKENS];
        UNROLL for (int v = 0; v < TILES; v++) UNROLL for (int t = 0; t < MAX_TOKENS; t++) dots[v][t] =
            _mm256_setzero_si256();
        for (int64_t n = 0; n < n_blocks; n++, codes += 16 * TILES) {
            UNROLL for (int i = 0; i < 16; i++) UNROLL for (int t = 0; t < MAX_TOKENS; t++) {
                vint pair = _mm256_set1_epi32(q[t][i]);
                UNROLL for (int v = 0; v < TILES; v++) {
                    dots[v][t] = _mm256_add_epi32(dots[v][t], _mm256_madd_epi16(codes[i * TILES + v], pair));
                    SETTLE(dots[v][t]);
                }
            }
            UNROLL for (int t = 0; t < MAX_TOKENS; t++) {
                q[t] += 16;
                __asm__("" : "+r"(q[t])); /* one pointer a token, not one a column */
            }
        }
        __asm__("" ::: "memory"); /* the sums stay in memory; registers are for the dot products */
        UNROLL for (int v = 0; v < TILES; v++, scales += LANES, biases += LANES) {
            vfloat scale = _mm256_loadu_ps(scales), bias = _mm256_loadu_ps(biases);
            UNROLL for (int t = 0; t < MAX_TOKENS; t++) {
                vfloat both = f_mul(scale, f_set1(x_scale[t * n_groups]));
                vfloat sum = f_fma(f_from_int(dots[v][t]), both, _mm256_loadu_ps(sums[v][t]));
                _mm256_storeu_ps(sums[v][t], f_fma(bias, f_set1(x_sum[t * n_groups]), sum));
            }
        }
    }
}

/* `tokens` is a multiple of MAX_TOKENS. */
ALWAYS_INLINE void multiply_block(job *j, int64_t tile, int64_t token, int64_t tokens, int bits, void *scratch) {
    block *b = scratch;
    if (bits != 8 && j->joined != token)
        for (int64_t t = 0; t < tokens; t++)
            join_planes(j->codes + (token + t) * j->codes_stride, j->call->w->k, b->x + t * j->codes_stride);
    j->joined = token;
    const int32_t *x = bits == 8 ? j->codes + token * j->codes_stride : b->x;
    const int64_t step_stride = MAX_TOKENS * j->codes_stride;
    memset(b->sums, 0, sizeof b->sums);
    int64_t chunk_groups = CHUNK / j->call->w->group_size;
    for (int64_t g = 0; g < j->n_groups; g += chunk_groups, x += CHUNK / 2) {
        int64_t end = min_i64(g + chunk_groups, j->n_groups);
        unpack_chunk(j, tile, g, end, bits, b);
        for (int64_t i = 0; i < tokens / MAX_TOKENS; i++)
            multiply_chunk(j, b, token + i * MAX_TOKENS, g, end, x + i * step_stride, b->sums[i]);
    }
    for (int64_t i = 0; i < tokens / MAX_TOKENS; i++) {
        vfloat sums[TILES][MAX_TOKENS];
        UNROLL for (int v = 0; v < TILES; v++) UNROLL for (int t = 0; t < MAX_TOKENS; t++) sums[v][t] =
            _mm256_loadu_ps(b->sums[i][v][t]);
        store_sums(j, tile, token + i * MAX_TOKENS, TILES, MAX_TOKENS, sums);
    }
}
