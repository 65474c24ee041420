/* SPDX-License-Identifier: Apache-2.0
 *
 * Element types of tensors in files and in memory. */
#ifndef NB_BASE_DTYPE_H
#define NB_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum dtype {
    DT_NONE = 0,
    DT_F64,
    DT_F32,
    DT_F16,
    DT_BF16,
    DT_I64,
    DT_I32,
    DT_I16,
    DT_I8,
    DT_U64,
    DT_U32,
    DT_U16,
    DT_U8,
    DT_BOOL,
    DT_XI8X3, /* activations as 24-bit integers with a scale a group: an opaque layout (src/quant/xform.h) */
    DT_COUNT
} dtype;

/* Bytes of one element; 0 for the opaque types and DT_NONE. */
size_t dtype_size(dtype type);
/* Lower-case name: "f32", "bf16", ... Never NULL. */
const char *dtype_name(dtype type);
/* From safetensors' spelling ("F32", "BF16", "U32", "BOOL", ...); DT_NONE when unknown. */
dtype dtype_from_safetensors(const char *name);
/* safetensors' spelling; NULL for types that it lacks. */
const char *dtype_to_safetensors(dtype type);
static inline bool dtype_is_float(dtype t) {
    return t == DT_F64 || t == DT_F32 || t == DT_F16 || t == DT_BF16;
}

#endif
