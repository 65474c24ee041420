/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a GGUF file: the reader, then what the import makes of the metadata (config, tokenizer) and of the
 * tensors' list, without writing. */
#include <stddef.h>
#include <stdint.h>

#include "files/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const gguf *g) {
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < gguf_tensor_count(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        for (size_t k = 0; k < t->bytes; k++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
        if (gguf_tensor_find(g, t->name) != t) __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    gguf *g;
    nb_error err;
    if (gguf_open_memory(data, size, "fuzz.gguf", &g, &err)) return 0;
    walk(g);
    import_model m = {.g = g, .file = "fuzz.gguf", .memory = arena_new(0), .bos_id = -1, .pad_id = -1, .unk_id = -1};
    buf tokenizer = {0}, tokenizer_config = {0}, config = {0};
    if (m.memory && import_model_read(&m, &err) == NB_OK) {
        import_tokenizer(&m, &tokenizer, &tokenizer_config, &err);
        import_config(&m, &config);
        import_generation_config(&m, &config);
    }
    buf_free(&tokenizer);
    buf_free(&tokenizer_config);
    buf_free(&config);
    arena_free(m.memory);
    gguf_close(g);
    return 0;
}
