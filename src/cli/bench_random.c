/* SPDX-License-Identifier: Apache-2.0
 *
 * Random weights in a temporary model directory, loaded by the normal path so that load time and memory are real.
 * Which tensors there are is asked of the family, how they are quantized is read from the config. */
#define _GNU_SOURCE
#include "cli/bench_random.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/num.h"
#include "files/config.h"
#include "files/quant_config.h"
#include "files/safetensors.h"
#include "models/models.h"

enum { MAX_CONFIG = 16 << 20, BLOCK = 1 << 20 };

/* What a tensor is filled with. */
typedef enum fill { FILL_BITS, FILL_E4M3, FILL_CONSTANT, FILL_UNIFORM } fill; /* E4M3: bits without a NaN */

typedef struct part {
    dtype type;
    fill how;
    double value; /* the constant, or the largest of the uniform ones */
    size_t bytes;
} part;

/* One file under construction; parts have the numbers of their tensors in the writer. */
typedef struct maker {
    st_writer *writer;
    dtype type; /* of everything that is not a code */
    quant_config *quantization;
    quant_params global;
    part *parts;
    size_t n_parts, cap_parts;
    uint8_t *block;    /* BLOCK bytes */
    uint64_t state[2]; /* of the random numbers */
} maker;

/* xoroshiro128+ (Blackman and Vigna). */
static uint64_t next_random(uint64_t s[2]) {
    uint64_t a = s[0], b = s[1], sum = a + b;
    b ^= a;
    s[0] = (a << 24 | a >> 40) ^ b ^ (b << 16);
    s[1] = b << 37 | b >> 27;
    return sum;
}

/* ---- Which tensors --------------------------------------------------------------------------------------------- */

/* A tensor of up to three dimensions, the outer ones 0 where there are fewer. */
static nb_status declare(maker *m, const char *name, dtype type, const int64_t shape[3], fill how, double value,
                         nb_error *err) {
    if (m->n_parts == m->cap_parts) {
        size_t cap = 2 * m->cap_parts + 64;
        part *parts = realloc(m->parts, cap * sizeof *parts);
        if (!parts) return err_no_memory(err, "list of tensors", cap * sizeof *parts);
        m->parts = parts;
        m->cap_parts = cap;
    }
    int first = 0;
    while (first < 2 && shape[first] == 0) first++;
    int64_t bytes = (int64_t)dtype_size(type);
    for (int i = first; i < 3; i++)
        if (!i64_mul(bytes, shape[i], &bytes)) return err_set(err, NB_ERR_FORMAT, "%s: too large", name);
    m->parts[m->n_parts++] = (part){type, how, value, (size_t)bytes};
    return st_writer_declare(m->writer, name, type, 3 - first, shape + first, NULL, err);
}

/* How a matrix is quantized: as MLX does it, every one whose columns fill groups, unless config.json names it. */
static nb_status quant_of(const maker *m, const plan_spec *spec, quant_params *q, nb_error *err) {
    bool named = false;
    *q = (quant_params){0};
    if (!m->global.quantized || spec->is_conv) return NB_OK;
    nb_status status = quant_config_named(m->quantization, spec->name, NULL, q, &named, err);
    if (status || named) return status;
    if (spec->k % m->global.group_size == 0) *q = m->global;
    return NB_OK;
}

/* The byte that stands for a scale of about `scale` in a mode whose scales are bytes. */
static double scale_byte(wmode mode, double scale) {
    const int exponent = (int)floor(log2(scale));
    return mode == W_NVFP4 ? fmax(0, exponent + 7) * 8 : fmax(0, exponent + 127);
}

static nb_status declare_scales(maker *m, const plan_spec *spec, const quant_params *q, double largest, nb_error *err) {
    static const double most[W_MODE_COUNT] = {[W_MXFP4] = 6, [W_MXFP8] = 448, [W_NVFP4] = 6};
    const int64_t shape[3] = {spec->n_experts, spec->n, spec->k / q->group_size};
    char name[600];
    snprintf(name, sizeof name, "%s.scales", spec->name);
    if (q->mode != W_AFFINE)
        return declare(m, name, DT_U8, shape, FILL_CONSTANT, scale_byte(q->mode, largest / most[q->mode]), err);
    nb_status status = declare(m, name, m->type, shape, FILL_CONSTANT, 2 * largest / ((1 << q->bits) - 1), err);
    snprintf(name, sizeof name, "%s.biases", spec->name);
    return status ? status : declare(m, name, m->type, shape, FILL_CONSTANT, -largest, err);
}

/* Weights are about as large as trained ones, 1 / sqrt(k), so that nothing overflows on the way through the layers. */
static nb_status declare_matrix(maker *m, const plan_spec *spec, nb_error *err) {
    char name[600];
    quant_params q;
    nb_status status = quant_of(m, spec, &q, err);
    if (status) return status;
    const double largest = sqrt(3.0 / (double)spec->k);
    int64_t shape[3] = {spec->n_experts, spec->n, spec->k};
    if (spec->is_conv) memcpy(shape, (int64_t[]){spec->n, spec->k, 1}, sizeof shape);
    snprintf(name, sizeof name, "%s.weight", spec->name);
    if (!q.quantized) return declare(m, name, m->type, shape, FILL_UNIFORM, largest, err);
    if (spec->k % q.group_size != 0)
        return err_set(err, NB_ERR_FORMAT, "config.json: %s has %lld columns, no multiple of its group_size %d",
                       spec->name, (long long)spec->k, q.group_size);
    shape[2] = spec->k * q.bits / 32;
    status = declare(m, name, DT_U32, shape, q.mode == W_MXFP8 ? FILL_E4M3 : FILL_BITS, 0, err);
    return status ? status : declare_scales(m, spec, &q, largest, err);
}

static nb_status declare_all(maker *m, const plan_spec *specs, size_t n, nb_error *err) {
    nb_status status = NB_OK;
    for (size_t i = 0; i < n && !status; i++) {
        const plan_spec *s = &specs[i];
        const int64_t shape[3] = {0, s->n_experts, s->n};
        char name[600];
        snprintf(name, sizeof name, "%s%s%s", s->name, *s->suffix ? "." : "", s->suffix);
        if (s->k > 0)
            status = declare_matrix(m, s, err);
        else
            status = declare(m, name, m->type, shape, FILL_CONSTANT, strcmp(s->suffix, "bias") == 0 ? 0 : 1, err);
    }
    return status;
}

/* ---- What they hold -------------------------------------------------------------------------------------------- */

static void fill_block(maker *m, const part *t) {
    if (t->how == FILL_BITS || t->how == FILL_E4M3) {
        const uint64_t mask = t->how == FILL_BITS ? UINT64_MAX : 0xf7f7f7f7f7f7f7f7u;
        uint64_t *to = (uint64_t *)(void *)m->block;
        for (size_t i = 0; i < BLOCK / sizeof *to; i++) to[i] = next_random(m->state) & mask;
        return;
    }
    for (size_t i = 0; i < BLOCK / dtype_size(t->type); i++) {
        double x = t->value;
        if (t->how == FILL_UNIFORM) x *= (double)(int64_t)next_random(m->state) * 0x1p-63;
        if (t->type == DT_U8)
            m->block[i] = (uint8_t)x;
        else if (t->type == DT_F32)
            ((float *)(void *)m->block)[i] = (float)x;
        else
            ((uint16_t *)(void *)m->block)[i] = t->type == DT_F16 ? f32_to_f16((float)x) : f32_to_bf16((float)x);
    }
}

static nb_status write_all(maker *m, nb_error *err) {
    double done = 0, total = 0;
    for (size_t i = 0; i < m->n_parts; i++) total += (double)m->parts[i].bytes;
    for (size_t i = 0; i < m->n_parts; i++) {
        const part *t = &m->parts[i];
        bool fresh = true; /* constants need the block once, random numbers each time */
        for (size_t at = 0; at < t->bytes;) {
            size_t n = t->bytes - at < BLOCK ? t->bytes - at : BLOCK;
            if (fresh || t->how == FILL_BITS) fill_block(m, t);
            fresh = false;
            nb_status status = st_writer_put(m->writer, i, m->block, n, err);
            if (status) return status;
            at += n;
            done += (double)n;
            if (!progress_show(NULL, "random weights", done, total))
                return err_set(err, NB_ERR_CANCELLED, "interrupted");
        }
    }
    return NB_OK;
}

/* ---- The directory --------------------------------------------------------------------------------------------- */

static dtype config_type(const model_config *config) {
    const char *type = NULL;
    json_str(config->text, "torch_dtype", &type, NULL, config->name, NULL);
    if (!type) json_str(config->text, "dtype", &type, NULL, config->name, NULL);
    if (!type) json_str(config->tree, "torch_dtype", &type, NULL, config->name, NULL);
    if (type && !strcmp(type, "float16")) return DT_F16;
    if (type && !strcmp(type, "float32")) return DT_F32;
    return DT_BF16;
}

static nb_status write_weights(const model_config *config, const char *path, nb_error *err) {
    maker m = {.type = config_type(config), .state = {1, 2}};
    plan *dry = NULL;
    const plan_spec *specs = NULL;
    size_t n = 0;
    m.block = malloc(BLOCK);
    nb_status status = m.block ? NB_OK : err_no_memory(err, "random weights", BLOCK);
    if (!status) status = quant_config_open(config, &m.quantization, err);
    if (!status) m.global = quant_config_global(m.quantization);
    if (!status) status = model_specs(config, &dry, &specs, &n, err);
    if (!status) status = st_writer_new(path, &m.writer, err);
    if (!status) status = declare_all(&m, specs, n, err);
    if (!status) status = st_writer_begin(m.writer, err);
    if (!status) status = write_all(&m, err);
    if (status)
        st_writer_abort(m.writer);
    else
        status = st_writer_finish(m.writer, err);
    plan_free(dry);
    quant_config_close(m.quantization);
    free(m.parts);
    free(m.block);
    return status;
}

/* A new directory with the two files that it will have registered for removal, temporary names included. */
static nb_status make_dir(char dir[512], char weights_path[600], char config_path[600], nb_error *err) {
    const char *base = getenv("TMPDIR");
    snprintf(dir, 512, "%s/nibble-bench-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(dir)) return err_set(err, NB_ERR_IO, "%s: cannot create: %s", dir, strerror(errno));
    snprintf(weights_path, 600, "%s/model.safetensors", dir);
    snprintf(config_path, 600, "%s/config.json", dir);
    char temp[700];
    snprintf(temp, sizeof temp, "%s.tmp-%ld", weights_path, (long)getpid());
    if (cleanup_add(dir) && cleanup_add(weights_path) && cleanup_add(config_path) && cleanup_add(temp)) return NB_OK;
    return err_set(err, NB_ERR_INTERNAL, "%s: cannot be registered for removal", dir);
}

nb_status random_model_write(const char *config_path, char dir[512], nb_error *err) {
    char weights_file[600], config_file[600];
    buf text = {0};
    model_config config = {0};
    nb_status status = input_read(config_path, MAX_CONFIG, &text, err);
    if (!status) status = config_parse(text.data, text.len, config_path, &config, err);
    if (!status) status = make_dir(dir, weights_file, config_file, err);
    if (!status) status = file_write(config_file, text.data, text.len, err);
    if (!status) status = write_weights(&config, weights_file, err);
    progress_clear();
    config_close(&config);
    buf_free(&text);
    return status;
}
