/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a safetensors file: opening must refuse them or give tensors whose bytes can all be read. */
#include <stddef.h>
#include <stdint.h>

#include "files/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    weights *w;
    nb_error err;
    if (weights_open_memory(data, size, "fuzz.safetensors", &w, &err)) return 0;
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < weights_count(w); i++) {
        const tensor *t = weights_at(w, i);
        for (size_t k = 0; k < t->bytes; k++) sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
        if (weights_find(w, t->name) != t) __builtin_trap();
        tensor_check_finite(t, &err);
    }
    weights_metadata(w, "format");
    weights_close(w);
    return 0;
}
