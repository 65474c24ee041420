/* SPDX-License-Identifier: Apache-2.0
 *
 * EMBED from the packed orders of affine_layout.h: a tied head has its table repacked, and rows taken from there leave
 * the file's own pages out of memory. A row is a kilobyte or so a token; plain C does. */
#include "base/half.h"
#include "cpu/caps.h"
#include "cpu/cpu_rows.h"
#include "cpu/x86/affine_layout.h"

static bool takes(const krow *row, const kcall *c) {
    (void)row;
    return c->w->mode == W_AFFINE && c->y.type == DT_F32;
}

static int64_t tasks(const krow *row, const kcall *c) {
    (void)row;
    return max_i64(1, c->y.rows);
}

/* Byte b of a lane's step i, put together from the planes of a block. lane points at the lane's four bytes in the
 * block's first vector. */
static uint32_t code_at(const uint8_t *lane, int i, int b, int bits, size_t vector_bytes) {
    if (bits == 8) return lane[(size_t)i * vector_bytes + b];
    uint32_t code = 0;
    int from = 0;
    for (int width = 4; width > 0; width /= 2) {
        if (bits - from < width) continue;
        const int per_vector = 8 / width;
        uint32_t byte = lane[(size_t)(i / per_vector) * vector_bytes + b];
        code |= (byte >> (width * (i % per_vector)) & ((1u << width) - 1)) << from;
        lane += (size_t)width * vector_bytes;
        from += width;
    }
    return code;
}

static void embed_row(const kweight *w, int64_t token, float factor, int lanes, float *y) {
    const size_t vector_bytes = 4 * (size_t)lanes;
    const int64_t lane = token % lanes;
    const uint8_t *group = (const uint8_t *)w->packed + affine_tile_offset(w, lanes, token / lanes);
    for (int64_t at = 0; at < w->k; at += w->group_size, group += 2 * affine_group_bytes(w, lanes)) {
        const float scale = float_at_f32(group, w->type, lane);
        const float bias = w->biases ? float_at_f32(group, w->type, lanes + lane) : 0;
        const uint8_t *block = group + affine_head_bytes(w, lanes) + 4 * lane;
        for (int64_t j = 0; j < w->group_size; j++) {
            if (j > 0 && j % AFFINE_BLOCK == 0) block += (size_t)w->bits * vector_bytes;
            const int step = (int)(j % AFFINE_BLOCK / 4), b = (int)(j % 4);
            y[at + j] = factor * (scale * (float)code_at(block, step, b, w->bits, vector_bytes) + bias);
        }
    }
}

static void run(const krow *row, const kcall *c, int64_t begin, int64_t end, void *scratch) {
    (void)scratch;
    for (int64_t t = begin; t < min_i64(end, c->y.rows); t++)
        embed_row(c->w, c->tokens[t], c->scale, row->param[0], (float *)c->y.data + t * c->y.stride);
}

#define ROW(its_layout, lanes, its_needs)                                                                              \
    {                                                                                                                  \
        .name = "embed." #its_layout, .backend = "cpu", .op = KOP_EMBED, .rank = 50, .needs = its_needs,               \
        .layout = &its_layout, .param = {lanes}, .takes = takes, .tasks = tasks, .run = run,                           \
    }

static const krow rows[] = {ROW(affine_r8, 8, CPU_AVX2), ROW(affine_r16, 16, CPU_AVX512 | CPU_VNNI)};
const krow_table embed_affine_rows = KROW_TABLE(rows);
