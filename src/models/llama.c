/* SPDX-License-Identifier: Apache-2.0
 *
 * llama (Llama 1 to 3.x, SmolLM2, and mistral, which has the same layers): config.json fields and defaults as mlx-lm's
 * llama reads them, layer_types with sliding windows included. */
#include <string.h>

#include "base/json.h"
#include "models/decoder.h"

/* layer_types: "full_attention" or "sliding_attention" for each layer; absent means all full. */
static bool read_windows(const family_input *in, decoder *d) {
    const cJSON *types = json_get(in->config, "layer_types");
    if (!types) return true;
    const int64_t n = in->dims->n_layers, window = config_int(in, "sliding_window", 1, INT32_MAX, 0);
    if (!cJSON_IsArray(types) || cJSON_GetArraySize(types) != (int)n) {
        plan_fail(in->builder, NB_ERR_FORMAT,
                  "config.json: layer_types has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(types) ? cJSON_GetArraySize(types) : 0, (long long)n);
        return false;
    }
    int64_t *windows = plan_alloc(in->builder, (size_t)n, sizeof *windows);
    const cJSON *type = types->child;
    for (int64_t i = 0; windows && i < n; i++, type = type->next) {
        const char *name = cJSON_IsString(type) ? type->valuestring : "?";
        if (strcmp(name, "sliding_attention") == 0 && window == 0)
            plan_fail(in->builder, NB_ERR_FORMAT,
                      "config.json: layer_types has sliding layers, but there is no sliding_window");
        else if (strcmp(name, "sliding_attention") != 0 && strcmp(name, "full_attention") != 0)
            plan_fail(in->builder, NB_ERR_UNSUPPORTED,
                      "config.json: layer_types[%lld] is \"%s\", expected full_attention or sliding_attention",
                      (long long)i, name);
        windows[i] = name[0] == 's' ? window : 0;
    }
    d->windows = windows;
    return plan_ok(in->builder);
}

static int build(const family_input *in) {
    decoder d = {.rope_theta = 10000};
    in->dims->tied = true; /* mlx-lm's default */
    if (!decoder_read(in, &d) || !read_windows(in, &d)) return PLAN_NONE;
    d.qkv_bias = d.o_bias = config_bool(in, "attention_bias", false);
    d.mlp_bias = config_bool(in, "mlp_bias", false);
    d.rope_interleaved = config_bool(in, "rope_traditional", false);
    return decoder_emit(in, &d);
}

const family family_llama = {{"llama", "mistral"}, build};
