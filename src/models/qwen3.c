/* SPDX-License-Identifier: Apache-2.0
 *
 * qwen3 (dense): RMSNorm on each head of q and k, a head_dim of its own, no biases. */
#include "models/decoder.h"

static int build(const family_input *in) {
    decoder d = {.rope_theta = -1, .qk_norm = true}; /* rope_theta is required */
    if (!decoder_read(in, &d)) return PLAN_NONE;
    return decoder_emit(in, &d);
}

const family family_qwen3 = {{"qwen3"}, build};
