/* SPDX-License-Identifier: Apache-2.0
 *
 * The pre-norm decoder that many families share: RMSNorm, attention with rope, RMSNorm, SwiGLU or something in its
 * place. A family reads what it needs, says in what it differs, and has the steps emitted. */
#ifndef NB_MODELS_DECODER_H
#define NB_MODELS_DECODER_H

#include "models/models.h"
#include "models/rope.h"

typedef struct decoder decoder;
struct decoder {
    float eps;
    double rope_theta;
    const cJSON *rope_scaling;
    int64_t rope_dims;     /* columns of a head that are rotated; 0: all */
    int64_t rope_context;  /* original_max_position_embeddings where rope_scaling does not say; 0: it must */
    bool rope_interleaved; /* config: rope_traditional */
    bool fused;            /* q, k and v are one matrix qkv_proj, gate and up one gate_up_proj */
    bool qkv_bias, o_bias, mlp_bias;
    bool qk_norm;           /* RMSNorm on each head of q and k */
    bool gated;             /* each head of q_proj is [query | gate]: attention's result times sigmoid(gate) */
    bool sinks;             /* self_attn.sinks: a logit for each head beside the scores */
    const int64_t *windows; /* [n_layers] positions that a layer sees, 0 = all; NULL: all of all */
    const bool *no_rope;    /* [n_layers]: layers that do not rotate; NULL: none */
    /* What stands in the place of SwiGLU; NULL: SwiGLU. */
    int (*mlp)(const family_input *in, const decoder *d, int layer, int x);
    /* What stands in the place of attention in the layers of is_linear [n_layers]; NULL: attention in all. */
    int (*linear)(const family_input *in, const decoder *d, int layer, int x);
    const bool *is_linear;
    const void *user; /* for mlp and linear */
};

/* Reads the fields that every family has into in->dims and *d. What is in *d and in->dims already are the family's
 * defaults; sizes that are 0 there must be in the config. False: the builder has the error. */
bool decoder_read(const family_input *in, decoder *d);
/* layer_types: "full_attention" or "sliding_attention" (which sees sliding_window positions) for each layer, into
 * d->windows; absent means `fallback` ones, which are repeated; NULL: all full. False: the builder has the error. */
bool decoder_read_windows(const family_input *in, decoder *d, const char *const fallback[2]);
/* What fields may be: far above every model there is, far below where products overflow. */
enum {
    CONFIG_REQUIRED = -1,
    CONFIG_MAX_SIZE = 1 << 20,
    CONFIG_MAX_LAYERS = 4096,
    CONFIG_MAX_HEADS = 65536,
    CONFIG_MAX_HEAD_DIM = 4096,
    CONFIG_MAX_VOCAB = 1 << 24,
    CONFIG_MAX_EXPERTS = 65536
};
/* Field getters on in->config with the builder's sticky error. fallback CONFIG_REQUIRED: the field must be there. */
int64_t config_int(const family_input *in, const char *field, int64_t min, int64_t max, int64_t fallback);
bool config_bool(const family_input *in, const char *field, bool fallback);
/* fallback < 0: the field must be there. object: in->config or one inside of it. */
double config_num(const family_input *in, const cJSON *object, const char *field, double min, double max,
                  double fallback);
/* vocab_size of a family that may be wrapped in a multimodal model, whose field wins over the text model's. */
int64_t config_vocab_size(const family_input *in, int64_t fallback);
/* int(size * partial_rotary_factor), which is read from the config or its rope_parameters. */
int64_t config_rotary_dims(const family_input *in, int64_t size, double fallback);

/* That in->dims->n_heads heads go evenly to the KV heads and are not absurdly wide. */
void decoder_check_heads(const family_input *in, int64_t n_kv_heads, const char *kv_heads_field, int64_t head_dim,
                         const char *head_dim_field);

int decoder_emit(const family_input *in, const decoder *d);
/* down_proj(act(gate_proj x) * up_proj x), of modules "model.layers.<layer>.<module>.gate_proj" and so on. */
int decoder_gated_mlp(const family_input *in, const decoder *d, int layer, int x, int64_t intermediate_size, kact act,
                      const char *module);

#endif
