/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs affine and mxfp4 weights into the orders of affine_layout.h. Runs while a model loads, so it works on vectors:
 * the codes of 8 rows and 32 columns become bytes, are turned so that a lane is a row, and are put together again as
 * bit planes.
 */
#include <immintrin.h>
#include <string.h>

#include "cpu/x86/affine_layout.h"
#include "cpu/unroll.h"

/* 32 codes of one row, one a byte. src holds bits * 4 bytes. */
ALWAYS_INLINE __m256i codes_as_bytes(const uint8_t *src, int bits) {
    if (bits == 8) return _mm256_loadu_si256((const __m256i *)src);
    if (bits == 4) {
        const __m128i low = _mm_set1_epi8(0x0f);
        __m128i c = _mm_loadu_si128((const __m128i *)src);
        __m128i even = _mm_and_si128(c, low), odd = _mm_and_si128(_mm_srli_epi16(c, 4), low);
        return _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
    }
    uint64_t eight[4];
    for (int i = 0; i < 4; i++) { /* 8 codes are `bits` bytes */
        uint64_t stream = 0;
        memcpy(&stream, src + i * bits, (size_t)bits);
        eight[i] = _pdep_u64(stream, 0x0101010101010101u * ((1u << bits) - 1));
    }
    return _mm256_loadu_si256((const __m256i *)eight);
}

ALWAYS_INLINE void turn_4x4(const __m256i in[4], __m256i out[4]) {
    __m256i a = _mm256_unpacklo_epi32(in[0], in[1]), b = _mm256_unpacklo_epi32(in[2], in[3]);
    __m256i c = _mm256_unpackhi_epi32(in[0], in[1]), d = _mm256_unpackhi_epi32(in[2], in[3]);
    out[0] = _mm256_unpacklo_epi64(a, b), out[1] = _mm256_unpackhi_epi64(a, b);
    out[2] = _mm256_unpacklo_epi64(c, d), out[3] = _mm256_unpackhi_epi64(c, d);
}

/* rows[r] = 32 bytes of row r; steps[i], lane r = bytes 4 i to 4 i + 3 of row r. */
ALWAYS_INLINE void turn_rows(const __m256i rows[8], __m256i steps[8]) {
    __m256i low[4], high[4];
    for (int r = 0; r < 4; r++) {
        low[r] = _mm256_permute2x128_si256(rows[r], rows[r + 4], 0x20);
        high[r] = _mm256_permute2x128_si256(rows[r], rows[r + 4], 0x31);
    }
    turn_4x4(low, steps), turn_4x4(high, steps + 4);
}

/* Bits [from, from + width) of every step as a plane of 8 / width steps a vector. Returns behind it. */
ALWAYS_INLINE uint8_t *put_plane(const __m256i steps[8], int from, int width, uint8_t *to, size_t vector_bytes) {
    const __m256i mask = _mm256_set1_epi8((char)((1 << width) - 1));
    int per_vector = 8 / width;
    for (int v = 0; v < width; v++, to += vector_bytes) {
        __m256i out = _mm256_setzero_si256();
        for (int i = 0; i < per_vector; i++) {
            __m256i field = _mm256_and_si256(_mm256_srli_epi16(steps[v * per_vector + i], from), mask);
            out = _mm256_or_si256(out, _mm256_slli_epi16(field, i * width));
        }
        _mm256_storeu_si256((__m256i *)to, out);
    }
    return to;
}

ALWAYS_INLINE void put_block(const __m256i rows[8], int bits, uint8_t *to, int lanes) {
    __m256i steps[8];
    size_t vector_bytes = 4 * (size_t)lanes;
    turn_rows(rows, steps);
    if (bits == 8) {
        for (int i = 0; i < 8; i++) _mm256_storeu_si256((__m256i *)(to + (size_t)i * vector_bytes), steps[i]);
        return;
    }
    int from = 0;
    if (bits >= 4) to = put_plane(steps, from, 4, to, vector_bytes), from = 4;
    if (bits - from >= 2) to = put_plane(steps, from, 2, to, vector_bytes), from += 2;
    if (bits - from == 1) put_plane(steps, from, 1, to, vector_bytes);
}

/* The codes of `rows` (1 to 8) rows, src being the first row's, into lanes [0, 8) of a tile's blocks. */
ALWAYS_INLINE void pack_8_rows(const kweight *w, const uint8_t *src, int rows, uint8_t *to, int bits, int lanes) {
    size_t row_bytes = (size_t)w->k * (size_t)bits / 8, head = affine_head_bytes(w, lanes);
    size_t block_bytes = 4 * (size_t)bits * (size_t)lanes;
    int64_t n_groups = w->k / w->group_size;
    int n_blocks = w->group_size / AFFINE_BLOCK;
    for (int64_t g = 0; g < n_groups; g++) {
        to += head;
        for (int b = 0; b < n_blocks; b++, to += block_bytes, src += 4 * bits) {
            __m256i codes[8];
            for (int r = 0; r < 8; r++)
                codes[r] = r < rows ? codes_as_bytes(src + (size_t)r * row_bytes, bits) : _mm256_setzero_si256();
            put_block(codes, bits, to, lanes);
        }
        to += affine_group_bytes(w, lanes); /* the other tile's */
    }
}

ALWAYS_INLINE void pack_codes(const kweight *w, int64_t row, uint8_t *to, int bits, int lanes) {
    size_t row_bytes = (size_t)w->k * (size_t)bits / 8;
    for (int lane = 0; lane < lanes; lane += 8) {
        int64_t left = max_i64(min_i64(8, w->n - row - lane), 0);
        const uint8_t *src = (const uint8_t *)w->codes + (left > 0 ? (size_t)(row + lane) * row_bytes : 0);
        if (left == 8)
            pack_8_rows(w, src, 8, to + 4 * lane, bits, lanes);
        else
            pack_8_rows(w, src, (int)left, to + 4 * lane, bits, lanes);
    }
}

ALWAYS_INLINE void pack_scales(const kweight *w, int64_t row, uint8_t *to, size_t size, int lanes) {
    int64_t n_groups = w->k / w->group_size, rows = min_i64(lanes, w->n - row);
    size_t step = 2 * affine_group_bytes(w, lanes);
    const void *from[2] = {w->scales, w->biases};
    for (int which = 0; which < (w->biases ? 2 : 1); which++)
        for (int lane = 0; lane < lanes; lane++) {
            const uint8_t *src = (const uint8_t *)from[which] + (size_t)((row + lane) * n_groups) * size;
            uint8_t *out = to + (size_t)(which * lanes + lane) * size;
            for (int64_t g = 0; g < n_groups; g++, out += step, src += size) {
                if (lane < rows)
                    memcpy(out, src, size);
                else
                    memset(out, 0, size);
            }
        }
}

ALWAYS_INLINE void pack_pairs(const kweight *w, void *to, int64_t begin, int64_t end, int lanes) {
    for (int64_t tile = 2 * begin; tile < 2 * end; tile++) {
        int64_t row = tile * lanes;
        uint8_t *out = (uint8_t *)to + affine_tile_offset(w, lanes, tile);
        if (w->type == DT_F32)
            pack_scales(w, row, out, 4, lanes);
        else if (w->type == DT_U8)
            pack_scales(w, row, out, 1, lanes);
        else
            pack_scales(w, row, out, 2, lanes);
        switch (w->bits) {
        case 2:
            pack_codes(w, row, out, 2, lanes);
            break;
        case 3:
            pack_codes(w, row, out, 3, lanes);
            break;
        case 4:
            pack_codes(w, row, out, 4, lanes);
            break;
        case 5:
            pack_codes(w, row, out, 5, lanes);
            break;
        case 6:
            pack_codes(w, row, out, 6, lanes);
            break;
        default:
            pack_codes(w, row, out, 8, lanes);
        }
    }
}

static bool affine_takes(const kweight *w) {
    if (w->mode == W_MXFP4) return w->n > 0 && w->k > 0;
    bool known_bits = (w->bits >= 2 && w->bits <= 6) || w->bits == 8;
    bool known_group = w->group_size == 32 || w->group_size == 64 || w->group_size == 128;
    bool known_type = w->type == DT_F16 || w->type == DT_BF16 || w->type == DT_F32;
    return w->mode == W_AFFINE && known_bits && known_group && known_type && w->n > 0 && w->k > 0 &&
           w->k % w->group_size == 0;
}

#define LAYOUT(lanes)                                                                                                  \
    static size_t bytes_r##lanes(const kweight *w) {                                                                   \
        return (size_t)affine_pairs(w, lanes) * affine_pair_bytes(w, lanes);                                           \
    }                                                                                                                  \
    static int64_t tasks_r##lanes(const kweight *w) {                                                                  \
        return affine_pairs(w, lanes);                                                                                 \
    }                                                                                                                  \
    static void pack_r##lanes(const kweight *w, void *to, int64_t begin, int64_t end) {                                \
        pack_pairs(w, to, begin, end, lanes);                                                                          \
    }                                                                                                                  \
    const klayout affine_r##lanes = {"affine.r" #lanes, affine_takes, bytes_r##lanes, tasks_r##lanes, pack_r##lanes};

LAYOUT(8)
LAYOUT(16)
