/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dtype.h"

#include <string.h>

static const struct {
    const char *name, *safetensors;
    size_t size;
} types[DT_COUNT] = {
    [DT_NONE] = {"none", NULL, 0}, [DT_F64] = {"f64", "F64", 8},    [DT_F32] = {"f32", "F32", 4},
    [DT_F16] = {"f16", "F16", 2},  [DT_BF16] = {"bf16", "BF16", 2}, [DT_I64] = {"i64", "I64", 8},
    [DT_I32] = {"i32", "I32", 4},  [DT_I16] = {"i16", "I16", 2},    [DT_I8] = {"i8", "I8", 1},
    [DT_U64] = {"u64", "U64", 8},  [DT_U32] = {"u32", "U32", 4},    [DT_U16] = {"u16", "U16", 2},
    [DT_U8] = {"u8", "U8", 1},     [DT_BOOL] = {"bool", "BOOL", 1}, [DT_XI8X3] = {"xi8x3", NULL, 0},
};

size_t dtype_size(dtype type) {
    return (unsigned)type < DT_COUNT ? types[type].size : 0;
}
const char *dtype_name(dtype type) {
    return (unsigned)type < DT_COUNT ? types[type].name : "?";
}
const char *dtype_to_safetensors(dtype type) {
    return (unsigned)type < DT_COUNT ? types[type].safetensors : NULL;
}

dtype dtype_from_safetensors(const char *name) {
    for (int t = DT_NONE + 1; t < DT_COUNT; t++)
        if (types[t].safetensors && strcmp(types[t].safetensors, name) == 0) return (dtype)t;
    return DT_NONE;
}
