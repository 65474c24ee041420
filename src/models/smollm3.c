/* SPDX-License-Identifier: Apache-2.0
 *
 * smollm3: llama, with layers that do not rotate (no_rope_layers, else every no_rope_layer_interval-th). */
#include "base/json.h"
#include "models/decoder.h"

static bool read_no_rope(const family_input *in, decoder *d) {
    const int64_t n = in->dims->n_layers, interval = config_int(in, "no_rope_layer_interval", 1, INT32_MAX, 4);
    const cJSON *list = json_get(in->config, "no_rope_layers");
    bool *no_rope = plan_alloc(in->builder, (size_t)n, sizeof *no_rope);
    if (list && (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != (int)n)) {
        plan_fail(in->builder, NB_ERR_FORMAT,
                  "config.json: no_rope_layers has %d entries, expected num_hidden_layers = %lld",
                  cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 0, (long long)n);
        return false;
    }
    const cJSON *item = list ? list->child : NULL;
    for (int64_t i = 0; no_rope && i < n; i++, item = item ? item->next : NULL) {
        if (list && !cJSON_IsNumber(item) && !cJSON_IsBool(item))
            plan_fail(in->builder, NB_ERR_FORMAT, "config.json: no_rope_layers[%lld] is neither 1 nor 0", (long long)i);
        /* The list says which layers do rotate, whatever its name. */
        no_rope[i] =
            list ? cJSON_IsFalse(item) || (cJSON_IsNumber(item) && item->valuedouble == 0) : (i + 1) % interval == 0;
    }
    d->no_rope = no_rope;
    return plan_ok(in->builder);
}

static int build(const family_input *in) {
    decoder d = {.rope_theta = 10000};
    in->dims->tied = true; /* mlx-lm's default */
    if (!decoder_read(in, &d) || !decoder_read_windows(in, &d, NULL) || !read_no_rope(in, &d)) return PLAN_NONE;
    d.qkv_bias = d.o_bias = config_bool(in, "attention_bias", false);
    d.mlp_bias = config_bool(in, "mlp_bias", false);
    d.rope_interleaved = config_bool(in, "rope_traditional", false);
    return decoder_emit(in, &d);
}

const family family_smollm3 = {{"smollm3"}, build};
