/* SPDX-License-Identifier: Apache-2.0
 *
 * A config.json and, behind a NUL byte, a safetensors file: the table of tensors and how each is quantized. All rows of
 * all entries are read. */
#include <stdlib.h>
#include <string.h>

#include "files/quant_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(const checkpoint_tensor *t) {
    const int64_t rows = t->n_pieces * t->pieces->n_rows;
    const size_t bytes = checkpoint_bytes(t);
    uint8_t *copy = malloc(bytes + 1);
    if (!copy) return;
    if (bytes > 0) checkpoint_read(t, 0, rows, copy);
    for (size_t i = 1; i < bytes; i++) copy[0] ^= copy[i];
    if (bytes > 1 && copy[0] == 1 && copy[1] == 2 && copy[bytes - 1] == 3) t = NULL; /* what was read counts */
    free(copy);
}

static void look_at_all(const checkpoint *c, quant_config *q) {
    for (size_t i = 0; i < checkpoint_count(c); i++) {
        const checkpoint_tensor *t = checkpoint_at(c, i);
        char module[CHECKPOINT_MAX_NAME];
        quant_module m;
        nb_error err;
        if (checkpoint_find(c, t->name) != t) abort();
        read_all(t);
        if (!ends_with(t->name, ".weight") || t->n_dims < 1) continue;
        memcpy(module, t->name, strlen(t->name) + 1);
        module[strlen(module) - strlen(".weight")] = 0;
        quant_module_find(q, c, module, i % 2 ? 0 : t->shape[t->n_dims - 1], &m, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = memchr(data, 0, size);
    if (!end) return 0;
    const size_t first = (size_t)(end - data);
    nb_error err;
    model_config config = {0};
    weights *files = NULL;
    quant_config *q = NULL;
    checkpoint *c = NULL;
    nb_status status = config_parse((const char *)data, first, "config.json", &config, &err);
    if (!status) status = weights_open_memory(end + 1, size - first - 1, "model.safetensors", &files, &err);
    if (!status) status = quant_config_open(&config, &q, &err);
    if (!status) status = checkpoint_open(&config, files, &c, &err);
    if (!status) look_at_all(c, q);
    checkpoint_close(c);
    quant_config_close(q);
    weights_close(files);
    config_close(&config);
    return 0;
}
