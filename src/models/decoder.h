/* SPDX-License-Identifier: Apache-2.0
 *
 * The dense pre-norm decoder that llama, qwen2 and qwen3 share: RMSNorm, attention with rope, RMSNorm, SwiGLU. A
 * family reads what it needs, says in what it differs, and has the steps emitted. */
#ifndef NB_MODELS_DECODER_H
#define NB_MODELS_DECODER_H

#include "models/models.h"
#include "models/rope.h"

typedef struct decoder {
    float eps;
    double rope_theta;
    const cJSON *rope_scaling;
    bool rope_interleaved; /* config: rope_traditional */
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm;           /* RMSNorm on each head of q and k */
    const int64_t *windows; /* [n_layers] positions that a layer sees, 0 = all; NULL: all of all */
} decoder;

/* Reads the fields that every family has into in->dims and *d, with the family's defaults already in *d and in->dims
 * (tied). False: the builder has the error. */
bool decoder_read(const family_input *in, decoder *d);
/* Field getters on in->config with the builder's sticky error. */
int64_t config_int(const family_input *in, const char *field, int64_t min, int64_t max, int64_t fallback);
bool config_bool(const family_input *in, const char *field, bool fallback);

int decoder_emit(const family_input *in, const decoder *d);

#endif
