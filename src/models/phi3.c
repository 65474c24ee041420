/* SPDX-License-Identifier: Apache-2.0
 *
 * phi3 (Phi-3, Phi-3.5, Phi-4-mini): q, k and v in one matrix, gate and up in another, longrope. Its sliding_window is
 * not applied, as in mlx-lm. */
#include "models/decoder.h"

static int build(const family_input *in) {
    decoder d = {.rope_theta = 10000, .fused = true};
    if (!decoder_read(in, &d)) return PLAN_NONE;
    d.rope_dims = config_rotary_dims(in, in->dims->head_dim, 1);
    d.rope_context = config_int(in, "original_max_position_embeddings", 2, INT32_MAX, 4096);
    d.rope_interleaved = config_bool(in, "rope_traditional", false);
    return plan_ok(in->builder) ? decoder_emit(in, &d) : PLAN_NONE;
}

const family family_phi3 = {{"phi3"}, build};
