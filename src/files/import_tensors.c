/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF import: the tensors. A GGUF block of 32 numbers with scale d (and minimum m) is exactly an affine group of 32:
 *   Q4_1, Q5_1: d * q + m             scale d, bias m
 *   Q4_0:       d * (q - 8)           scale d, bias -8 d
 *   Q5_0:       d * (q - 16)          scale d, bias -16 d
 *   Q8_0:       d * q, q in -128..127 scale d, bias -128 d, code q + 128
 * so only the layout changes: MLX keeps a row's codes as one little-endian bit stream in 32-bit words and scales and
 * biases apart. The biases are exact in fp16 unless they overflow; then that tensor gets fp32 scales. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/num.h"
#include "files/import.h"
#include "files/safetensors.h"

enum { CHUNK = 1 << 20 }; /* bytes of a GGUF tensor that are converted at a time, at least one row */

static const struct quant_type {
    uint32_t type;
    int bits, block_bytes;
    int zero;     /* the code that means 0; bias = -zero * d. -1: the block has its own minimum */
    int codes_at; /* where the low bits lie in the block */
    int high_at;  /* where the fifth bits lie; 0: there are none */
} quant_types[] = {
    {GGML_Q4_0, 4, 18, 8, 2, 0},  {GGML_Q4_1, 4, 20, -1, 4, 0},  {GGML_Q5_0, 5, 22, 16, 6, 2},
    {GGML_Q5_1, 5, 24, -1, 8, 4}, {GGML_Q8_0, 8, 34, 128, 2, 0},
};

static const struct quant_type *quant_type(uint32_t type) {
    for (size_t i = 0; i < sizeof quant_types / sizeof quant_types[0]; i++)
        if (quant_types[i].type == type) return &quant_types[i];
    return NULL;
}

int import_bits(uint32_t type) {
    if (type == GGML_F32 || type == GGML_F16 || type == GGML_BF16) return 0;
    const struct quant_type *q = quant_type(type);
    return q ? q->bits : -1;
}

static dtype float_type(uint32_t type) {
    return type == GGML_F32 ? DT_F32 : type == GGML_F16 ? DT_F16 : DT_BF16;
}

static uint16_t u16_at(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

/* ---- One block ----------------------------------------------------------------------------------------------- */

/* Scale and bias of a block, as floats (exactly). */
static void block_affine(const struct quant_type *q, const uint8_t *block, float *scale, float *bias) {
    *scale = f16_to_f32(u16_at(block));
    *bias = q->zero < 0 ? f16_to_f32(u16_at(block + 2)) : -(float)q->zero * *scale;
}

/* The 32 codes of a block. In the 4- and 5-bit types byte j holds number j (low half) and number j + 16 (high half). */
static void block_codes(const struct quant_type *q, const uint8_t *block, uint8_t codes[32]) {
    const uint8_t *low = block + q->codes_at;
    if (q->bits == 8) {
        for (int j = 0; j < 32; j++) codes[j] = low[j] ^ 0x80; /* two's complement plus 128 */
        return;
    }
    uint32_t high = 0;
    if (q->high_at) high = u16_at(block + q->high_at) | (uint32_t)u16_at(block + q->high_at + 2) << 16;
    for (int j = 0; j < 16; j++) {
        codes[j] = (uint8_t)((low[j] & 15) | (high >> j & 1) << 4);
        codes[j + 16] = (uint8_t)(low[j] >> 4 | (high >> (j + 16) & 1) << 4);
    }
}

/* 32 codes of `bits` bits fill exactly 4 * bits bytes of the row's bit stream. */
static void pack_codes(const uint8_t codes[32], int bits, uint8_t *out) {
    uint32_t pending = 0;
    int n = 0;
    for (int j = 0; j < 32; j++) {
        pending |= (uint32_t)codes[j] << n;
        for (n += bits; n >= 8; n -= 8) {
            *out++ = (uint8_t)pending;
            pending >>= 8;
        }
    }
}

/* ---- Looking at all scales first ----------------------------------------------------------------------------- */

static nb_status not_finite(const import_model *m, const import_tensor *t, const char *what, size_t i, nb_error *err) {
    return err_set(err, NB_ERR_FORMAT, "%s: tensor %s: %s %zu is NaN or infinite, expected finite numbers", m->file,
                   t->from->name, what, i);
}

static nb_status scan_quantized(const import_model *m, import_tensor *t, nb_error *err) {
    const struct quant_type *q = quant_type(t->from->type);
    const uint8_t *block = t->from->data;
    size_t n = t->from->bytes / (size_t)q->block_bytes;
    for (size_t i = 0; i < n; i++, block += q->block_bytes) {
        float scale, bias;
        block_affine(q, block, &scale, &bias);
        if (scale - scale != 0 || bias - bias != 0) return not_finite(m, t, "the scale of block", i, err);
        if (f16_to_f32(f32_to_f16(bias)) != bias) t->wide_scales = true;
    }
    return NB_OK;
}

static nb_status scan_floats(const import_model *m, const import_tensor *t, nb_error *err) {
    const uint8_t *p = t->from->data;
    bool wide = t->from->type == GGML_F32;
    uint16_t infinity = t->from->type == GGML_F16 ? 0x7c00 : 0x7f80; /* of the upper half, for fp32 */
    size_t step = wide ? 4 : 2, n = t->from->bytes / step;
    for (size_t i = 0; i < n; i++, p += step)
        if ((u16_at(p + step - 2) & infinity) == infinity) return not_finite(m, t, "element", i, err);
    return NB_OK;
}

/* ---- Writing ------------------------------------------------------------------------------------------------- */

typedef struct job {
    import_model *m;
    st_writer *w;
    size_t *index; /* of each tensor's first part in the writer */
    nb_progress_fn progress;
    void *user;
    double done, total; /* bytes of GGUF data, scanned and converted */
} job;

static nb_status advance(job *j, size_t bytes, nb_error *err) {
    j->done += (double)bytes;
    if (j->progress && !j->progress(j->user, "import", j->done, j->total))
        return err_set(err, NB_ERR_CANCELLED, "%s: the import was cancelled", j->m->file);
    return NB_OK;
}

static nb_status scan(job *j, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < j->m->n_tensors && !status; i++) {
        import_tensor *t = &j->m->tensors[i];
        status = import_bits(t->from->type) ? scan_quantized(j->m, t, err) : scan_floats(j->m, t, err);
        gguf_tensor_release(j->m->g, t->from);
        if (!status) status = advance(j, t->from->bytes, err);
    }
    return status;
}

static nb_status declare(job *j, size_t i, nb_error *err) {
    const import_tensor *t = &j->m->tensors[i];
    const gguf_tensor *from = t->from;
    char name[160];
    snprintf(name, sizeof name, "%s.%s", t->module, t->is_bias ? "bias" : "weight");
    int bits = import_bits(from->type);
    if (bits == 0)
        return st_writer_declare(j->w, name, float_type(from->type), from->n_dims, from->shape, &j->index[i], err);
    int64_t codes[2] = {from->shape[0], from->shape[1] / 32 * bits};
    int64_t groups[2] = {from->shape[0], from->shape[1] / IMPORT_GROUP};
    dtype scale = t->wide_scales ? DT_F32 : DT_F16;
    nb_status status = st_writer_declare(j->w, name, DT_U32, 2, codes, &j->index[i], err);
    snprintf(name, sizeof name, "%s.scales", t->module);
    if (!status) status = st_writer_declare(j->w, name, scale, 2, groups, NULL, err);
    snprintf(name, sizeof name, "%s.biases", t->module);
    if (!status) status = st_writer_declare(j->w, name, scale, 2, groups, NULL, err);
    return status;
}

/* Which row of the GGUF tensor becomes row r. Interleaved: a head's row 2i holds what belongs to the first half's row
 * i, and its row 2i + 1 what belongs to the second half's row i. */
static int64_t source_row(const import_tensor *t, int64_t r) {
    if (!t->interleaved_heads) return r;
    int64_t head_dim = t->from->shape[0] / t->interleaved_heads, half = head_dim / 2;
    int64_t head = r / head_dim, i = r % head_dim;
    return head * head_dim + (i < half ? 2 * i : 2 * (i - half) + 1);
}

static void put_scale(uint8_t *to, size_t i, float value, bool wide) {
    uint16_t half = f32_to_f16(value);
    if (wide)
        memcpy(to + 4 * i, &value, 4);
    else
        memcpy(to + 2 * i, &half, 2);
}

/* One row's blocks: codes to `codes`, scales and biases from group `first` on. */
static void convert_row(const struct quant_type *q, const uint8_t *row, size_t n_blocks, bool wide, uint8_t *codes,
                        uint8_t *scales, uint8_t *biases, size_t first) {
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *block = row + b * (size_t)q->block_bytes;
        uint8_t numbers[32];
        float scale, bias;
        block_affine(q, block, &scale, &bias);
        block_codes(q, block, numbers);
        pack_codes(numbers, q->bits, codes + b * 4 * (size_t)q->bits);
        put_scale(scales, first + b, scale, wide);
        put_scale(biases, first + b, bias, wide);
    }
}

static nb_status convert_quantized(job *j, size_t i, nb_error *err) {
    const import_tensor *t = &j->m->tensors[i];
    const struct quant_type *q = quant_type(t->from->type);
    size_t n_blocks = (size_t)t->from->shape[1] / 32, row_bytes = n_blocks * (size_t)q->block_bytes;
    size_t code_bytes = n_blocks * 4 * (size_t)q->bits, scale_bytes = n_blocks * (t->wide_scales ? 4 : 2);
    int64_t rows = t->from->shape[0], step = max_i64(1, (int64_t)(CHUNK / row_bytes));
    step = min_i64(step, rows);
    uint8_t *codes = malloc((size_t)step * (code_bytes + 2 * scale_bytes));
    if (!codes) return err_no_memory(err, t->from->name, (size_t)step * (code_bytes + 2 * scale_bytes));
    uint8_t *scales = codes + (size_t)step * code_bytes, *biases = scales + (size_t)step * scale_bytes;
    nb_status status = NB_OK;
    for (int64_t r = 0; r < rows && !status; r += step) {
        size_t n = (size_t)min_i64(step, rows - r);
        for (size_t k = 0; k < n; k++)
            convert_row(q, (const uint8_t *)t->from->data + (size_t)source_row(t, r + (int64_t)k) * row_bytes, n_blocks,
                        t->wide_scales, codes + k * code_bytes, scales, biases, k * n_blocks);
        status = st_writer_put(j->w, j->index[i], codes, n * code_bytes, err);
        if (!status) status = st_writer_put(j->w, j->index[i] + 1, scales, n * scale_bytes, err);
        if (!status) status = st_writer_put(j->w, j->index[i] + 2, biases, n * scale_bytes, err);
        if (!status) status = advance(j, n * row_bytes, err);
    }
    free(codes);
    return status;
}

/* Float tensors are copied, rows in the right order. */
static nb_status convert_floats(job *j, size_t i, nb_error *err) {
    const import_tensor *t = &j->m->tensors[i];
    const uint8_t *data = t->from->data;
    int64_t rows = t->interleaved_heads ? t->from->shape[0] : (int64_t)div_up((int64_t)t->from->bytes, CHUNK);
    size_t row_bytes = t->interleaved_heads ? t->from->bytes / (size_t)rows : CHUNK;
    nb_status status = NB_OK;
    for (int64_t r = 0; r < rows && !status; r++) {
        size_t at = (size_t)source_row(t, r) * row_bytes, n = t->from->bytes - at;
        if (n > row_bytes) n = row_bytes;
        status = st_writer_put(j->w, j->index[i], data + at, n, err);
        if (!status) status = advance(j, n, err);
    }
    return status;
}

static nb_status write_all(job *j, nb_error *err) {
    nb_status status = st_writer_metadata(j->w, "format", "mlx", err);
    for (size_t i = 0; i < j->m->n_tensors && !status; i++) status = declare(j, i, err);
    if (!status) status = st_writer_begin(j->w, err);
    for (size_t i = 0; i < j->m->n_tensors && !status; i++) {
        const gguf_tensor *from = j->m->tensors[i].from;
        status = import_bits(from->type) ? convert_quantized(j, i, err) : convert_floats(j, i, err);
        gguf_tensor_release(j->m->g, from);
    }
    return status;
}

nb_status import_tensors(import_model *m, const char *dir, nb_progress_fn progress, void *user, nb_error *err) {
    job j = {.m = m, .progress = progress, .user = user};
    for (size_t i = 0; i < m->n_tensors; i++) j.total += 2 * (double)m->tensors[i].from->bytes;
    j.index = arena_zalloc(m->memory, m->n_tensors + 1, sizeof *j.index);
    const char *path = arena_printf(m->memory, "%s/model.safetensors", dir);
    if (!j.index || !path) return err_no_memory(err, dir, 0);
    nb_status status = scan(&j, err);
    if (!status) status = st_writer_new(path, &j.w, err);
    if (!status) status = write_all(&j, err);
    if (!status) return st_writer_finish(j.w, err);
    st_writer_abort(j.w);
    return status;
}
