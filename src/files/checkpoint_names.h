/* SPDX-License-Identifier: Apache-2.0
 *
 * What the names of a checkpoint's tensors mean: wrapper prefixes, parts of multimodal models that nibble does not run,
 * experts one by one or stacked. The names that everything else uses ("canonical") are mlx-lm's for the text model,
 * with no wrapper's prefix: "model.layers.3.mlp.up_proj.weight", "lm_head.weight". Facts, not code, come from mlx-lm's
 * `sanitize` functions. Used by checkpoint.c only, but for checkpoint_strip. */
#ifndef NB_FILES_CHECKPOINT_NAMES_H
#define NB_FILES_CHECKPOINT_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CHECKPOINT_MAX_NAME = 256 };

/* The name without wrapper prefixes: "model.language_model.X", "language_model.model.X" and the like become "model.X",
 * "language_model.lm_head.X" becomes "lm_head.X". False when the result does not fit. */
bool checkpoint_strip(const char *name, char out[CHECKPOINT_MAX_NAME]);

typedef enum name_kind {
    NAME_MODEL,
    NAME_ASIDE,  /* multi-token prediction: kept, not part of the model */
    NAME_OTHER,  /* vision, audio */
    NAME_NOTHING /* tables that are computed, ranges of activations */
} name_kind;

name_kind checkpoint_kind(const char *stripped);

/* Which part of a file's tensor an entry is. */
typedef enum name_part {
    PART_WHOLE,
    PART_EXPERT, /* one of a stack, by its number */
    PART_HALF_1,
    PART_HALF_2, /* [E, 2n, k]: the first or last n rows of each expert */
    PART_EVEN,
    PART_ODD,    /* gpt-oss: rows 0, 2, 4, ... or 1, 3, 5, ... of each expert */
    PART_BLOCKS, /* gpt-oss: mxfp4 codes as bytes [E, n, k / 32, 16] */
    PART_EVEN_BLOCKS,
    PART_ODD_BLOCKS,
} name_part;

typedef struct name_role {
    char name[CHECKPOINT_MAX_NAME]; /* canonical */
    name_part part;
    int64_t expert; /* PART_EXPERT: its number, else -1 */
} name_role;

/* What a tensor of the model is: one or two entries (fused gate and up projections). Returns how many; 0 when a name
 * does not fit. */
int checkpoint_roles(const char *stripped, name_role out[2]);

/* mlx-lm's conventions for one family, for writing checkpoints: see checkpoint_family. */
typedef struct checkpoint_family {
    const char *model_types[4];
    const char *prefix;       /* in front of canonical names in MLX files: "" or "language_model." */
    const char *routers[2];   /* module paths ending so are quantized with 8 bits, groups of 64, by default */
    const char *keeps_type;   /* tensors ending so are not cast; NULL: none */
    bool drops_shared_kv;     /* gemma4: no k_proj, v_proj, k_norm in layers that share keys and values */
    bool interleaved_experts; /* gpt-oss: fused experts have gate and up in turns */
} checkpoint_family;

/* NULL when the model_type is not known. */
const checkpoint_family *checkpoint_family_find(const char *model_type);
/* The i-th family, NULL past the last. */
const checkpoint_family *checkpoint_family_at(size_t i);

/* Whether `text` ends with `end`. */
bool ends_with(const char *text, const char *end);

#endif
