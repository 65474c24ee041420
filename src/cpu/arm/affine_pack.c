/* SPDX-License-Identifier: Apache-2.0
 *
 * Packs affine and mxfp4 weights in the order of affine_layout.h. Done once at load; plain C, a row's 32 codes at a
 * time. */
#include "cpu/arm/affine_layout.h"

#include <string.h>

static bool takes(const kweight *w) {
    return w->mode == W_AFFINE || w->mode == W_MXFP4;
}

static size_t bytes(const kweight *w) {
    return (size_t)affine_tiles(w) * affine_tile_bytes(w);
}

static int64_t tasks(const kweight *w) {
    return affine_tiles(w);
}

/* 32 codes are `bits` words of a little-endian bit stream. */
static void unpack32(const uint8_t *from, int bits, uint8_t *codes) {
    uint64_t stream = 0;
    int held = 0;
    for (int j = 0; j < BLOCK_COLUMNS; j++) {
        while (held < bits) {
            stream |= (uint64_t)*from++ << held;
            held += 8;
        }
        codes[j] = (uint8_t)(stream & ((1u << bits) - 1));
        stream >>= bits;
        held -= bits;
    }
}

/* Bits [shift, shift + width) of row r's codes into their plane. */
static void put_plane(const uint8_t *codes, int r, int shift, int width, uint8_t *plane) {
    int steps = 8 / width; /* in a vector */
    for (int j = 0; j < BLOCK_COLUMNS; j++) {
        int step = j / 4, at = step / steps * 16 + r * 4 + j % 4;
        int part = codes[j] >> shift & ((1 << width) - 1);
        plane[at] = (uint8_t)(plane[at] | part << (step % steps * width));
    }
}

static void put_block(const uint8_t *codes, int r, int bits, uint8_t *block) {
    for (int shift = 0, width; shift < bits; shift += width) {
        width = bits - shift;
        if (width == 3) width = 2;
        if (width > 4 && width < 8) width = 4;
        put_plane(codes, r, shift, width, block);
        block += width * 16;
    }
}

static void pack(const kweight *w, void *to, int64_t task_begin, int64_t task_end) {
    int64_t n_groups = w->k / w->group_size;
    size_t element = dtype_size(w->type), group_bytes = affine_group_bytes(w);
    for (int64_t tile = task_begin; tile < task_end; tile++) {
        uint8_t *out = (uint8_t *)to + (size_t)tile * affine_tile_bytes(w);
        memset(out, 0, affine_tile_bytes(w));
        for (int r = 0; r < TILE_ROWS && tile * TILE_ROWS + r < w->n; r++) {
            int64_t i = tile * TILE_ROWS + r;
            const uint8_t *codes = (const uint8_t *)w->codes + i * (w->k * w->bits / 8);
            for (int64_t g = 0; g < n_groups; g++) {
                uint8_t *group = out + (size_t)g * group_bytes, unpacked[BLOCK_COLUMNS];
                const size_t from = (size_t)(i * n_groups + g) * element;
                memcpy(group + (size_t)r * element, (const uint8_t *)w->scales + from, element);
                if (w->biases)
                    memcpy(group + (size_t)(TILE_ROWS + r) * element, (const uint8_t *)w->biases + from, element);
                uint8_t *block = group + affine_head_bytes(w);
                for (int j = 0; j < w->group_size; j += BLOCK_COLUMNS, block += w->bits * 16) {
                    unpack32(codes + (g * w->group_size + j) * w->bits / 8, w->bits, unpacked);
                    put_block(unpacked, r, w->bits, block);
                }
            }
        }
    }
}

const klayout affine_r4 = {.name = "affine.r4", .takes = takes, .bytes = bytes, .tasks = tasks, .pack = pack};
