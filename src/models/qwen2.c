/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen2 (Qwen2, Qwen2.5): biases on q, k and v. Its sliding_window is not applied, as in mlx-lm. */
#include "models/decoder.h"

static int build(const family_input *in) {
    decoder d = {.rope_theta = 1000000, .qkv_bias = true};
    in->dims->tied = true;
    if (!decoder_read(in, &d)) return PLAN_NONE;
    d.rope_interleaved = config_bool(in, "rope_traditional", false);
    return decoder_emit(in, &d);
}

const family family_qwen2 = {{"qwen2"}, build};
