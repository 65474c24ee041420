/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a chat template, rendered with a conversation under tight limits. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char VARS[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \"hi \\u00e9\\u6f22\"}, {\"role\": \"assistant\", \"content\": null,"
    " \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"a\": 1, \"b\": [1.5, true]}}}]}],"
    " \"tools\": [{\"type\": \"function\", \"x\": -3}], \"n\": 7, \"s\": \"a b,c\", \"add_generation_prompt\": true}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static cJSON *vars;
    if (!vars && jinja_json_parse(VARS, sizeof VARS - 1, "vars", &vars, NULL)) abort();
    jinja *t;
    nb_error err = {0};
    if (jinja_compile((const char *)data, size, "fuzz", &t, &err)) {
        if (!err.text[0]) __builtin_trap();
        return 0;
    }
    char *text;
    size_t len;
    jinja_limits limits = {.max_steps = 20000, .max_output = 1 << 20, .max_memory = 16 << 20};
    nb_status status = jinja_render(t, vars, &limits, &text, &len, &err);
    if ((status == NB_OK) != (text != NULL)) __builtin_trap();
    if (text && (text[len] != 0 || !utf8_valid(text, len))) __builtin_trap();
    free(text);
    jinja_free(t);
    return 0;
}
