/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as config.json, and as generation_config.json and tokenizer_config.json at once. */
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "files/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    model_config c;
    nb_error err;
    generation_config g;
    if (config_parse((const char *)data, size, "config.json", &c, &err)) return 0;
    if (!c.model_type || !c.text_model_type) __builtin_trap();
    if (generation_config_read(c.tree, &c, c.text, "generation_config.json", &g, &err) == NB_OK) {
        if (g.n_eos < 0 || g.n_eos > CONFIG_MAX_EOS) __builtin_trap();
        generation_config_close(&g);
    }
    if (generation_config_read(NULL, &c, c.tree, "generation_config.json", &g, &err) == NB_OK)
        generation_config_close(&g);
    config_close(&c);
    return 0;
}
