/* SPDX-License-Identifier: Apache-2.0
 *
 * A config.json together with weights: the tensors that the first config asks for are made up, read under the second
 * one (behind a NUL byte; without one, under the first again), and a few tokens go through the model. Whatever configs
 * say, nothing is read or written out of bounds; a config's own tensors always fit it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/num.h"
#include "cpu/cpu.h"
#include "models/models.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_BYTES = 1 << 20, MOST_LAYERS_SIZE = 1 << 16, N_TOKENS = 3 };

/* A safetensors file under construction. */
typedef struct file_maker {
    buf header;
    size_t at; /* bytes of data so far */
    bool failed;
} file_maker;

/* Adds a tensor; the outer ones of `shape` are 0 where there are fewer dimensions. */
static void add_tensor(file_maker *f, const char *name, const char *suffix, const char *type, int64_t element,
                       const int64_t shape[3]) {
    int64_t bytes = element;
    buf_printf(&f->header, "%s\"%s%s%s\":{\"dtype\":\"%s\",\"shape\":[", f->header.len > 1 ? "," : "", name,
               *suffix ? "." : "", suffix, type);
    bool first = true;
    for (int i = 0; i < 3; i++) {
        if (i < 2 && shape[i] == 0 && first) continue;
        if (shape[i] < 0 || !i64_mul(bytes, shape[i], &bytes) || bytes > MOST_BYTES) f->failed = true;
        if (f->failed) return;
        buf_printf(&f->header, "%s%lld", first ? "" : ",", (long long)shape[i]);
        first = false;
    }
    buf_printf(&f->header, "],\"data_offsets\":[%zu,%zu]}", f->at, f->at + (size_t)bytes);
    f->at += (size_t)bytes;
    f->failed = f->failed || f->at > MOST_BYTES || f->header.failed;
}

static void add_matrix(file_maker *f, const quant_config *config, const plan_spec *s) {
    quant_params q;
    bool named;
    nb_error err;
    const int64_t whole[3] = {s->n_experts, s->n, s->k}, conv[3] = {s->n, s->k, 1};
    if (quant_config_named(config, s->name, NULL, &q, &named, &err)) named = true, q.quantized = false;
    if (!named) q = quant_config_global(config);
    if (s->is_conv) {
        add_tensor(f, s->name, "weight", "F32", 4, conv);
    } else if (!q.quantized || q.group_size < 1 || s->k % q.group_size != 0) {
        add_tensor(f, s->name, "weight", "F16", 2, whole);
    } else {
        const bool affine = q.mode == W_AFFINE;
        const int64_t codes[3] = {s->n_experts, s->n, s->k * q.bits / 32};
        const int64_t scales[3] = {s->n_experts, s->n, s->k / q.group_size};
        add_tensor(f, s->name, "weight", "U32", 4, codes);
        add_tensor(f, s->name, "scales", affine ? "F16" : "U8", affine ? 2 : 1, scales);
        if (affine) add_tensor(f, s->name, "biases", "F16", 2, scales);
    }
}

/* The file that a config asks for, all numbers small; false when it asks for too much or does not build. */
static bool make_file(const model_config *config, buf *out) {
    nb_error err;
    plan *dry = NULL;
    const plan_spec *specs;
    size_t n = 0;
    quant_config *q = NULL;
    file_maker f = {0};
    f.failed = quant_config_open(config, &q, &err) != NB_OK || model_specs(config, &dry, &specs, &n, &err) != NB_OK;
    buf_puts(&f.header, "{");
    for (size_t i = 0; i < n && !f.failed; i++) {
        const int64_t shape[3] = {0, specs[i].n_experts, specs[i].n};
        if (specs[i].k > 0)
            add_matrix(&f, q, &specs[i]);
        else
            add_tensor(&f, specs[i].name, specs[i].suffix, "F16", 2, shape);
    }
    buf_puts(&f.header, "}");
    if (!f.failed) {
        const uint64_t length = f.header.len;
        buf_put(out, (const char *)&length, sizeof length);
        buf_put(out, f.header.data, f.header.len);
        for (size_t i = 0; i < f.at; i++) buf_put(out, &"\x21\x13\x07\x35"[i % 4], 1);
    }
    buf_free(&f.header);
    plan_free(dry);
    quant_config_close(q);
    return !f.failed && !out->failed;
}

static void run(const plan *p, const weights *files, int64_t vocab_size) {
    nb_error err;
    device *d;
    executor *e;
    const executor_options o = {.n_threads = 1, .n_batch = 4, .n_pages = 2, .n_slots = 2, .kv_type = DT_F32};
    for (int i = 0; i < p->n_values; i++)
        if (p->values[i].cols > MOST_LAYERS_SIZE) return;
    if (cpu_backend.open(0, &(device_options){.cpu = "scalar"}, &d, &err)) abort();
    if (cpu_backend.executor_new(d, p, files, &o, &e, &err)) return d->free(d);
    const int32_t pages[2] = {1, 0}, *tables[N_TOKENS] = {pages, pages, pages};
    const int32_t slots[N_TOKENS] = {1, 1, 1}, outputs[1] = {N_TOKENS - 1}, positions[N_TOKENS] = {0, 1, 2};
    const int32_t tokens[N_TOKENS] = {0, (int32_t)(vocab_size - 1), (int32_t)(vocab_size / 2)};
    const batch b = {.n_tokens = N_TOKENS,
                     .n_outputs = 1,
                     .tokens = tokens,
                     .positions = positions,
                     .tables = tables,
                     .slots = slots,
                     .outputs = outputs};
    const float *logits;
    if (e->run(e, &b, &logits, &err) == NB_OK)
        for (int64_t i = 0; i < vocab_size; i++)
            if (logits[i] == 12345.0f) abort(); /* reads them all */
    e->free(e);
    d->free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, 0, size);
    const size_t first = end ? (size_t)(end - data) : size;
    model_config a = {0}, b = {0};
    nb_error err;
    if (config_parse((const char *)data, first, "config.json", &a, &err)) return 0;
    const bool same = !end || config_parse((const char *)end + 1, size - first - 1, "config.json", &b, &err);
    const model_config *read_by = same ? &a : &b;
    buf file = {0};
    weights *files = NULL;
    plan *p = NULL;
    model_dims dims;
    if (make_file(&a, &file)) {
        if (weights_open_memory(file.data, file.len, "model.safetensors", &files, &err)) abort();
        if (model_build(read_by, files, &p, &dims, &err) == NB_OK) run(p, files, dims.vocab_size);
    }
    plan_free(p);
    weights_close(files);
    buf_free(&file);
    config_close(&a);
    config_close(&b);
    return 0;
}
