/* SPDX-License-Identifier: Apache-2.0
 *
 * llama (Llama 1 to 3.x, SmolLM2, and mistral, which has the same layers): config.json fields and defaults as mlx-lm's
 * llama reads them, layer_types with sliding windows included. */
#include "models/decoder.h"

static int build(const family_input *in) {
    decoder d = {.rope_theta = 10000};
    in->dims->tied = true; /* mlx-lm's default */
    if (!decoder_read(in, &d) || !decoder_read_windows(in, &d, NULL)) return PLAN_NONE;
    d.qkv_bias = d.o_bias = config_bool(in, "attention_bias", false);
    d.mlp_bias = config_bool(in, "mlp_bias", false);
    d.rope_interleaved = config_bool(in, "rope_traditional", false);
    return decoder_emit(in, &d);
}

const family family_llama = {{"llama", "mistral"}, build};
